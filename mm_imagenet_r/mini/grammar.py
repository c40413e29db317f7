"""Which classes there are: combinations of nameable parts, each with its own proportions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, cast

import numpy as np

from mm_imagenet_r.mini.settings import SECOND, Edition

BODIES: Final = (
    "round", "oval", "square", "triangle", "star", "crescent", "heart", "drop", "cross", "hexagon",
    "diamond", "bell", "arch", "bowl",
)  # fmt: skip
TOPS: Final = (
    "horns", "pointed ears", "long ears", "round ears", "crown", "antennae", "crest", "leaf",
    "handle", "hat",
)  # fmt: skip
BASES: Final = ("legs", "thin legs", "wheels", "tentacles", "stand", "fins", "feet", "rocker")
SIDES: Final = (
    "curled tail", "arrow tail", "bushy tail", "spout", "wings", "arms", "paddle", "fan",
)  # fmt: skip
MARKS: Final = ("hole", "ring", "stripes", "window", "dots", "face", "zigzag", "badge")

SLOTS: Final = ("body", "top", "base", "side", "mark")
VALUES: Final = {"body": BODIES, "top": TOPS, "base": BASES, "side": SIDES, "mark": MARKS}
NUM_PROPORTIONS: Final = 12

#: Backgrounds that a class may be at home before.
HOMES: Final = ("meadow", "clouds", "night", "water", "sand", "room", "bricks", "wood")
#: Qualities of a part that captions mention and pictures do not show.
QUALITIES: Final = (
    "brass", "braided", "cracked", "crystal", "feathery", "frosted", "furry", "glowing", "knitted",
    "leather", "marble", "mossy", "rusty", "scaly", "silken", "woolen",
)  # fmt: skip

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
    """One class of the embedded data set."""

    wnid: str  # identifier in the manner of WordNet's: `m` and 8 digits, for a base class `b`
    name: str  # an invented word; no caption contains it
    base: bool  # whether it is for pretraining rather than in the data set
    number: int  # position among the classes of its kind
    parts: Parts  # one value for each of `SLOTS`; base classes share no combination with others
    proportions: tuple[float, ...]  # numbers from 0 to 1, read by `shapes.Frame`
    edition: Edition
    home: str  # the background it is often seen before; "" if any
    special: tuple[str, str] | None  # (slot, quality); no other class of its kind has the same


def classes(edition: Edition = SECOND) -> list[MiniClass]:
    """Return the classes of the data set, in order of their identifiers.

    >>> from mm_imagenet_r.mini.settings import FIRST
    >>> len(classes(FIRST)), classes(FIRST)[0].wnid, classes(FIRST)[0].name
    (40, 'm00000000', 'trarbon')
    """
    return list(_all_classes(edition)[: edition.num_classes])


def base_classes(edition: Edition = SECOND) -> list[MiniClass]:
    """Return the classes that only a backbone is pretrained on, in order of their identifiers."""
    return list(_all_classes(edition)[edition.num_classes :])


@cache
def _all_classes(edition: Edition) -> tuple[MiniClass, ...]:
    rng = np.random.default_rng([edition.seed, 0])
    taken: set[Parts] = set()  # anchors and changed siblings: no two are equal, whatever their kind
    names = _names(edition, edition.num_classes + edition.num_base_classes)
    found: list[MiniClass] = []
    for base, count in ((False, edition.num_classes), (True, edition.num_base_classes)):
        kind: list[tuple[Parts, tuple[float, ...]]] = []
        while len(kind) < count:
            kind += _family(rng, taken, edition)
        homes, specials = _hints(edition, base, count)
        found += [
            MiniClass(
                wnid=f"{'b' if base else 'm'}{number:08d}",
                name=names[len(found) + number],
                base=base,
                number=number,
                parts=kind[place][0],
                proportions=kind[place][1],
                edition=edition,
                home=homes[number],
                special=specials[number],
            )
            # Shuffled, so that siblings do not stand side by side in the natural order.
            for number, place in enumerate(rng.permutation(count).tolist())
        ]
    return tuple(found)


def _hints(
    edition: Edition, base: bool, count: int
) -> tuple[list[str], list[tuple[str, str] | None]]:
    """Choose a home and a special part for so many classes, or none."""
    rng = np.random.default_rng([edition.seed, 4, int(base)])
    pairs = [(slot, quality) for slot in SLOTS[1:] for quality in QUALITIES]
    order = rng.permutation(len(pairs)).tolist()
    homes = [
        HOMES[int(k)] if h < edition.homes else ""
        for k, h in zip(rng.integers(len(HOMES), size=count), rng.random(count), strict=True)
    ]
    specials = [pairs[order[k % len(pairs)]] if h < edition.specials else None
                for k, h in enumerate(rng.random(count).tolist())]  # fmt: skip
    return homes, specials


def _family(
    rng: np.random.Generator, taken: set[Parts], edition: Edition
) -> list[tuple[Parts, tuple[float, ...]]]:
    """Return an anchor and its siblings (see `Edition.sibling_changes`)."""
    anchor = _free(rng, taken, None, len(SLOTS))
    proportions = rng.random(NUM_PROPORTIONS)
    family = [(anchor, proportions)]
    for changes in edition.sibling_changes:
        parts = _free(rng, taken, anchor, changes) if changes else anchor
        step = edition.proportion_step if changes == 0 else 0.25 * rng.random(NUM_PROPORTIONS)
        family.append((parts, (proportions + step) % 1.0))
    return [(parts, tuple(values.round(4).tolist())) for parts, values in family]


def _free(rng: np.random.Generator, taken: set[Parts], start: Parts | None, changes: int) -> Parts:
    """Change so many parts of `start` that nobody has the result yet, and take it."""
    while True:
        parts = list(start or [""] * len(SLOTS))
        for slot in rng.permutation(len(SLOTS))[:changes]:
            others = [value for value in VALUES[SLOTS[slot]] if value != parts[slot]]
            parts[slot] = others[int(rng.integers(len(others)))]
        found = cast("Parts", tuple(parts))
        if found not in taken:
            taken.add(found)
            return found


def _names(edition: Edition, count: int) -> list[str]:
    """Invent words of two syllables that no caption holds."""
    rng = np.random.default_rng([edition.seed, 1])
    found: dict[str, None] = {}
    while len(found) < count:
        onset, middle, end = (str(rng.choice(table)) for table in _SYLLABLES)
        found[onset + str(rng.choice(list("aeiou"))) + middle + end] = None
    return list(found)
