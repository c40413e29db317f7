"""Intervals of differences: by hand, and whether they cover the truth as often as they claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmark.bootstrap import Floats, Interval, image_scores, paired_interval
from benchmark.metrics import METRICS, linear_weights, summary
from benchmark.table.compare import ACCURACIES

CLASSES = np.repeat(np.arange(20), 10)


def experiment(
    random: np.random.Generator, orders: int, *, image: float, noise: float, order: float
) -> Floats:
    """Image scores of two methods that are equally good over all images and class orders.

    Args:
        random: Where chance comes from.
        orders: Number of class orders.
        image: Deviation between images, the same in all orders.
        noise: Deviation of an image from order to order.
        order: Deviation between orders, the same for all images.
    """
    shape = (orders, len(CLASSES))
    found = random.normal(0, image, shape[1]) + random.normal(0, noise, shape)
    return 100 * (found + random.normal(0, order, (orders, 1))) / shape[1]


def percentile(scores: Floats, random: np.random.Generator, draws: int = 300) -> Interval:
    """What is often done: orders and images are both resampled, and quantiles taken."""
    orders, images = scores.shape
    rows = scores[random.integers(orders, size=(draws, orders))].mean(axis=1)
    counts = random.multinomial(images, [1 / images] * images, size=draws)
    low, high = np.quantile((rows * counts).sum(axis=1), [0.025, 0.975])
    return Interval(float(scores.sum(axis=1).mean()), float(low), float(high))


def coverage(make: Callable[[Floats, int], Interval], orders: int, **effects: float) -> float:
    """Share of 300 experiments without any difference whose interval holds zero."""
    random = np.random.default_rng([7, orders])
    return float(
        np.mean([make(experiment(random, orders, **effects), r).holds_zero for r in range(300)])
    )


def ours(scores: Floats, number: int) -> Interval:
    return paired_interval(scores, CLASSES, draws=300, seed=number)


@pytest.mark.parametrize("orders", [3, 5])
@pytest.mark.parametrize(
    "effects",
    [
        {"image": 1.0, "noise": 0.2, "order": 0.0},
        {"image": 0.0, "noise": 0.6, "order": 0.0},
        {"image": 0.2, "noise": 0.2, "order": 0.05},
        {"image": 0.3, "noise": 0.5, "order": 0.02},
    ],
    ids=["images", "chance", "orders", "all"],
)
def test_intervals_hold_the_truth_as_often_as_they_claim(
    orders: int, effects: dict[str, float]
) -> None:
    assert 0.92 <= coverage(ours, orders, **effects) <= 0.985


def test_resampling_three_orders_would_not() -> None:
    random = np.random.default_rng(0)
    found = coverage(
        lambda scores, _: percentile(scores, random), 3, image=0.2, noise=0.2, order=0.05
    )
    assert found < 0.9


def test_a_real_difference_is_found() -> None:
    random = np.random.default_rng(1)
    scores = experiment(random, 5, image=0.3, noise=0.3, order=0.01) + 10 / len(CLASSES)
    found = paired_interval(scores, CLASSES)
    assert found.low > 0
    assert found.low < 10 < found.high
    assert not found.holds_zero
    mirrored = paired_interval(-scores, CLASSES)
    assert mirrored.difference == pytest.approx(-found.difference)
    assert mirrored.high < 0


def test_with_orders_alone_it_is_the_t_interval() -> None:
    totals = np.array([1.0, 2.0, 4.0])
    scores = np.repeat(totals[:, None] / 200, 200, axis=1)  # every image alike
    found = paired_interval(scores, CLASSES, draws=4000)
    half = 4.3027 * totals.std(ddof=1) / np.sqrt(3)
    assert found.difference == pytest.approx(totals.mean())
    assert found.low == pytest.approx(totals.mean() - half, rel=0.05)
    assert found.high == pytest.approx(totals.mean() + half, rel=0.05)


def test_with_images_alone_it_is_the_bootstrap_of_their_sum() -> None:
    random = np.random.default_rng(2)
    image = random.normal(0, 1, 200)
    by_class = image.reshape(20, 10)
    by_class -= by_class.mean(axis=1, keepdims=True)
    found = paired_interval(np.tile(image, (3, 1)), CLASSES, draws=4000)
    error = np.sqrt((10 * by_class.var(axis=1, ddof=1)).sum())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_the_same_numbers_give_the_same_interval() -> None:
    scores = experiment(np.random.default_rng(3), 3, image=0.3, noise=0.3, order=0.02)
    assert paired_interval(scores, CLASSES) == paired_interval(scores.copy(), CLASSES.copy())
    assert paired_interval(scores, CLASSES) != paired_interval(scores, CLASSES, seed=1)


def test_classes_of_one_image_and_what_does_not_fit() -> None:
    found = paired_interval(np.array([[1.0, 2.0], [2.0, 3.0]]), [0, 1])
    assert found.difference == 4.0
    assert found.holds_zero
    for scores, classes in (([[1.0, 2.0]], [0, 0]), ([[1.0, 2.0]] * 2, [0]), ([1.0, 2.0], [0, 0])):
        with pytest.raises(ValueError, match="two orders or more"):
            paired_interval(scores, classes)


@pytest.mark.parametrize("sizes", [[7], [5, 3, 7], [1] * 200])
def test_weights_are_those_of_the_figure(sizes: list[int]) -> None:
    random = np.random.default_rng(0)
    matrix = [random.uniform(0, 100, t + 1).tolist() for t in range(len(sizes))]
    linear = [name for name, metric in METRICS.items() if metric.row_weights]
    assert set(ACCURACIES.values()) == set(linear)
    for name in linear:
        weights = linear_weights(name, sizes)
        found = sum(float(np.dot(*rows)) for rows in zip(weights, matrix, strict=True))
        assert found == pytest.approx(METRICS[name].compute(matrix, sizes))


def test_scores_of_images_sum_to_the_figure() -> None:
    random = np.random.default_rng(4)
    introduced = np.array([0] * 5 + [1] * 3 + [2] * 7)
    sizes = [5, 3, 7]
    rows: list[Any] = [
        (t, int(random.random() < 0.6), image)
        for t in range(3)
        for image in range(sum(sizes[: t + 1]))
    ]
    phases, correct, images = map(np.array, zip(*rows, strict=True))
    matrix = [
        [
            100 * float(correct[(phases == t) & (introduced[images] == i)].mean())
            for i in range(t + 1)
        ]
        for t in range(3)
    ]
    wanted = summary(matrix, sizes)
    for name in METRICS:
        if "accuracy" in name:
            weights = linear_weights(name, sizes)
            scores = image_scores(phases, correct, images, introduced[images], weights)
            assert scores.shape == (15,)
            assert scores.sum() == pytest.approx(wanted[name])
