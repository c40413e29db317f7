"""How much two rows of a table differ, over the runs and the test images they share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from benchmark.bootstrap import Floats, Interval, image_scores, paired_interval
from benchmark.metrics import linear_weights
from benchmark.results.records import read_judged
from benchmark.results.schema import Result
from benchmark.results.tables import Row, run_key
from benchmark.run_files import PREDICTIONS
from mm_imagenet_r.errors import UserError


class Difference(NamedTuple):
    """One row less another, in points, averaged over the `orders` class orders that both have.

    `mean` is None where they share no run; `why` says why there is no interval. With one class
    order alone the interval is over `seeds` seeds (else 0), and covers no other class order.
    """

    mean: float | None
    interval: Interval | None
    orders: int
    why: str
    seeds: int = 0

    @property
    def shown(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.interval is not None and not self.interval.holds_zero


class _Scores(NamedTuple):
    """Of one run: each test image's points by metric, its class (the data's own) and its name."""

    points: dict[str, Floats]
    classes: npt.NDArray[np.int64]
    file_names: list[str]


@dataclass(frozen=True)
class Comparer:
    """Compares rows in accuracies of `metrics.METRICS`; what it has read and computed is kept."""

    metrics: Sequence[str]
    _read: dict[tuple[Path, str], _Scores] = field(default_factory=dict)
    _found: dict[tuple[int, int, str], Difference] = field(default_factory=dict)
    _rows: list[Row] = field(default_factory=list)

    def difference(self, row: Row, base: Row, metric: str) -> Difference:
        """`row` less `base` in one of the metrics, paired by class order and seed.

        Seeds of one class order are averaged first, unless there is no other order.
        """
        key = (id(row.runs), id(base.runs), metric)  # the same runs stand beside several budgets
        if key not in self._found:
            self._rows.extend((row, base))  # so that no other runs get their identities
            self._found[key] = self._difference(row, base, metric)
        return self._found[key]

    def _difference(self, row: Row, base: Row, metric: str) -> Difference:
        pairs = _pairs(row, base)
        if not pairs:
            return Difference(None, None, 0, "no class order and seed in common")
        means = [
            np.mean([_figure(row.runs[i], metric) - _figure(base.runs[j], metric) for i, j in same])
            for same in pairs
        ]
        mean = float(np.mean(means))
        orders, seeds = len(pairs), 0
        if orders == 1:
            pairs = [[pair] for pair in pairs[0]]
            seeds = len(pairs)
        if len(pairs) < 2:
            return Difference(mean, None, orders, "one class order")
        try:
            scores, classes = self._scores(row, base, metric, pairs)
        except UserError as error:
            return Difference(mean, None, orders, str(error))
        return Difference(mean, paired_interval(scores, classes), orders, "", seeds)

    def _scores(
        self, row: Row, base: Row, metric: str, pairs: Sequence[Sequence[tuple[int, int]]]
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Differences (orders, images) of the same images' points, and the images' classes."""
        first: _Scores | None = None
        scores = []
        for same in pairs:
            of_order = []
            for i, j in same:
                one, other = self._of(row, i), self._of(base, j)
                first = first or one
                if not first.file_names == one.file_names == other.file_names:
                    raise UserError("other test images")
                of_order.append(one.points[metric] - other.points[metric])
            scores.append(np.mean(of_order, axis=0))
        assert first is not None
        return np.array(scores), first.classes

    def _of(self, row: Row, index: int) -> _Scores:
        folder, run = row.folders[index], row.runs[index]
        if folder is None or not (folder / PREDICTIONS).is_file():
            raise UserError("no predictions")
        key = (folder, row.classifier)
        if key not in self._read:
            self._read[key] = _read_scores(folder, run, row.classifier, self.metrics)
        return self._read[key]


def _read_scores(folder: Path, run: Result, classifier: str, metrics: Sequence[str]) -> _Scores:
    judged = read_judged(folder / PREDICTIONS, classifier, run["files"].get(PREDICTIONS))
    phase_of = np.full(len(run["class_order"]["order"]), -1)
    for phase in run["phases"]:
        phase_of[phase["classes"]] = phase["index"]
    foreign = f"{folder / PREDICTIONS} does not belong to its result"
    if judged.labels.max() >= len(phase_of) or judged.phases.max() >= len(run["phases"]):
        raise UserError(foreign)
    introduced, points = phase_of[judged.labels], {}
    for metric in metrics:
        weights = _weights(metric, tuple(run["test_sizes"]))
        points[metric] = image_scores(
            judged.phases, judged.correct, judged.images, introduced, weights
        )
        if not np.isclose(points[metric].sum(), _figure(run, metric), atol=1e-6):
            raise UserError(foreign)
    classes = np.zeros(len(judged.file_names), dtype=np.int64)
    classes[judged.images] = np.array(run["class_order"]["order"])[judged.labels]
    return _Scores(points, classes, judged.file_names)


_weights = functools.cache(linear_weights)


def _pairs(row: Row, base: Row) -> list[list[tuple[int, int]]]:
    """Positions of the runs of the same order and seed in both rows, a list for each order."""
    there = {run_key(run): j for j, run in enumerate(base.runs)}
    found: dict[str, list[tuple[int, int]]] = {}
    for i, run in enumerate(row.runs):
        if (key := run_key(run)) in there:
            found.setdefault(key[0], []).append((i, there[key]))
    return list(found.values())


def _figure(run: Result, metric: str) -> float:
    return cast(float, run["metrics"][metric])  # an accuracy is always defined
