"""Every number that decides how large and how hard the embedded data set is, in one place.

The aim: a linear probe on frozen features finds the class from the caption alone in .35-.5 of the
test samples, from the picture alone in .65-.8, from both in more; and replaying 5 pictures a
class is clearly worse than training on all 50. Changing any number here changes the data set, and
with it the identity under which it is cached.
"""

from __future__ import annotations

from typing import Final

SEED: Final = 20241212

# How much there is.
NUM_CLASSES: Final = 40
NUM_BASE_CLASSES: Final = 160
TRAIN_PER_CLASS: Final = 50
TEST_PER_CLASS: Final = 20
SIZES: Final = (
    # width, height in pixels
    (72, 72),
    (84, 84),
    (96, 96),
    (72, 96),
    (96, 72),
    (72, 84),
    (84, 72),
    (84, 96),
    (96, 84),
)
QUALITY: Final = (82, 95)  # JPEG quality, lowest and highest
GRAYSCALE: Final = 0.04  # share of the files that are one-channel JPEGs

# How alike classes are. A family is an anchor and its siblings; sibling k differs from the anchor
# in SIBLING_CHANGES[k] parts, and where that is 0 in proportions only.
SIBLING_CHANGES: Final = (1, 2, 0)
PROPORTION_STEP: Final = 0.5  # distance of two such siblings along each proportion, out of 1

# How much one class varies from picture to picture.
ROTATION: Final = 10.0  # degrees either way
ANISOTROPY: Final = 0.06  # standard deviation of the logarithm of width over height
SHEAR: Final = 0.05
WOBBLE: Final = 0.03  # of the body's radius
PART_SCALE: Final = 0.10  # standard deviation of the logarithm of a part's size
PART_TURN: Final = 4.0  # degrees, standard deviation
MISSING: Final = 0.20  # probability that one part other than the body is absent
OCCLUDED: Final = 0.15  # probability that a distractor lies over the object
DISTRACTORS: Final = (1, 4)  # fewest and most

# How large the object is, and its body beside its other parts.
BODY: Final = 1.35  # radius, where a typical ear, leg or tail is .7 long
AREA: Final = (0.26, 0.39)  # share of the picture which the object covers
ROOM: Final = 0.97  # share of the width or height which the object may span at most

# How much the caption tells.
MENTION: Final = 0.58  # probability that a part is mentioned
WRONG: Final = 0.12  # probability that what is mentioned of it is wrong
