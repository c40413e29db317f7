"""From the file form of a result to the loaded one: what follows from the rest is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, cast

from benchmark import metrics
from benchmark.paths import last_part
from benchmark.results.schema import Accuracy, LoadedPhase, PhaseBase, Result, ResultBase


def derive(stored: ResultBase, phases: Sequence[PhaseBase]) -> Result:
    """Add what follows: names, steps, averages, matrix, metrics.

    Args:
        stored: A result in which `faults` finds nothing.
        phases: Its phases.
    """
    method, _, preset = last_part(stored["config"]["method"][0]).partition("@")
    sizes = [phase["test"] for phase in phases]
    loaded = [load_phase(phase, sizes) for phase in phases]
    matrix = [phase["accuracy"]["per_phase"] for phase in loaded]
    found = {
        **stored,
        "phases": loaded,
        "method": method,
        "preset": preset or None,
        "seed": stored["config"]["seeds"][0],
        "accuracy_matrix": matrix,
        "test_sizes": sizes,
        "metrics": metrics.summary(matrix, sizes),
    }
    return cast(Result, found)


def as_classifier(result: Result, name: str) -> Result:
    """The same run, judged by another of its classifiers."""
    if name == result["classifier"]:
        return result
    phases = [
        cast(LoadedPhase, {**phase, "accuracy": phase["other_classifiers"][name]})
        for phase in result["phases"]
    ]
    matrix = [phase["accuracy"]["per_phase"] for phase in phases]
    found = {
        **result,
        "phases": phases,
        "classifier": name,
        "accuracy_matrix": matrix,
        "metrics": metrics.summary(matrix, result["test_sizes"]),
    }
    return cast(Result, found)


def classes_seen(result: Result) -> list[int]:
    """Number of classes seen after each phase."""
    return list(accumulate(len(phase["classes"]) for phase in result["phases"]))


def classifiers(result: Result) -> list[str]:
    """Names of a run's classifiers, the method's own one first."""
    return [result["classifier"], *result["phases"][-1]["other_classifiers"]]


def given_config(result: ResultBase) -> dict[str, Any]:
    """The configuration with what was left to the recipe left open again."""
    return {**result["config"], **dict.fromkeys(result["from_recipe"])}


def faults(stored: ResultBase, phases: Sequence[PhaseBase]) -> Iterator[str]:
    """Say what of a result of the right shape makes no sense in itself."""
    config = stored["config"]
    for name, kind in (("method", str), ("seeds", int)):
        value = config.get(name)
        if not (isinstance(value, list) and len(value) == 1 and type(value[0]) is kind):
            yield f"config.{name} is not a list of one {kind.__name__}"
    if not phases:
        yield "phases is empty"
    classes = len(stored["class_order"]["order"])
    if len(stored["class_order"]["names"]) != classes:
        yield "class_order.names and class_order.order differ in length"
    others = set(cast(Any, phases[0])["other_classifiers"]) if phases else set()
    for t, phase in enumerate(phases):
        where = f"phases[{t}]"
        if phase["index"] != t:
            yield f"{where}.index is {phase['index']}"
        if not phase["classes"] or not set(phase["classes"]) <= set(range(classes)):
            yield f"{where} names classes that class_order does not have"
        if phase["test"] < 1 or phase["train"] < 0 or phase["resumed"] < 0:
            yield f"{where} has an impossible number of samples or interruptions"
        rows = cast(Mapping[str, Any], phase)
        if set(rows["other_classifiers"]) != others or stored["classifier"] in others:
            yield f"{where}.other_classifiers are not those of the first phase"
        named = {"accuracy": rows["accuracy"]} | {
            f"other_classifiers.{name}": row for name, row in rows["other_classifiers"].items()
        }
        for name, row in named.items():
            yield from _row_faults(f"{where}.{name}.per_phase", row["per_phase"], t + 1)
        if any(len(point) != 2 for point in phase["loss"]):
            yield f"{where}.loss is not a list of pairs"
        stages = phase["stages"]
        counts = [n for s in stages for n in (s["items"], s.get("epochs", 0), s["steps"])]
        if min(counts, default=0) < 0:
            yield f"{where}.stages holds a negative number"
        if any(not c.isdecimal() or int(c) >= classes for c in phase["memory"]["per_class"]):
            yield f"{where}.memory.per_class has a key that is not a class number"


def _row_faults(where: str, row: Sequence[float], wanted: int) -> Iterator[str]:
    if len(row) != wanted:
        yield f"{where} has {len(row)} numbers instead of {wanted}"
    if not all(0 <= accuracy <= 100 for accuracy in row):
        yield f"{where} holds a number that is not a percentage"


def load_phase(phase: PhaseBase, sizes: Sequence[int]) -> LoadedPhase:
    """Add the steps and averages that follow from a phase as it stands in a file.

    Args:
        phase: A `PhaseResult`.
        sizes: Numbers of test samples of this phase and all before it, or of more.
    """
    stored = cast(Mapping[str, Any], phase)
    found = {
        **stored,
        "steps": sum(stage["steps"] for stage in phase["stages"]),
        "accuracy": _accuracy(stored["accuracy"]["per_phase"], sizes),
        "other_classifiers": {
            name: _accuracy(row["per_phase"], sizes)
            for name, row in stored["other_classifiers"].items()
        },
    }
    return cast(LoadedPhase, found)


def _accuracy(row: list[float], sizes: Sequence[int]) -> Accuracy:
    return {
        "per_phase": row,
        "sample_weighted": metrics.sample_weighted_accuracy(row, sizes),
        "phase_weighted": metrics.phase_weighted_accuracy(row),
    }
