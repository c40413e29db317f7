"""What `python -m benchmark.tune` may try of a method, and in which order.

The candidates of a setting are in the metadata `search` of its field, those of the learning rate
are relative to the method's own. Every method is searched alike, with equally many trials.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.config import RunConfig
from benchmark.load_method import load_method, make_settings, setting_name
from benchmark.options import as_text
from benchmark.recipe import resolve_recipe
from mm_imagenet_r.errors import UserError

#: Candidates of the learning rate, relative to the method's own.
RATES = (1.0, 1 / 3, 3.0, 0.1, 10.0)
RATE = "learning_rate"
CLASSIFIER = "classifier"
#: The value of that setting with which one run is read by all its classifiers.
ALL = "all"

#: A value of each setting that is searched.
Point = dict[str, Any]


@dataclass(frozen=True)
class Space:
    """What is searched of a method: candidates by name, the default first.

    If `reads_all`, a trial is evaluated with every classifier the method has, and the best one is
    chosen with the best trial; else with the method's own one only.
    """

    trials: Mapping[str, tuple[Any, ...]]
    reads_all: bool = False

    @property
    def size(self) -> int:
        """Number of points, legal or not.

        >>> Space({"a": (1, 2), "b": (1, 2, 3)}).size
        6
        """
        return math.prod(map(len, self.trials.values()))

    def points(self, seed: int) -> Iterator[Point]:
        """Every point once: the default, then the others as a seed draws them.

        >>> points = list(Space({"a": (1, 2), "b": (1, 2)}).points(0))
        >>> points[0], len(points), len({tuple(p.values()) for p in points})
        ({'a': 1, 'b': 1}, 4, 4)
        """
        generator, drawn = random.Random(seed), {0}
        yield self._point(0)
        while len(drawn) < self.size:
            number = generator.randrange(self.size)
            if number not in drawn:
                drawn.add(number)
                yield self._point(number)

    def _point(self, number: int) -> Point:
        chosen = {}
        for name, values in self.trials.items():
            number, place = divmod(number, len(values))
            chosen[name] = values[place]
        return chosen


def space_of(cell: RunConfig) -> Space:
    """What is searched of the method of a cell: all that the user has not fixed."""
    (name,) = cell.method
    method, preset = load_method(name)
    given = cell.settings_of(name)
    fixed = {setting_name(method, key) for key in given}
    default = make_settings(method, preset, given, name)
    found: dict[str, tuple[Any, ...]] = {}
    reads_all = CLASSIFIER not in fixed and is_legal(cell, {CLASSIFIER: ALL})
    if cell.learning_rate is None and RATE not in method.unused:
        rate = resolve_recipe(cell, method).learning_rate
        found[RATE] = tuple(float(f"{rate * factor:.3g}") for factor in RATES)
    for spec in dataclasses.fields(default):
        candidates = spec.metadata.get("search", ())
        if spec.metadata.get("search_in") not in (None, cell.currency):
            continue
        if candidates and spec.name not in fixed and not (reads_all and spec.name == CLASSIFIER):
            first = getattr(default, spec.name)
            found[spec.name] = (first, *(value for value in candidates if value != first))
    return Space(found, reads_all)


def trial_points(cell: RunConfig, space: Space, trials: int, seed: int) -> list[Point]:
    """The points to be tried: the default and those drawn after it, without illegal ones."""
    legal = (point for point in space.points(seed) if is_legal(cell, point))
    return list(itertools.islice(legal, trials))


def with_point(cell: RunConfig, point: Mapping[str, Any]) -> RunConfig:
    """A cell with the values of a point."""
    items = [f"{name}={as_text(value)}" for name, value in point.items() if name != RATE]
    rate = point.get(RATE, cell.learning_rate)
    return dataclasses.replace(cell, learning_rate=rate, set=(*cell.set, *items))


def is_legal(cell: RunConfig, point: Mapping[str, Any]) -> bool:
    """Whether the method has these settings and takes these values of them together."""
    (name,) = cell.method
    method, preset = load_method(name)
    try:
        make_settings(method, preset, with_point(cell, point).settings_of(name), name)
    except UserError:
        return False
    return True
