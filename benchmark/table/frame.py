"""All runs as a pandas DataFrame, to group, plot and test as one likes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.results.derive import as_classifier, classes_seen, classifiers
from benchmark.results.io import find_runs, read
from benchmark.results.labels import order_name, tuned_words
from benchmark.results.schema import Result
from benchmark.results.tables import outside_bytes, stored_rate, total_seconds
from mm_imagenet_r.errors import UserError, did_you_mean
from mm_imagenet_r.hashes import json_sha256

if TYPE_CHECKING:
    import pandas as pd

_PER = ("phase", "run")


def frame(paths: Path | str | Iterable[Path | str], *, per: str = "phase") -> pd.DataFrame:
    """Every finished run below some folders, tidy; accuracies in percent, missing where undefined.

    Columns that say which run it is: folder, dataset, evaluate_on, phases, backbone, method,
    preset, kind, classifier, own (whether it is the method's own classifier), class_order, seed,
    currency, growth, memory (as it was asked for), memory_amount, tuned, steps_total.

    `per="phase"` has a row for each run, classifier and phase (phase, classes_seen, accuracy and
    accuracy_phase_weighted over all classes seen, accuracy_new on those of the phase, exemplars,
    memory_bytes, outside_bytes, trainable_parameters, steps, seconds); `per="run"` one for each run
    and classifier (every figure of `benchmark.metrics.METRICS`, exemplars_per_class, stored_rate,
    memory_bytes, outside_bytes, trainable_parameters, seconds).

    Raises:
        UserError: There is no result, one cannot be read, or `per` is neither.

    With `runs = frame(["results"], per="run")`:

        runs[runs.own].groupby(["method", "memory"]).last_accuracy.agg(["mean", "std", "count"])

    A copy of a run that is there already has no rows.
    """
    import pandas as pd

    if per not in _PER:
        raise UserError(f"per={per!r}: {did_you_mean(per, _PER)}")
    rows: list[dict[str, Any]] = []
    several = [paths] if isinstance(paths, (str, Path)) else paths
    known = set()
    for folder in find_runs(map(Path, several)):
        result = read(folder)
        key = json_sha256(
            [result[name] for name in ("method", "config", "seed", "accuracy_matrix")]
        )
        if result["complete"] and key not in known:
            known.add(key)
            for name in classifiers(result):
                run = {"folder": str(folder)} | _run(result, name)
                of = as_classifier(result, name)
                rows += [run | _whole(of)] if per == "run" else [run | one for one in _phases(of)]
    return pd.DataFrame(rows)


def _run(result: Result, classifier: str) -> dict[str, Any]:
    budget = result["budget"]
    return {
        "dataset": result["dataset"]["name"],
        "evaluate_on": result["config"].get("evaluate_on", "test"),
        "phases": len(result["phases"]),
        "backbone": result["backbone"]["name"],
        "method": result["method"],
        "preset": result["preset"] or "",
        "kind": result["kind"],
        "classifier": classifier,
        "own": classifier == result["classifier"],
        "class_order": order_name(result),
        "seed": result["seed"],
        "currency": budget["currency"],
        "growth": budget["growth"],
        "memory": budget["memory"],
        "memory_amount": budget["amount"],
        "tuned": tuned_words(result),
        "steps_total": sum(phase["steps"] for phase in result["phases"]),
    }


def _whole(result: Result) -> dict[str, Any]:
    last = result["phases"][-1]
    return {
        **result["metrics"],
        "exemplars_per_class": last["memory"]["exemplars"] / classes_seen(result)[-1],
        "stored_rate": stored_rate(result),
        "memory_bytes": last["memory"]["bytes"],
        "outside_bytes": outside_bytes(result),
        "trainable_parameters": last["trainable_parameters"],
        "seconds": total_seconds(result),
    }


def _phases(result: Result) -> Iterator[dict[str, Any]]:
    for phase, seen in zip(result["phases"], classes_seen(result), strict=True):
        accuracy, outside = phase["accuracy"], phase["outside_memory"]
        yield {
            "phase": phase["index"],
            "classes_seen": seen,
            "accuracy": accuracy["sample_weighted"],
            "accuracy_phase_weighted": accuracy["phase_weighted"],
            "accuracy_new": accuracy["per_phase"][-1],
            "exemplars": phase["memory"]["exemplars"],
            "memory_bytes": phase["memory"]["bytes"],
            "outside_bytes": outside["bytes"] if outside else None,
            "trainable_parameters": phase["trainable_parameters"],
            "steps": phase["steps"],
            "seconds": sum(phase["seconds"].values()),
        }
