"""Rankings of a class's samples: against the papers' own loops, and what must always hold."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from baselines.exemplars.selection import at_random, by_cosine, herding, unit

Features = NDArray[np.float64]

features = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 5)),
    elements=st.floats(-10, 10, width=32),
)


def plain_herding(rows: Features) -> tuple[list[int], list[float]]:
    """iCaRL's Algorithm 4 as a loop, without a sample being taken twice; and each pick's cost."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    mean, chosen, costs = rows.mean(0), [], []
    for k in range(1, len(rows) + 1):
        best, best_cost = -1, np.inf
        for i, row in enumerate(rows):
            if i in chosen:
                continue
            cost = float(np.linalg.norm(mean - (row + sum(rows[j] for j in chosen)) / k))
            if cost < best_cost:
                best, best_cost = i, cost
        chosen.append(best)
        costs.append(best_cost)
    return chosen, costs


def test_herding_by_hand() -> None:
    rows = np.array([[1, 0], [0, 1], [1, 1], [2, 1], [-1, 2]])
    assert herding(rows) == plain_herding(rows.astype(float))[0] == [2, 1, 0, 4, 3]
    np.testing.assert_allclose(unit(rows).mean(0), [0.430864, 0.609750], atol=1e-6)
    first = np.linalg.norm(unit(rows).mean(0) - unit(rows), axis=1)
    np.testing.assert_allclose(first, [0.83409, 0.58133, 0.29290, 0.49123, 0.92307], atol=1e-5)


def test_herding_is_the_plain_loop() -> None:
    for seed in range(20):
        rows = np.random.default_rng(seed).normal(size=(15, 6))
        assert herding(rows) == plain_herding(rows)[0]


@given(features)
def test_every_ranking_is_a_permutation(rows: Features) -> None:
    everyone = list(range(len(rows)))
    assert sorted(herding(rows)) == everyone
    assert sorted(by_cosine(rows, rows.mean(0))) == everyone
    assert sorted(at_random(len(rows), np.random.default_rng(0))) == everyone


def test_lengths_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(10, 4))
    longer = rows * rng.uniform(0.1, 50, size=(10, 1))
    np.testing.assert_allclose(unit(longer), unit(rows))
    assert herding(longer) == herding(rows)
    assert by_cosine(longer, rows[0] * 7) == by_cosine(rows, rows[0])


def test_cosine_ranks_by_angle_and_keeps_the_order_of_ties() -> None:
    rows = np.array([[0, 3], [9, 9], [1, 1], [5, 0.1], [0, 0]])
    assert by_cosine(rows, np.array([2, 0])) == [3, 1, 2, 0, 4]
    same = np.ones((6, 3))
    assert by_cosine(same, np.ones(3)) == list(range(6))


def test_random_is_a_function_of_its_generator() -> None:
    orders = [at_random(30, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert all(type(i) is int for i in orders[0])


def test_nobody_to_rank() -> None:
    nobody = np.zeros((0, 4))
    assert by_cosine(nobody, np.ones(4)) == at_random(0, np.random.default_rng(0)) == []
