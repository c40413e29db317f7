"""Every number that decides how large and how hard an edition of the embedded data set is.

The aim of each: a linear probe on frozen features finds the class from the caption alone in .35-.5
of the test samples, from the picture alone in .65-.8, from both in more. An edition never changes
once results are based on it: what is to be different is a new edition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Settings of one edition."""

    # How much there is.
    name: str  # of the data set
    seed: int  # all randomness follows from it: another one gives other classes and pictures
    num_classes: int = 40
    num_base_classes: int = 160  # that a backbone is pretrained on, none equal to the others
    train_per_class: int
    test_per_class: int
    sizes: tuple[tuple[int, int], ...]  # (width, height) in pixels, equally probable
    quality: tuple[int, int]  # lowest and highest of the JPEGs
    grain: tuple[float, float]  # least and greatest deviation of the noise of each pixel, of 255
    grayscale: float = 0.04  # share of the files that are one-channel JPEGs

    # How alike classes are. A family is an anchor and a sibling for each of `sibling_changes`,
    # which differs from it in so many parts, and where that is 0 in proportions only.
    sibling_changes: tuple[int, ...] = (1, 2, 0)
    proportion_step: float = 0.5  # distance of two such siblings along each proportion, out of 1
    homes: float = 0.0  # share of the classes with a background of their own, others may share it
    at_home: float = 0.0  # probability that such a class is seen there, where it is left open
    specials: float = 0.0  # share of the classes where one part has a quality unique in its kind
    special: float = 0.0  # probability that a caption that mentions the part rightly says it too

    # How much one class varies from picture to picture.
    rotation: float = 10.0  # degrees either way
    anisotropy: float = 0.06  # standard deviation of the logarithm of width over height
    shear: float = 0.05  # standard deviation
    wobble: float = 0.03  # of the outline, as a share of the body's radius
    part_scale: float = 0.10  # standard deviation of the logarithm of a part's size
    part_turn: float = 4.0  # standard deviation of a part's angle, in degrees
    missing: float = 0.20  # probability that one part other than the body is absent
    occluded: float = 0.15  # probability that a distractor lies over the object
    distractors: tuple[int, int] = (1, 4)  # fewest and most
    area: tuple[float, float]  # share of the picture that the object covers, before cropping
    room: float  # largest share of the width or height that the object spans
    margin: float  # least free share on each side; below 0 it may stand over the edge

    # How much the caption says.
    mention: float  # probability that a part is mentioned
    wrong: float  # probability that what is mentioned of it is wrong
    words: tuple[int, int]  # sentences are added until the first, none that would exceed the second


#: Object centred, a third of the picture; backgrounds that reveal nothing; JPEGs of high quality.
FIRST: Final = Edition(
    name="mini-1",
    seed=20241212,
    train_per_class=50,
    test_per_class=20,
    sizes=(
        (72, 72), (84, 84), (96, 96), (72, 96), (96, 72), (72, 84), (84, 72), (84, 96), (96, 84),
    ),
    quality=(82, 95),
    grain=(1.5, 6.0),
    area=(0.26, 0.39),
    room=0.97,
    margin=0.04,
    mention=0.58,
    wrong=0.12,
    words=(25, 45),
)  # fmt: skip

#: JPEGs as found in the wild, objects small and large, some classes with a home or a special part.
SECOND: Final = Edition(
    name="mini",
    seed=20260101,
    num_base_classes=480,
    train_per_class=120,
    test_per_class=20,
    sizes=(
        (96, 96), (108, 108), (120, 120), (96, 108), (108, 96), (96, 120), (120, 96),
    ),
    quality=(60, 84),
    grain=(0.0, 2.0),
    homes=0.5,
    at_home=0.6,
    specials=0.5,
    special=0.4,
    rotation=8.0,
    part_scale=0.08,
    missing=0.10,
    occluded=0.12,
    area=(0.08, 0.6),
    room=1.1,
    margin=-0.05,
    mention=0.5,
    wrong=0.10,
    words=(14, 28),
)  # fmt: skip

EDITIONS: Final = {edition.name: edition for edition in (FIRST, SECOND)}
