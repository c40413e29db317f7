"""Which samples of a class to keep: rankings, best first, as pure functions of features."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

#: Names of the ways to rank.
RANKINGS = ("herding", "cosine", "random", "facility_location")


def unit(features: Array) -> Array:
    """Rows (N, D) scaled to length one, in double precision."""
    features = np.asarray(features, dtype=np.float64)
    scaled: Array = features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12)
    return scaled


def herding(features: Array) -> list[int]:
    """Order in which the mean of the chosen follows the class mean most closely (iCaRL, Alg. 4).

    Features (N, D) are scaled to unit length; their mean is not. No sample is taken twice. Any
    prefix is the herding choice of that size, so a memory shrinks by dropping its end.

    >>> herding(np.array([[1, 0], [0, 1], [1, 1], [2, 1], [-1, 2]]))
    [2, 1, 0, 4, 3]
    >>> herding(np.array([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8]]))[:3]
    [3, 2, 1]
    """
    rows = unit(features)
    mean = rows.mean(0)
    total = np.zeros_like(mean)
    left = list(range(len(rows)))
    order: list[int] = []
    while left:
        distances = np.linalg.norm(mean - (total + rows[left]) / (len(order) + 1), axis=1)
        order.append(left.pop(int(distances.argmin())))
        total += rows[order[-1]]
    return order


def by_cosine(features: Array, center: Array) -> list[int]:
    """Order of falling cosine similarity to `center` (D,); ties keep their order.

    >>> by_cosine(np.array([[0, 1], [1, 1], [1, 0.1]]), np.array([1, 0]))
    [2, 1, 0]
    """
    return [int(i) for i in np.argsort(-(unit(features) @ unit(center)), kind="stable")]


def at_random(count: int, rng: np.random.Generator) -> list[int]:
    """A random order of 0..count-1."""
    return [int(i) for i in rng.permutation(count)]


def facility_location(features: Array) -> list[int]:
    """Order in which each next one makes the chosen cover the class best (CRAIG's greedy choice).

    The cover of rows (N, D), scaled to unit length, is the sum over all of them of the similarity
    to the nearest chosen one; ties keep their order. Any prefix is the greedy choice of that size.

    >>> facility_location(np.array([[1, 0], [1, 0.2], [1, -0.2], [0, 1], [-1, 0]]))
    [1, 4, 3, 0, 2]
    """
    rows = unit(features)
    similarity = 1 + rows @ rows.T  # at least 0, the value of no cover
    covered = np.zeros(len(rows))
    left = list(range(len(rows)))
    order: list[int] = []
    while left:
        gains = np.maximum(similarity[left], covered).sum(1)
        order.append(left.pop(int(gains.argmax())))
        covered = np.maximum(covered, similarity[order[-1]])
    return order


def rank(name: str, features: Array, center: Array, rng: np.random.Generator) -> list[int]:
    """Order of preference by one of `RANKINGS`; features (N, D), center (D,) for cosine."""
    if name == "cosine":
        return by_cosine(features, center)
    if name == "facility_location":
        return facility_location(features)
    return herding(features) if name == "herding" else at_random(len(features), rng)
