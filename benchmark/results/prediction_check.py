"""Whether predictions can be, and whether a run's accuracies follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from benchmark import metrics
from benchmark.results.derive import as_classifier, classifiers
from benchmark.results.records import Prediction
from benchmark.results.schema import Result
from mm_imagenet_r.splits import list_sha256


def matrix_of(
    result: Result, predictions: Iterable[Prediction]
) -> tuple[list[list[float]], list[int]]:
    """The accuracy matrix and test sizes that follow from the own classifier's predictions alone.

    Raises:
        ValueError: The predictions do not cover every phase, or name classes not yet seen.
    """
    phase_of = {c: phase["index"] for phase in result["phases"] for c in phase["classes"]}
    rows = [row for row in predictions if row.classifier == result["classifier"]]
    return metrics.accuracy_matrix(
        [row.prediction for row in rows],
        [row.label for row in rows],
        [row.phase for row in rows],
        [phase_of.get(c, -1) for c in range(max(phase_of) + 1)],
    )


def prediction_faults(result: Result, predictions: Sequence[Prediction]) -> Iterator[str]:
    """Each test sample of a seen class once per phase and classifier, always with one label."""
    names = classifiers(result)
    if strange := {row.classifier for row in predictions} - set(names):
        yield f"predictions of classifiers that result.json does not have: {sorted(strange)}"
    label_of: dict[str, int] = {}
    seen: set[int] = set()
    by_phase: dict[tuple[int, str], list[Prediction]] = {}
    for row in predictions:
        by_phase.setdefault((row.phase, row.classifier), []).append(row)
    for t, phase in enumerate(result["phases"]):
        seen.update(phase["classes"])
        wanted = sum(result["test_sizes"][: t + 1])
        for name in names:
            rows = by_phase.get((t, name), [])
            labels = {row.file_name: row.label for row in rows}
            where = f"after phase {t}" + (f", classifier {name}" if name else "")
            if len(labels) != len(rows) or len(rows) != wanted:
                yield f"{where}: {len(rows)} predictions of {len(labels)} samples, not {wanted}"
            if not seen.issuperset({c for row in rows for c in (row.label, row.prediction)}):
                yield f"{where}: predictions name classes not seen by then"
            label_of = labels | label_of
            if not labels.items() <= label_of.items():
                yield f"{where}: a sample has another label than before"
    if any(not 0 <= row.phase < len(result["phases"]) for row in predictions):
        yield "predictions of phases that result.json does not have"


def accuracy_faults(result: Result, predictions: Sequence[Prediction]) -> Iterator[str]:
    """Accuracies of every classifier, test sizes and the split against the predictions."""
    last = len(result["phases"]) - 1
    split = list_sha256({row.file_name for row in predictions if row.phase == last})
    whole = result["complete"] and not result["config"].get("stop_after")
    if whole and split != result["dataset"]["split_sha256"]:
        yield f"dataset.split_sha256 is {split} by the predictions"
    of: dict[str, list[Prediction]] = {name: [] for name in classifiers(result)}
    for row in predictions:
        of[row.classifier].append(row)
    for name, rows in of.items():
        yield from _accuracies(as_classifier(result, name), rows)


def _accuracies(result: Result, predictions: Sequence[Prediction]) -> Iterator[str]:
    try:
        matrix, sizes = matrix_of(result, predictions)
    except ValueError as error:
        yield str(error)
        return
    of = f" of classifier {result['classifier']}" if result["classifier"] else ""
    if sizes != result["test_sizes"]:
        yield f"test samples of the phases are {sizes} by the predictions"
    for t, (row, said) in enumerate(zip(matrix, result["accuracy_matrix"], strict=True)):
        for i, (true, value) in enumerate(zip(row, said, strict=True)):
            if not math.isclose(true, value, rel_tol=1e-9, abs_tol=1e-6):
                yield f"accuracy{of} after phase {t} on phase {i} is {true:.4f} by the predictions"
