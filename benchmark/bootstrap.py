"""Intervals for the difference of two methods: a paired bootstrap over test images, t over orders.

Test images recur in every class order, so they are resampled once for all orders and both methods,
within their classes. With n = 3 or 5 class orders a bootstrap over orders is too narrow: no draw
lies outside the range of the n differences, which covers the truth with probability 1 - 2**(1 - n)
only (75 % for three). So their mean is drawn from Student's t with n - 1 degrees of freedom. The
variance between orders already includes the effect of an image in one order alone, so the images'
part is reduced to what they have in common over orders (Owen 2007, "The pigeonhole bootstrap";
Hesterberg 2015, "What teachers should know about the bootstrap").
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

LEVEL = 0.95
DRAWS = 2000
#: Draws of the mean over orders for each draw of images: t with few degrees has long tails.
_ORDER_DRAWS = 25


class Interval(NamedTuple):
    """A difference in percentage points, the bounds of its interval and a two-sided p-value."""

    difference: float
    low: float
    high: float
    p: float = float("nan")

    @property
    def holds_zero(self) -> bool:
        """Whether no difference is shown."""
        return self.low <= 0 <= self.high


def image_scores(
    phases: npt.ArrayLike,
    correct: npt.ArrayLike,
    images: npt.ArrayLike,
    introduced: npt.ArrayLike,
    weights: Sequence[Sequence[float]],
) -> Floats:
    """How many points each of N test images contributes to a figure of one run: they sum to it.

    `phases`, `correct`, `images` and `introduced` are (P,), an entry per prediction: the phase
    after which it was made, whether it was right, its image (0 ... N - 1), and the phase that
    introduced the image's class. Row t of `weights` has t + 1 entries: the figure is the sum of
    weights[t][i] * R[t][i] over the accuracy matrix R (`metrics.linear_weights`).

    Two images of phase 0 and one of phase 1; the average incremental accuracy of 50 and then 2/3:

    >>> scores = image_scores(phases=[0, 0, 1, 1, 1], correct=[1, 0, 1, 0, 1],
    ...                       images=[0, 1, 0, 1, 2], introduced=[0, 0, 0, 0, 1],
    ...                       weights=[[0.5], [1 / 3, 1 / 6]])
    >>> scores.round(4).tolist(), round(float(scores.sum()), 4)
    ([41.6667, 0.0, 16.6667], 58.3333)
    """
    after, right = np.asarray(phases, dtype=np.int64), np.asarray(correct, dtype=np.float64)
    image, phase = np.asarray(images, dtype=np.int64), np.asarray(introduced, dtype=np.int64)
    count = len(weights)
    square = np.zeros((count, count))
    for t, row in enumerate(weights):
        square[t, : t + 1] = row
    sizes = np.bincount(phase[after == count - 1], minlength=count)
    points = 100 * square[after, phase] * right / sizes[phase]
    return np.bincount(image, weights=points).astype(np.float64)


def paired_interval(
    differences: npt.ArrayLike,
    classes: npt.ArrayLike,
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """The mean difference over class orders and its interval for new images and new orders.

    `differences` is (n, N) for n class orders and N test images: the image's score with one method
    less that with the other (`image_scores`). `classes` is (N,), the class of each image;
    images are resampled within it. The same arguments give the same interval.

    Raises:
        ValueError: There are fewer than two orders, or shapes do not fit.

    A method that is better by one point in each of three orders, on every image alike:

    >>> paired_interval([[0.25] * 4] * 3, [0, 0, 1, 1])
    Interval(difference=1.0, low=1.0, high=1.0, p=4e-05)
    >>> shown = paired_interval([[0.5, 0.25, 0, 0.25], [0, 0.5, 0.25, 0.5]], [0, 0, 1, 1])
    >>> shown.difference, shown.holds_zero  # two orders show next to nothing
    (1.125, True)
    """
    scores, strata = np.asarray(differences, dtype=np.float64), np.asarray(classes)
    if scores.ndim != 2 or len(scores) < 2 or strata.shape != scores.shape[1:]:
        raise ValueError(f"scores {scores.shape} of two orders or more, classes {strata.shape}")
    orders = len(scores)
    labels, sizes = np.unique(strata, return_counts=True)
    images, chance = _draws(tuple(sizes.tolist()), orders, draws, seed)
    totals = scores.sum(axis=1)
    centre = float(totals.mean())
    resampled, variance, within = np.zeros(draws), 0.0, 0.0
    for label, size, times in zip(labels, sizes, images, strict=True):
        if size == 1:
            continue  # a single image shows nothing about others
        residuals = scores[:, strata == label]
        residuals = residuals - residuals.mean(axis=1, keepdims=True)
        residuals *= np.sqrt(size / (size - 1))  # else resampling from few images is too narrow
        common = residuals.mean(axis=0)
        resampled += times @ common
        variance += float((common**2).sum())
        within += float(((residuals - common) ** 2).sum()) / (orders - 1) / orders
    if variance > 0:
        resampled *= np.sqrt(max(0.0, 1 - within / variance))
    error = totals.std(ddof=1) / np.sqrt(orders)
    drawn = chance * error + resampled
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    beyond = min((drawn <= -centre).sum(), (drawn >= -centre).sum())
    p = min(1.0, 2 * (int(beyond) + 1) / (drawn.size + 1))
    return Interval(centre, centre + float(low), centre + float(high), round(p, 5))


@functools.lru_cache(maxsize=2)
def _draws(
    sizes: tuple[int, ...], orders: int, draws: int, seed: int
) -> tuple[list[npt.NDArray[np.int16]], Floats]:
    """Per class, (draws, images) how often each image is drawn; and the draws of Student's t."""
    random = np.random.default_rng(seed)
    images = []
    for size in sizes:
        drawn = random.integers(size, size=(draws, size)) if size > 1 else np.zeros((draws, 1), int)
        drawn += size * np.arange(draws)[:, None]
        times = np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size)
        images.append(times.astype(np.int16))
    return images, random.standard_t(orders - 1, size=(_ORDER_DRAWS, draws))
