"""Accuracy, forgetting and transfer as pure functions of the accuracy matrix.

`R[t][i]` is the accuracy in percent on the test data of phase `i` after training phase `t`, the
prediction being the argmax over all classes seen by then. The matrix is lower-triangular: row `t`
holds `t + 1` numbers. `sizes[i]` is the number of test samples of phase `i`.

Literature uses one word for several numbers, so every number here says whose it is. The primary
ones are those of PILOT and PyCIL (Sun et al. 2023, Zhou et al. 2021). With one phase nothing can be
forgotten: forgetting and transfer are then NaN. Forward transfer is left out
on purpose: a head without outputs for classes to come has none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Row: TypeAlias = Sequence[float]
Matrix: TypeAlias = Sequence[Row]


def phase_accuracies(
    labels: npt.ArrayLike, predictions: npt.ArrayLike, phase_of_class: Sequence[int], seen: int
) -> list[float]:
    """Return one row of the matrix: accuracy on the test data of each phase seen so far.

    Args:
        labels: (N,) true classes, as positions in the class order.
        predictions: (N,) predicted classes, likewise.
        phase_of_class: For each class the phase that introduced it.
        seen: Number of phases trained so far; samples of later phases are not allowed.

    Returns:
        `seen` percentages.

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


def last_accuracy(matrix: Matrix, sizes: Sequence[int] | None = None) -> float:
    """Accuracy after the last phase; sample-weighted with `sizes`, else phase-weighted.

    >>> last_accuracy([[60], [80, 70], [50, 75, 90]], [100, 50, 50])
    66.25
    """
    return accuracy_curve(matrix, sizes)[-1]


def average_incremental_accuracy(matrix: Matrix, sizes: Sequence[int] | None = None) -> float:
    """Mean of A_t over all phases; sample-weighted with `sizes`, else phase-weighted.

    >>> R = [[60], [80, 70], [50, 75, 90]]
    >>> round(average_incremental_accuracy(R, [100, 50, 50]), 4)
    67.6389
    >>> round(average_incremental_accuracy(R), 4)
    68.8889
    """
    return float(np.mean(accuracy_curve(matrix, sizes)))


def accuracy_curve(matrix: Matrix, sizes: Sequence[int] | None = None) -> list[float]:
    """A_t for every phase t; sample-weighted with `sizes`, else phase-weighted.

    >>> [round(a, 4) for a in accuracy_curve([[60], [80, 70], [50, 75, 90]], [100, 50, 50])]
    [60.0, 76.6667, 66.25]
    """
    _check(matrix)
    if sizes is None:
        return [phase_weighted_accuracy(row) for row in matrix]
    return [sample_weighted_accuracy(row, sizes) for row in matrix]


def learning_accuracy(matrix: Matrix) -> float:
    """Mean accuracy on a phase right after training it: mean_i R[i, i].

    Stands beside every forgetting, since a network that learns nothing forgets nothing.

    >>> round(learning_accuracy([[60], [80, 70], [50, 75, 90]]), 4)
    73.3333
    """
    _check(matrix)
    return float(np.mean([row[-1] for row in matrix]))


def forgetting(matrix: Matrix) -> float:
    """PILOT, PyCIL, L2P, Mammoth: mean_{i<T-1} (max_t R[t, i] - R[T-1, i]), never negative.

    The maximum runs over all rows, the final one included.

    >>> forgetting([[60], [80, 70], [50, 75, 90]])
    15.0
    >>> forgetting([[50], [60, 70], [65, 80, 75]])
    0.0
    """
    return _drop(matrix, lambda column: max(column))


def forgetting_chaudhry(matrix: Matrix) -> float:
    """Chaudhry et al. 2018: as `forgetting`, the maximum without the final row; may be negative.

    >>> forgetting_chaudhry([[60], [80, 70], [50, 75, 90]])
    12.5
    >>> forgetting_chaudhry([[50], [60, 70], [65, 80, 75]])
    -7.5
    """
    return _drop(matrix, lambda column: max(column[:-1]))


def forgetting_avalanche(matrix: Matrix) -> float:
    """Avalanche stream forgetting: mean_{i<T-1} (R[i, i] - R[T-1, i]).

    >>> forgetting_avalanche([[60], [80, 70], [50, 75, 90]])
    2.5
    >>> forgetting_avalanche([[50], [60, 70], [65, 80, 75]])
    -12.5
    """
    return _drop(matrix, lambda column: column[0])


def backward_transfer(matrix: Matrix) -> float:
    """Lopez-Paz and Ranzato 2017: mean_{i<T-1} (R[T-1, i] - R[i, i]); negative is forgetting.

    >>> backward_transfer([[60], [80, 70], [50, 75, 90]])
    -2.5
    >>> backward_transfer([[50], [60, 70], [65, 80, 75]])
    12.5
    """
    return 0.0 - forgetting_avalanche(matrix)


def forgetting_coda(matrix: Matrix) -> float:
    """CODA-Prompt: mean over t >= 1 of the mean loss on old phases between rows t - 1 and t.

    >>> forgetting_coda([[60], [80, 70], [50, 75, 90]])
    -3.75
    >>> forgetting_coda([[50], [60, 70], [65, 80, 75]])
    -8.75
    """
    _check(matrix)
    if len(matrix) < 2:
        return math.nan
    steps = [
        np.mean(np.subtract(before, after[:-1])) for before, after in itertools.pairwise(matrix)
    ]
    return float(np.mean(steps))


def _drop(matrix: Matrix, reference: Callable[[list[float]], float]) -> float:
    """Mean over all phases but the last of a reference value of its column less the final one."""
    _check(matrix)
    last = len(matrix) - 1
    if last == 0:
        return math.nan
    columns = [[row[i] for row in matrix[i:]] for i in range(last)]
    return float(np.mean([reference(column) - column[-1] for column in columns]))


def _check(matrix: Matrix) -> None:
    if not matrix or any(len(row) != t + 1 for t, row in enumerate(matrix)):
        raise ValueError("an accuracy matrix has rows of 1, 2, 3, ... numbers")
