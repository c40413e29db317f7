"""From the file form of a result to the loaded one: what follows from the rest is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, cast

from benchmark import metrics
from benchmark.budget import CURRENCIES, GROWTHS
from benchmark.paths import last_part
from benchmark.results.schema import Accuracy, LoadedPhase, Result, ResultBase
from mm_imagenet_r.errors import did_you_mean, few


def derive(stored: Mapping[str, Any]) -> Result:
    """Add what follows from a result without `faults`: names, steps, averages, matrix, metrics."""
    method, _, preset = last_part(stored["config"]["method"][0]).partition("@")
    sizes = [phase["test"] for phase in stored["phases"]]
    phases = [
        {
            **phase,
            "steps": sum(stage["steps"] for stage in phase["stages"]),
            "accuracy": _accuracy(phase["accuracy"]["per_phase"], sizes),
            "other_classifiers": {
                name: _accuracy(row["per_phase"], sizes)
                for name, row in phase["other_classifiers"].items()
            },
        }
        for phase in stored["phases"]
    ]
    seed = stored["config"]["seeds"][0]
    names = {"method": method, "preset": preset or None, "seed": seed, "test_sizes": sizes}
    return _with_figures({**stored, **names}, phases)


def as_classifier(result: Result, name: str) -> Result:
    """The same run, judged by another of its classifiers."""
    if name == result["classifier"]:
        return result
    phases = [{**phase, "accuracy": phase["other_classifiers"][name]} for phase in result["phases"]]
    return _with_figures({**result, "classifier": name}, phases)


def _with_figures(result: Mapping[str, Any], phases: Sequence[Mapping[str, Any]]) -> Result:
    matrix = [phase["accuracy"]["per_phase"] for phase in phases]
    figures = {
        "accuracy_matrix": matrix,
        "metrics": metrics.summary(matrix, result["test_sizes"]),
    }
    return cast(Result, {**result, "phases": cast(list[LoadedPhase], phases), **figures})


def _accuracy(row: list[float], sizes: Sequence[int]) -> Accuracy:
    return {
        "per_phase": row,
        "sample_weighted": metrics.sample_weighted_accuracy(row, sizes),
        "phase_weighted": metrics.phase_weighted_accuracy(row),
    }


def classes_seen(result: Result) -> list[int]:
    """Number of classes seen after each phase."""
    return list(accumulate(len(phase["classes"]) for phase in result["phases"]))


def classifiers(result: Result) -> list[str]:
    """Names of a run's classifiers, the method's own one first."""
    return [result["classifier"], *result["phases"][-1]["other_classifiers"]]


def given_config(result: ResultBase) -> dict[str, Any]:
    """The configuration with what was left to the recipe left open again."""
    return {**result["config"], **dict.fromkeys(result["from_recipe"])}


def faults(stored: Mapping[str, Any]) -> Iterator[str]:
    """Say what of a result of the right shape makes no sense in itself."""
    config, phases, order = stored["config"], stored["phases"], stored["class_order"]
    for name, kind in (("method", str), ("seeds", int)):
        value = config.get(name)
        if not (isinstance(value, list) and len(value) == 1 and type(value[0]) is kind):
            yield f"config.{name} is not a list of one {kind.__name__}"
    for name, known in (("currency", CURRENCIES), ("growth", GROWTHS)):
        if (value := stored["budget"][name]) not in known:
            yield f"budget.{name} {few(value)!r}: {did_you_mean(str(value), known)}"
    if not phases:
        yield "phases is empty"
    classes = len(order["order"])
    if len(order["names"]) != classes:
        yield "class_order.names and class_order.order differ in length"
    for t, phase in enumerate(phases):
        where, others = f"phases[{t}]", phase["other_classifiers"]
        if phase["index"] != t:
            yield f"{where}.index is {phase['index']}"
        if not phase["classes"] or not set(phase["classes"]) <= set(range(classes)):
            yield f"{where} names classes that class_order does not have"
        if phase["test"] < 1 or phase["train"] < 0 or phase["resumed"] < 0:
            yield f"{where} has an impossible number of samples or interruptions"
        if set(others) != set(phases[0]["other_classifiers"]) or stored["classifier"] in others:
            yield f"{where}.other_classifiers are not those of the first phase"
        rows = {"accuracy": phase["accuracy"]}
        rows |= {f"other_classifiers.{name}": row for name, row in others.items()}
        for name, row in rows.items():
            if (count := len(row["per_phase"])) != t + 1:
                yield f"{where}.{name}.per_phase has {count} numbers instead of {t + 1}"
            if not all(0 <= accuracy <= 100 for accuracy in row["per_phase"]):
                yield f"{where}.{name}.per_phase holds a number that is not a percentage"
        if any(len(point) != 2 for point in phase["loss"]):
            yield f"{where}.loss is not a list of pairs"
        stages = phase["stages"]
        if any(min(s["items"], s.get("epochs", 0), s["steps"]) < 0 for s in stages):
            yield f"{where}.stages holds a negative number"
        if any(not c.isdecimal() or int(c) >= classes for c in phase["memory"]["per_class"]):
            yield f"{where}.memory.per_class has a key that is not a class number"
