"""Accuracy, forgetting and transfer: of a matrix of accuracies, of a run, over runs.

`R[t][i]` is the accuracy in percent on the test data of phase `i` after training phase `t`, the
prediction being the argmax over all classes seen by then; row `t` holds `t + 1` numbers. `sizes[i]`
is the number of test samples of phase `i`. The primary figures are those of PILOT and PyCIL (Sun et
al. 2023, Zhou et al. 2021). With one phase forgetting and transfer are NaN; forward transfer is
left out, as a head has no outputs for future classes.

A new metric is one function under `@metric`: all else follows `METRICS`. Folders in here are of the
library `evaluate`, as in `evaluate.load("benchmark/metrics/forgetting")`.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from benchmark.metrics.matrix import Matrix as Matrix
from benchmark.metrics.matrix import accuracy_matrix as accuracy_matrix
from benchmark.metrics.matrix import phase_accuracies as phase_accuracies
from benchmark.metrics.matrix import phase_weighted_accuracy as phase_weighted_accuracy
from benchmark.metrics.matrix import sample_weighted_accuracy as sample_weighted_accuracy

#: From the position of a row and the test sizes, the weights of the row's entries.
RowWeights: TypeAlias = Callable[[int, Sequence[int]], list[float]]
#: All figures of one run by name, in percent or percentage points; None where undefined.
Metrics: TypeAlias = dict[str, float | None]
_Formula = TypeVar("_Formula", bound=Callable[..., float])


class Metric(NamedTuple):
    """One figure: how it follows from matrix and sizes, and its definition in words.

    `row_weights` are those of a figure that is linear in the matrix, as intervals need them.
    `column` heads its column in wide tables; "" leaves it to frames, CSV, JSON and pages.
    """

    compute: Callable[[Matrix, Sequence[int]], float]
    definition: str
    row_weights: RowWeights | None = None
    column: str = ""


class Spread(NamedTuple):
    """Mean over runs, sample standard deviation (None for a single run) and number of runs."""

    mean: float
    std: float | None
    n: int


#: Every metric by name, in the order of tables.
METRICS: dict[str, Metric] = {}


def metric(
    definition: str, row_weights: RowWeights | None = None, *, column: str = ""
) -> Callable[[_Formula], _Formula]:
    """Register a function of the matrix, or of matrix and sizes, as the metric of its name."""

    def register(formula: _Formula) -> _Formula:
        compute: Any = formula
        if len(inspect.signature(formula).parameters) == 1:
            compute = lambda matrix, _: formula(matrix)  # noqa: E731
        METRICS[formula.__name__] = Metric(compute, definition, row_weights, column)
        return formula

    return register


def accuracy_curve(matrix: Matrix, sizes: Sequence[int] | None = None) -> list[float]:
    """A_t for every phase t; sample-weighted with `sizes`, else phase-weighted.

    >>> [round(a, 4) for a in accuracy_curve([[60], [80, 70], [50, 75, 90]], [100, 50, 50])]
    [60.0, 76.6667, 66.25]
    """
    _check(matrix)
    if sizes is None:
        return [phase_weighted_accuracy(row) for row in matrix]
    return [sample_weighted_accuracy(row, sizes) for row in matrix]


def _by_samples(t: int, sizes: Sequence[int]) -> list[float]:
    total = sum(sizes[: t + 1])
    return [size / total for size in sizes[: t + 1]]


def _by_phases(t: int, sizes: Sequence[int]) -> list[float]:
    return [1 / (t + 1)] * (t + 1)


def _mean_row(weights: RowWeights) -> RowWeights:
    return lambda t, sizes: [weight / len(sizes) for weight in weights(t, sizes)]


def _last_row(weights: RowWeights) -> RowWeights:
    return lambda t, sizes: weights(t, sizes) if t == len(sizes) - 1 else [0.0] * (t + 1)


@metric(
    "mean over phases of the accuracy on all test samples of the classes seen by then (PILOT, "
    "PyCIL)",
    _mean_row(_by_samples),
)
def average_incremental_accuracy(matrix: Matrix, sizes: Sequence[int] | None = None) -> float:
    """Mean of A_t over all phases; sample-weighted with `sizes`, else phase-weighted.

    >>> R = [[60], [80, 70], [50, 75, 90]]
    >>> round(average_incremental_accuracy(R, [100, 50, 50]), 4)
    67.6389
    """
    return float(np.mean(accuracy_curve(matrix, sizes)))


@metric("accuracy on all test samples after the last phase (PILOT, PyCIL)", _last_row(_by_samples))
def last_accuracy(matrix: Matrix, sizes: Sequence[int] | None = None) -> float:
    """Accuracy after the last phase; sample-weighted with `sizes`, else phase-weighted.

    >>> last_accuracy([[60], [80, 70], [50, 75, 90]], [100, 50, 50])
    66.25
    """
    return accuracy_curve(matrix, sizes)[-1]


@metric(
    "as the first, with equal weight for each phase's test data however many samples it has",
    _mean_row(_by_phases),
)
def average_incremental_accuracy_phase_weighted(matrix: Matrix) -> float:
    """Mean of the phase-weighted A_t over all phases.

    >>> round(average_incremental_accuracy_phase_weighted([[60], [80, 70], [50, 75, 90]]), 4)
    68.8889
    """
    return average_incremental_accuracy(matrix)


@metric(
    "mean over phases of the last row of the matrix (L2P, DualPrompt, CODA-Prompt, Mammoth)",
    _last_row(_by_phases),
)
def last_accuracy_phase_weighted(matrix: Matrix) -> float:
    """The phase-weighted A_t of the last phase."""
    return last_accuracy(matrix)


@metric(
    "mean accuracy on a phase's classes right after they were learned: the diagonal. Low "
    "forgetting means little where this is low",
    lambda t, sizes: [0.0] * t + [1 / len(sizes)],
)
def learning_accuracy(matrix: Matrix) -> float:
    """Mean accuracy on a phase right after training it: mean_i R[i, i].

    >>> round(learning_accuracy([[60], [80, 70], [50, 75, 90]]), 4)
    73.3333
    """
    _check(matrix)
    return float(np.mean([row[-1] for row in matrix]))


@metric(
    "mean over old phases of best accuracy ever less final accuracy (PILOT, L2P, Mammoth); "
    "never negative",
    column="Forgetting",
)
def forgetting(matrix: Matrix) -> float:
    """PILOT, PyCIL, L2P, Mammoth: mean_{i<T-1} (max_t R[t, i] - R[T-1, i]), never negative.

    The maximum runs over all rows, the final one included.

    >>> forgetting([[60], [80, 70], [50, 75, 90]])
    15.0
    >>> forgetting([[50], [60, 70], [65, 80, 75]])
    0.0
    """
    return _drop(matrix, max)


@metric("the same, with the best accuracy before the final phase (Chaudhry et al. 2018)")
def forgetting_chaudhry(matrix: Matrix) -> float:
    """Chaudhry et al. 2018: as `forgetting`, the maximum without the final row; may be negative.

    >>> forgetting_chaudhry([[50], [60, 70], [65, 80, 75]])
    -7.5
    """
    return _drop(matrix, lambda column: max(column[:-1]))


@metric("mean over old phases of first accuracy less final accuracy (Avalanche)")
def forgetting_avalanche(matrix: Matrix) -> float:
    """Avalanche stream forgetting: mean_{i<T-1} (R[i, i] - R[T-1, i]).

    >>> forgetting_avalanche([[60], [80, 70], [50, 75, 90]])
    2.5
    """
    return _drop(matrix, lambda column: column[0])


@metric("mean loss on old phases from each phase to the next (CODA-Prompt)")
def forgetting_coda(matrix: Matrix) -> float:
    """CODA-Prompt: mean over t >= 1 of the mean loss on old phases between rows t - 1 and t.

    >>> forgetting_coda([[60], [80, 70], [50, 75, 90]])
    -3.75
    """
    _check(matrix)
    if len(matrix) < 2:
        return math.nan
    pairs = itertools.pairwise(matrix)
    return float(np.mean([np.mean(np.subtract(before, after[:-1])) for before, after in pairs]))


@metric("mean over old phases of final accuracy less first accuracy (Lopez-Paz and Ranzato 2017)")
def backward_transfer(matrix: Matrix) -> float:
    """Lopez-Paz and Ranzato 2017: mean_{i<T-1} (R[T-1, i] - R[i, i]); negative is forgetting.

    >>> backward_transfer([[60], [80, 70], [50, 75, 90]])
    -2.5
    """
    return 0.0 - forgetting_avalanche(matrix)


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


def summary(matrix: Matrix, sizes: Sequence[int]) -> Metrics:
    """Every metric of a run at once, from T rows of percentages and T numbers of test samples.

    Raises:
        ValueError: The matrix is empty or not lower-triangular, or `sizes` does not fit.

    >>> found = summary([[60], [80, 70], [50, 75, 90]], [100, 50, 50])
    >>> found["forgetting"], found["last_accuracy"]
    (15.0, 66.25)
    >>> summary([[60]], [100])["forgetting"] is None
    True
    """
    if len(sizes) != len(matrix):
        raise ValueError(f"{len(matrix)} rows, but {len(sizes)} test sizes")
    found = {name: metric.compute(matrix, sizes) for name, metric in METRICS.items()}
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def linear_weights(name: str, sizes: Sequence[int]) -> list[list[float]]:
    """Weights of the matrix's entries, row t with t + 1, in a figure that is linear in them.

    Raises:
        ValueError: The figure is not linear: a maximum, as in forgetting.

    >>> linear_weights("last_accuracy", [100, 50, 50])
    [[0.0], [0.0, 0.0], [0.5, 0.25, 0.25]]
    """
    row_weights = METRICS[name].row_weights
    if row_weights is None:
        raise ValueError(f"{name} is not linear in the accuracy matrix")
    return [row_weights(t, sizes) for t in range(len(sizes))]


def mean_std(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation (n - 1) over runs.

    Raises:
        ValueError: There is no value.

    >>> mean_std([1.0, 2.0, 3.0])
    Spread(mean=2.0, std=1.0, n=3)
    """
    if not values:
        raise ValueError("no values to average")
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), std, len(values))
