"""Which classes there are: combinations of nameable parts, with proportions of their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from mm_imagenet_r.mini import settings

BODIES: Final = (
    "round",
    "oval",
    "square",
    "triangle",
    "star",
    "crescent",
    "heart",
    "drop",
    "cross",
    "hexagon",
    "diamond",
    "bell",
    "arch",
    "bowl",
)
TOPS: Final = (
    "horns",
    "pointed ears",
    "long ears",
    "round ears",
    "crown",
    "antennae",
    "crest",
    "leaf",
    "handle",
    "hat",
)
BASES: Final = (
    "legs",
    "thin legs",
    "wheels",
    "tentacles",
    "stand",
    "fins",
    "feet",
    "rocker",
)
SIDES: Final = (
    "curled tail",
    "arrow tail",
    "bushy tail",
    "spout",
    "wings",
    "arms",
    "paddle",
    "fan",
)
MARKS: Final = ("hole", "ring", "stripes", "window", "dots", "face", "zigzag", "badge")

SLOTS: Final = ("body", "top", "base", "side", "mark")
VALUES: Final = {"body": BODIES, "top": TOPS, "base": BASES, "side": SIDES, "mark": MARKS}
NUM_PROPORTIONS: Final = 12

_SYLLABLES: Final = tuple(
    table.split(" ")
    for table in (
        "b br d dr f fl g gl k kr l m n p pl qu r s sk t tr v z",
        "ld lk lm lv nd ng rb rd rg rk rm rv rz sk sp st zz l m n r v",
        "a el en et ik il in ix o ok ol on or u ub ul um us",
    )
)

Parts = tuple[str, str, str, str, str]  # one value for each of SLOTS


@dataclass(frozen=True, slots=True)
class MiniClass:
    """One class of the embedded data set.

    Attributes:
        wnid: Identifier in the manner of WordNet's: `m` and 8 digits, for a base class `b`.
        name: An invented word; no caption contains it.
        base: Whether it belongs to the classes for pretraining rather than to the data set.
        number: Position among the classes of its kind.
        parts: One value for each of `SLOTS`; base classes share no combination with the others.
        proportions: Numbers from 0 to 1, read by `shapes.figure`.
    """

    wnid: str
    name: str
    base: bool
    number: int
    parts: Parts
    proportions: tuple[float, ...]


def classes() -> list[MiniClass]:
    """Return the classes of the data set, in order of their identifiers.

    >>> len(classes()), classes()[0].wnid, classes()[0].name
    (40, 'm00000000', 'trarbon')
    """
    return list(_all_classes()[: settings.NUM_CLASSES])


def base_classes() -> list[MiniClass]:
    """Return the classes that only a backbone is pretrained on, in order of their identifiers."""
    return list(_all_classes()[settings.NUM_CLASSES :])


@cache
def _all_classes() -> tuple[MiniClass, ...]:
    rng = np.random.default_rng([settings.SEED, 0])
    taken: set[Parts] = set()  # anchors and changed siblings: no two are equal, whatever their kind
    names = _names(settings.NUM_CLASSES + settings.NUM_BASE_CLASSES)
    found: list[MiniClass] = []
    for base, count in ((False, settings.NUM_CLASSES), (True, settings.NUM_BASE_CLASSES)):
        kind: list[tuple[Parts, tuple[float, ...]]] = []
        while len(kind) < count:
            kind += _family(rng, taken)
        found += [
            MiniClass(
                wnid=f"{'b' if base else 'm'}{number:08d}",
                name=names[len(found) + number],
                base=base,
                number=number,
                parts=kind[place][0],
                proportions=kind[place][1],
            )
            # Shuffled, so that siblings do not stand side by side in the natural order.
            for number, place in enumerate(rng.permutation(count).tolist())
        ]
    return tuple(found)


def _family(rng: np.random.Generator, taken: set[Parts]) -> list[tuple[Parts, tuple[float, ...]]]:
    """Return an anchor and its siblings (see `settings.SIBLING_CHANGES`)."""
    anchor = _free(rng, taken, None, len(SLOTS))
    proportions = rng.random(NUM_PROPORTIONS)
    family = [(anchor, proportions)]
    for changes in settings.SIBLING_CHANGES:
        parts = _free(rng, taken, anchor, changes) if changes else anchor
        step = settings.PROPORTION_STEP if changes == 0 else 0.25 * rng.random(NUM_PROPORTIONS)
        family.append((parts, (proportions + step) % 1.0))
    return [(parts, tuple(values.round(4).tolist())) for parts, values in family]


def _free(rng: np.random.Generator, taken: set[Parts], start: Parts | None, changes: int) -> Parts:
    """Change so many parts of `start` that nobody has the result yet, and take it."""
    while True:
        parts = list(start or [""] * len(SLOTS))
        for slot in rng.permutation(len(SLOTS))[:changes]:
            others = [value for value in VALUES[SLOTS[slot]] if value != parts[slot]]
            parts[slot] = others[int(rng.integers(len(others)))]
        body, top, base, side, mark = parts
        found = (body, top, base, side, mark)
        if found not in taken:
            taken.add(found)
            return found


def _names(count: int) -> list[str]:
    """Invent words of two syllables that no caption holds."""
    rng = np.random.default_rng([settings.SEED, 1])
    found: dict[str, None] = {}
    while len(found) < count:
        onset, middle, end = (str(rng.choice(table)) for table in _SYLLABLES)
        found[onset + str(rng.choice(list("aeiou"))) + middle + end] = None
    return list(found)
