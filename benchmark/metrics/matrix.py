"""The accuracy matrix of predictions, and averages of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Row: TypeAlias = Sequence[float]
Matrix: TypeAlias = Sequence[Row]


def accuracy_matrix(
    predictions: npt.ArrayLike,
    references: npt.ArrayLike,
    steps: npt.ArrayLike,
    phase_of_class: Sequence[int],
) -> tuple[list[list[float]], list[int]]:
    """The accuracy matrix (T rows, row t with t + 1 percentages) and T numbers of test samples.

    `predictions` and `references` are (N,) classes as positions in the class order, `steps` (N,)
    the phase, from 0, after which each prediction was made, `phase_of_class` the phase that
    introduced each class.

    Raises:
        ValueError: A phase was not tested after, or lacks test samples, a sample belongs to a
            phase that was not seen yet, or a class is not one of them.

    >>> accuracy_matrix([0, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1])
    ([[100.0], [100.0, 100.0]], [1, 1])
    """
    guess, truth = _integers("predictions", predictions), _integers("references", references)
    after = _integers("steps", steps)
    if not len(guess) == len(truth) == len(after) > 0:
        raise ValueError(f"{len(guess)} predictions, {len(truth)} references, {len(after)} steps")
    phases = _integers("phase_of_class", phase_of_class)
    if len(phases) and phases.min() != 0:
        raise ValueError(f"phase_of_class counts phases from 0, but begins with {phases.min()}")
    for name, classes in (("references", truth), ("predictions", guess)):
        if strange := set(classes.tolist()) - set(range(len(phases))):
            known = f"phase_of_class has {len(phases)} classes, 0 to {len(phases) - 1}"
            raise ValueError(f"{name} name class {min(strange)}; {known}")
    last = int(after.max())
    if lacking := set(range(last + 1)) - set(after.tolist()):
        raise ValueError(f"steps run from 0 to {last}, but none is {min(lacking)}")
    if after.min() < 0:
        raise ValueError("steps count phases from 0: none is negative")
    matrix = [
        phase_accuracies(truth[after == t], guess[after == t], phase_of_class, t + 1)
        for t in range(last + 1)
    ]
    return matrix, np.bincount(phases[truth[after == last]], minlength=last + 1).tolist()


def _integers(name: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    numbers = np.asarray(values)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iuf"):
        raise ValueError(f"{name} is not a list of integers")
    if strange := [x for x in numbers.tolist() if x != int(x)]:
        raise ValueError(f"{name} holds {strange[0]}, which is not an integer")
    return numbers.astype(np.int64)


def phase_accuracies(
    labels: npt.ArrayLike, predictions: npt.ArrayLike, phase_of_class: Sequence[int], seen: int
) -> list[float]:
    """One row of the matrix: accuracies on the test data of each of the `seen` phases.

    `labels` and `predictions` are (N,) classes as positions in the class order, `phase_of_class`
    the phase that introduced each class.

    Raises:
        ValueError: A phase has no test sample, or a sample belongs to a phase not yet seen.

    >>> phase_accuracies([0, 0, 1, 2], [0, 1, 1, 0], phase_of_class=[0, 0, 1], seen=2)
    [66.66666666666667, 0.0]
    """
    truth, guess = np.asarray(labels, dtype=np.int64), np.asarray(predictions, dtype=np.int64)
    if truth.shape != guess.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and predictions {guess.shape} do not correspond")
    phase = np.asarray(phase_of_class, dtype=np.int64)[truth]
    total = np.bincount(phase, minlength=seen)
    if len(total) > seen:
        raise ValueError(f"test samples of phase {len(total) - 1}, but only {seen} phases are seen")
    if not total.all():
        raise ValueError(f"phase {int(np.argmin(total))} has no test samples")
    right = np.bincount(phase, weights=truth == guess, minlength=seen)
    return [100 * float(r) / int(n) for r, n in zip(right, total, strict=True)]


def sample_weighted_accuracy(row: Row, sizes: Sequence[int]) -> float:
    """Share of all test samples of seen classes that are right: A_t of PILOT and PyCIL.

    Unlike PILOT, which rounds to two decimals here, nothing is rounded before averaging.

    >>> sample_weighted_accuracy([50, 75, 90], [100, 50, 50])
    66.25
    """
    return float(np.average(row, weights=sizes[: len(row)]))


def phase_weighted_accuracy(row: Row) -> float:
    """Mean of the phases' accuracies: A_t of L2P, DualPrompt, CODA-Prompt and Mammoth.

    >>> round(phase_weighted_accuracy([50, 75, 90]), 4)
    71.6667
    """
    return float(np.mean(row))
