"""Every number that decides how large and how hard an edition of the embedded data set is.

The aim of each: a linear probe on frozen features finds the class from the caption alone in .35-.5
of the test samples, from the picture alone in .65-.8, from both in more. An edition never changes
once results stand on it; what is to be different is a new edition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Settings of one edition; all randomness follows from `seed`.

    How much there is:

    Attributes:
        name: Of the data set.
        seed: Another one gives other classes and other pictures.
        num_classes: Classes of the data set.
        num_base_classes: Classes that a backbone is pretrained on, none of them equal to those.
        train_per_class: Training pictures.
        test_per_class: Test pictures.
        sizes: (width, height) in pixels, each as probable as the others.
        quality: Lowest and highest quality of the JPEGs.
        grain: Least and greatest deviation of the noise of each pixel, of 255.
        grayscale: Share of the files that are one-channel JPEGs.

    How alike classes are:

    Attributes:
        sibling_changes: A family is an anchor and one sibling for each of these numbers; it differs
            from the anchor in so many parts, and where that is 0 in proportions only.
        proportion_step: Distance of two such siblings along each proportion, out of 1.
        homes: Share of the classes that have a background of their own, which others may share.
        at_home: Probability that such a class is seen there, in renditions that leave it open.
        specials: Share of the classes of which one part has a quality that no other class of its
            kind has in that part.
        special: Probability that a caption that mentions the part rightly also tells its quality.

    How much one class varies from picture to picture:

    Attributes:
        rotation: Degrees either way.
        anisotropy: Standard deviation of the logarithm of width over height.
        shear: Standard deviation.
        wobble: Of the outline, as a share of the body's radius.
        part_scale: Standard deviation of the logarithm of a part's size.
        part_turn: Standard deviation of a part's angle, in degrees.
        missing: Probability that one part other than the body is absent.
        occluded: Probability that a distractor lies over the object.
        distractors: Fewest and most.
        area: Least and greatest share of the picture that the object covers, before it is cut off.
        room: Share of the width or height that the object may span at most.
        margin: Share of the free width and height that the object leaves on each side at least;
            below 0 it may stand over the edge.

    How much the caption tells:

    Attributes:
        mention: Probability that a part is mentioned.
        wrong: Probability that what is mentioned of it is wrong.
        words: A sentence is added while the caption has fewer words than the first, and perhaps
            later, but none that would make it longer than the second.
    """

    name: str
    seed: int
    num_classes: int = 40
    num_base_classes: int = 160
    train_per_class: int
    test_per_class: int
    sizes: tuple[tuple[int, int], ...]
    quality: tuple[int, int]
    grain: tuple[float, float]
    grayscale: float = 0.04

    sibling_changes: tuple[int, ...] = (1, 2, 0)
    proportion_step: float = 0.5
    homes: float = 0.0
    at_home: float = 0.0
    specials: float = 0.0
    special: float = 0.0

    rotation: float = 10.0
    anisotropy: float = 0.06
    shear: float = 0.05
    wobble: float = 0.03
    part_scale: float = 0.10
    part_turn: float = 4.0
    missing: float = 0.20
    occluded: float = 0.15
    distractors: tuple[int, int] = (1, 4)
    area: tuple[float, float]
    room: float
    margin: float

    mention: float
    wrong: float
    words: tuple[int, int]


#: Object centred and a third of the picture, backgrounds that tell nothing, JPEGs of high quality.
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
