"""Every figure of a run by name, and means over runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from benchmark.metrics.matrix import (
    Matrix,
    average_incremental_accuracy,
    backward_transfer,
    forgetting,
    forgetting_avalanche,
    forgetting_chaudhry,
    forgetting_coda,
    last_accuracy,
    learning_accuracy,
)

#: All figures of one run by name, in percent or percentage points; None where undefined.
Metrics: TypeAlias = dict[str, float | None]


class Metric(NamedTuple):
    """One figure: how it follows from matrix and sizes, and what it is.

    `row_weights` of a figure that is linear in the matrix: from a row's position and the sizes, the
    weights of its t + 1 entries.
    """

    compute: Callable[[Matrix, Sequence[int]], float]
    definition: str
    row_weights: Callable[[int, Sequence[int]], list[float]] | None = None


class Spread(NamedTuple):
    """Mean over runs, sample standard deviation (None for a single run) and number of runs."""

    mean: float
    std: float | None
    n: int


def _by_samples(t: int, sizes: Sequence[int]) -> list[float]:
    total = sum(sizes[: t + 1])
    return [size / total for size in sizes[: t + 1]]


def _by_phases(t: int, sizes: Sequence[int]) -> list[float]:
    return [1 / (t + 1)] * (t + 1)


def _last(
    t: int, sizes: Sequence[int], weights: Callable[[int, Sequence[int]], list[float]]
) -> list[float]:
    return weights(t, sizes) if t == len(sizes) - 1 else [0.0] * (t + 1)


#: Every metric there is. Tables, CSV, pages and checks follow this table: a new one is a new row.
METRICS: dict[str, Metric] = {
    "average_incremental_accuracy": Metric(
        average_incremental_accuracy,
        "mean over phases of the accuracy on all test samples of the classes seen by then (PILOT, "
        "PyCIL)",
        lambda t, sizes: [weight / len(sizes) for weight in _by_samples(t, sizes)],
    ),
    "last_accuracy": Metric(
        last_accuracy,
        "accuracy on all test samples after the last phase (PILOT, PyCIL)",
        lambda t, sizes: _last(t, sizes, _by_samples),
    ),
    "average_incremental_accuracy_phase_weighted": Metric(
        lambda matrix, _: average_incremental_accuracy(matrix),
        "as the first, with equal weight for each phase's test data however many samples it has",
        lambda t, sizes: [weight / len(sizes) for weight in _by_phases(t, sizes)],
    ),
    "last_accuracy_phase_weighted": Metric(
        lambda matrix, _: last_accuracy(matrix),
        "mean over phases of the last row of the matrix (L2P, DualPrompt, CODA-Prompt, Mammoth)",
        lambda t, sizes: _last(t, sizes, _by_phases),
    ),
    "learning_accuracy": Metric(
        lambda matrix, _: learning_accuracy(matrix),
        "mean accuracy on a phase's classes right after they were learnt: the diagonal. Low "
        "forgetting means little where this is low",
        lambda t, sizes: [0.0] * t + [1 / len(sizes)],
    ),
    "forgetting": Metric(
        lambda matrix, _: forgetting(matrix),
        "mean over old phases of best accuracy ever less final accuracy (PILOT, L2P, Mammoth); "
        "never negative",
    ),
    "forgetting_chaudhry": Metric(
        lambda matrix, _: forgetting_chaudhry(matrix),
        "the same, with the best accuracy before the final phase (Chaudhry et al. 2018)",
    ),
    "forgetting_avalanche": Metric(
        lambda matrix, _: forgetting_avalanche(matrix),
        "mean over old phases of first accuracy less final accuracy (Avalanche)",
    ),
    "forgetting_coda": Metric(
        lambda matrix, _: forgetting_coda(matrix),
        "mean loss on old phases from each phase to the next (CODA-Prompt)",
    ),
    "backward_transfer": Metric(
        lambda matrix, _: backward_transfer(matrix),
        "mean over old phases of final accuracy less first accuracy (Lopez-Paz and Ranzato 2017)",
    ),
}


def summary(matrix: Matrix, sizes: Sequence[int]) -> Metrics:
    """Return every metric of a run at once.

    Args:
        matrix: T rows, row t with t + 1 percentages.
        sizes: T numbers of test samples.

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
    return {name: _defined(metric.compute(matrix, sizes)) for name, metric in METRICS.items()}


def linear_weights(name: str, sizes: Sequence[int]) -> list[list[float]]:
    """Weights of the matrix's entries in a figure that is linear in them: every accuracy is.

    Args:
        name: One of `METRICS`.
        sizes: T numbers of test samples.

    Returns:
        T rows, row t with t + 1 weights.

    Raises:
        ValueError: The figure is no accuracy, or not linear: a maximum, as in forgetting.

    >>> linear_weights("last_accuracy", [100, 50, 50])
    [[0.0], [0.0, 0.0], [0.5, 0.25, 0.25]]
    >>> linear_weights("forgetting", [100, 50, 50])
    Traceback (most recent call last):
    ...
    ValueError: forgetting is not linear in the accuracy matrix
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
    >>> mean_std([4.0])
    Spread(mean=4.0, std=None, n=1)
    """
    if not values:
        raise ValueError("no values to average")
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), std, len(values))


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
