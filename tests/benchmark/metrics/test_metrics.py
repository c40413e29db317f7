"""Metrics against the hand-computed values of the specification, and laws that always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark import metrics

GOLDEN = [[60.0], [80.0, 70.0], [50.0, 75.0, 90.0]]
IMPROVING = [[50.0], [60.0, 70.0], [65.0, 80.0, 75.0]]
SIZES = [100, 50, 50]


@st.composite
def matrices(draw: st.DrawFn, least: int = 1) -> list[list[float]]:
    phases = draw(st.integers(least, 6))
    cell = st.floats(0, 100, allow_nan=False)
    return [draw(st.lists(cell, min_size=t + 1, max_size=t + 1)) for t in range(phases)]


def test_golden_accuracies() -> None:
    assert metrics.accuracy_curve(GOLDEN) == pytest.approx([60, 75, 71.6667], abs=1e-4)
    assert metrics.accuracy_curve(GOLDEN, SIZES) == pytest.approx([60, 76.6667, 66.25], abs=1e-4)
    found = metrics.summary(GOLDEN, SIZES)
    assert found["average_incremental_accuracy"] == pytest.approx(67.6389, abs=1e-4)
    assert found["average_incremental_accuracy_phase_weighted"] == pytest.approx(68.8889, abs=1e-4)
    assert found["last_accuracy"] == 66.25
    assert found["last_accuracy_phase_weighted"] == pytest.approx(71.6667, abs=1e-4)
    assert found["learning_accuracy"] == pytest.approx(73.3333, abs=1e-4)


@pytest.mark.parametrize(
    ("matrix", "pilot", "chaudhry", "avalanche", "transfer", "coda"),
    [(GOLDEN, 15.0, 12.5, 2.5, -2.5, -3.75), (IMPROVING, 0.0, -7.5, -12.5, 12.5, -8.75)],
)
def test_golden_forgetting(
    matrix: list[list[float]],
    pilot: float,
    chaudhry: float,
    avalanche: float,
    transfer: float,
    coda: float,
) -> None:
    found = metrics.summary(matrix, SIZES)
    assert found["forgetting"] == pilot
    assert found["forgetting_chaudhry"] == chaudhry
    assert found["forgetting_avalanche"] == avalanche
    assert found["backward_transfer"] == transfer
    assert found["forgetting_coda"] == coda


def test_one_phase_forgets_nothing_and_says_none() -> None:
    found = metrics.summary([[42.0]], [10])
    assert found["last_accuracy"] == found["learning_accuracy"] == 42.0
    undefined = {name for name, value in found.items() if value is None}
    assert undefined == {
        "forgetting",
        "forgetting_chaudhry",
        "forgetting_avalanche",
        "forgetting_coda",
        "backward_transfer",
    }
    assert math.isnan(metrics.forgetting([[42.0]]))


@settings(max_examples=50, deadline=None)
@given(matrices(least=2))
def test_relations_between_definitions(matrix: list[list[float]]) -> None:
    pilot = metrics.forgetting(matrix)
    assert pilot >= 0
    assert pilot >= metrics.forgetting_chaudhry(matrix) - 1e-9
    assert metrics.forgetting_chaudhry(matrix) >= metrics.forgetting_avalanche(matrix) - 1e-9
    assert metrics.backward_transfer(matrix) == -metrics.forgetting_avalanche(matrix)


@settings(max_examples=50, deadline=None)
@given(matrices(), st.integers(1, 50))
def test_equal_test_sizes_make_both_weightings_agree(matrix: list[list[float]], size: int) -> None:
    sizes = [size] * len(matrix)
    assert metrics.accuracy_curve(matrix, sizes) == pytest.approx(metrics.accuracy_curve(matrix))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_weighted_rows_equal_plain_counting(seed: int) -> None:
    random = np.random.default_rng(seed)
    phase_of_class = [0, 0, 1, 1, 2]
    labels = np.concatenate([np.arange(5), random.integers(0, 5, 60)])
    predictions = np.where(random.random(65) < 0.6, labels, random.integers(0, 5, 65))
    row = metrics.phase_accuracies(labels, predictions, phase_of_class, seen=3)
    sizes = np.bincount(np.asarray(phase_of_class)[labels])
    share = 100 * float(np.mean(labels == predictions))
    assert metrics.sample_weighted_accuracy(row, [int(n) for n in sizes]) == pytest.approx(share)


@pytest.mark.parametrize("matrix", [[], [[1.0, 2.0]], [[1.0], [2.0]]])
def test_matrix_of_another_shape_is_refused(matrix: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="accuracy matrix"):
        metrics.summary(matrix, [1] * len(matrix))


def test_sizes_must_fit() -> None:
    with pytest.raises(ValueError, match="test sizes"):
        metrics.summary(GOLDEN, [100, 50])


def test_phase_accuracies_refuse_holes_and_the_future() -> None:
    with pytest.raises(ValueError, match="phase 1 has no test samples"):
        metrics.phase_accuracies([0], [0], [0, 1], seen=2)
    with pytest.raises(ValueError, match="only 1 phases are seen"):
        metrics.phase_accuracies([0, 1], [0, 1], [0, 1], seen=1)
    with pytest.raises(ValueError, match="do not correspond"):
        metrics.phase_accuracies([0, 1], [0], [0, 1], seen=2)


def test_mean_std_is_the_sample_deviation() -> None:
    assert metrics.mean_std([60.0, 64.0]) == pytest.approx((62.0, math.sqrt(8), 2))
    assert metrics.mean_std([60.0]).std is None
    with pytest.raises(ValueError, match="no values"):
        metrics.mean_std([])
