"""Whether a run's figures follow from its own configuration, predictions and exemplars.

Anyone who has a run's folder can check it: `python -m benchmark.results FOLDER --verify`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from benchmark import metrics
from benchmark.results import read
from benchmark.results.consistency import contradictions
from benchmark.results.memory_check import file_faults, ledger_faults
from benchmark.results.records import (
    EXEMPLARS,
    PREDICTIONS,
    Prediction,
    Stored,
    read_exemplars,
    read_predictions,
)
from benchmark.results.schema import Result
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.splits import list_sha256

#: What a folder cannot show, for whoever reads that it is verified.
UNCHECKED = (
    "Not checked, for it takes the data, the backbone or a repetition of the run: that the model "
    "made these predictions, the hashes of data, captions, backbone and method, the mean size of a "
    "sample, that exemplars are training samples, what is outside the memory, settings that are "
    "defaults, names, hardware, seconds and versions."
)


def matrix_of(
    result: Result, predictions: Iterable[Prediction]
) -> tuple[list[list[float]], list[int]]:
    """Return the accuracy matrix and the test sizes that follow from the predictions alone.

    Raises:
        ValueError: The predictions do not cover every phase, or name classes not yet seen.
    """
    phase_of = {c: phase["index"] for phase in result["phases"] for c in phase["classes"]}
    after: list[list[Prediction]] = [[] for _ in result["phases"]]
    for row in predictions:
        if row.label not in phase_of or not 0 <= row.phase < len(after):
            raise ValueError(f"{row.file_name}: phase {row.phase}, class {row.label} are unknown")
        after[row.phase].append(row)
    introduced = [phase_of.get(c, -1) for c in range(max(phase_of) + 1)]
    matrix = [
        metrics.phase_accuracies(
            [row.label for row in rows], [row.prediction for row in rows], introduced, t + 1
        )
        for t, rows in enumerate(after)
    ]
    sizes = [0] * len(after)
    for row in after[-1]:
        sizes[phase_of[row.label]] += 1
    return matrix, sizes


def verify(folder: Path) -> list[str]:
    """Recompute everything in a run's result.json that follows from itself or the files beside it.

    Returns:
        Discrepancies in words: facts that contradict each other or the configuration, predictions
        that cannot be, figures that do not follow from the predictions, ledgers that are not the
        sum of the exemplars, exemplars that are not those of the memory's files, budgets exceeded.

    Raises:
        UserError: result.json itself cannot be read.
    """
    result = read(folder)
    found = list(contradictions(result))
    predictions: list[Prediction] = []
    try:
        predictions = read_predictions(folder / PREDICTIONS)
        found += _check_predictions(result, predictions) or _check_metrics(result, predictions)
    except UserError as error:
        found.append(str(error))
    exemplars: list[Stored] = []
    if (folder / EXEMPLARS).exists() or any(p["memory"]["exemplars"] for p in result["phases"]):
        try:
            exemplars = read_exemplars(folder / EXEMPLARS)
        except UserError as error:
            return [*found, str(error)]
    tested = {row.file_name for row in predictions}
    found += [
        f"{row.file_name} is an exemplar and a test sample"
        for row in exemplars
        if row.file_name in tested
    ]
    found += ledger_faults(result, exemplars)
    found += file_faults(folder, result, exemplars)
    return found


def _check_predictions(result: Result, predictions: Sequence[Prediction]) -> list[str]:
    """Each test sample of a seen class once per phase, always with one label, no future class."""
    found: list[str] = []
    seen: set[int] = set()
    label_of: dict[str, int] = {}
    for t, phase in enumerate(result["phases"]):
        seen.update(phase["classes"])
        rows = [row for row in predictions if row.phase == t]
        names = {row.file_name for row in rows}
        wanted = sum(result["test_sizes"][: t + 1])
        if len(names) != len(rows) or len(rows) != wanted:
            found.append(
                f"after phase {t}: {len(rows)} predictions of {len(names)} samples, not {wanted}"
            )
        if any(row.label not in seen or row.prediction not in seen for row in rows):
            found.append(f"after phase {t}: predictions name classes not seen by then")
        if any(label_of.setdefault(row.file_name, row.label) != row.label for row in rows):
            found.append(f"after phase {t}: a sample has another label than before")
    if any(not 0 <= row.phase < len(result["phases"]) for row in predictions):
        found.append("predictions of phases that result.json does not have")
    return found


def _check_metrics(result: Result, predictions: Sequence[Prediction]) -> list[str]:
    try:
        matrix, sizes = matrix_of(result, predictions)
    except ValueError as error:
        return [str(error)]
    found: list[str] = []
    split = list_sha256(row.file_name for row in predictions if row.phase == len(matrix) - 1)
    if result["complete"] and split != result["dataset"]["split_sha256"]:
        found.append(f"dataset.split_sha256 is {split} by the predictions")
    if sizes != result["test_sizes"]:
        found.append(f"test_sizes are {sizes} by the predictions")
    for t, (row, phase) in enumerate(zip(matrix, result["phases"], strict=True)):
        pairs = zip(row, result["accuracy_matrix"][t], phase["accuracy"]["per_phase"], strict=True)
        found += [
            f"accuracy after phase {t} on phase {i} is {true:.4f} by the predictions"
            for i, (true, *said) in enumerate(pairs)
            if not all(_close(true, value) for value in said)
        ]
        weighted = metrics.sample_weighted_accuracy(row, sizes)
        plain = metrics.phase_weighted_accuracy(row)
        accuracy = phase["accuracy"]
        if not _close(weighted, accuracy["sample_weighted"]):
            found.append(f"sample_weighted after phase {t} is {weighted:.4f} by the predictions")
        if not _close(plain, accuracy["phase_weighted"]):
            found.append(f"phase_weighted after phase {t} is {plain:.4f} by the predictions")
    said_metrics = cast(Mapping[str, float | None], result["metrics"])
    for name, value in cast(Mapping[str, float | None], metrics.summary(matrix, sizes)).items():
        if not _close(value, said_metrics[name]):
            found.append(f"metrics.{name} is {value} by the predictions, not {said_metrics[name]}")
    return found


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
