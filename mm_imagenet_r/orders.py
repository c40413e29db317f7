"""Class orders: PILOT's for any number of classes, and those published for ImageNet-R, by name.

Labels of ImageNet-R are positions in the sorted identifiers of its classes.
"""

from __future__ import annotations

import random
from typing import Final

from mm_imagenet_r.classes import classes
from mm_imagenet_r.errors import UserError, did_you_mean, require_whole

NAMES: Final = ("coda", "mammoth", "natural", "pilot")


def class_order(num_classes: int, seed: int | None = 1993) -> list[int]:
    """Return the labels in the order in which a learner sees them.

    The order is PILOT's (`utils/data_manager.py`), as iCaRL, EASE and many others use it: the
    class at position i is `numpy.random.RandomState(seed).permutation(num_classes)[i]`. `None`
    leaves the classes in their natural order.

    Raises:
        UserError: The seed is not a number from 0 to 2**32 - 1.

    >>> class_order(10, 1993)
    [4, 2, 7, 6, 0, 3, 5, 8, 9, 1]
    >>> class_order(200)[:10]
    [168, 136, 51, 9, 183, 101, 171, 99, 42, 159]
    >>> class_order(4, None)
    [0, 1, 2, 3]
    """
    require_whole("seed", seed, or_none=True)
    if seed is None:
        return list(range(num_classes))
    if not 0 <= seed < 2**32:
        raise UserError(f"class order seed {seed}: give a number from 0 to 4294967295")
    import numpy as np  # here, as the package must be quick to import

    order: list[int] = np.random.RandomState(seed).permutation(num_classes).tolist()
    return order


def named_order(name: str) -> list[int]:
    """Return the labels of ImageNet-R in a published order; UserError if there is none of the name.

    * `pilot`: seed 1993, `pilot:7` another one (`utils/data_manager.py` of LAMDA-PILOT).
    * `coda`: the order of the published lists, in which CODA-Prompt's first run goes through the
      classes; `coda:3` that of its run 3 (`trainer.py`: `random.seed(3); random.shuffle`).
    * `mammoth`: the same lists without `--permute_classes`; `mammoth:7` with it at seed 7. Its
      permutation maps labels to positions where PILOT's maps positions to labels.
    * `natural`: 0, 1, 2, ...

    >>> [classes()[label].wnid for label in named_order("coda")[:2]]
    ['n02165456', 'n03594945']
    >>> named_order("pilot")[:5]
    [168, 136, 51, 9, 183]
    """
    rule, colon, text = name.partition(":")
    if rule not in NAMES:
        raise UserError(f"no class order {name!r}: {did_you_mean(name, NAMES)}")
    if colon and (rule == "natural" or not text.isdecimal() or int(text) >= 2**32):
        raise UserError(
            f"class order {name!r}: give {rule} alone, or (but for natural) with a number from 0 "
            "to 4294967295, as in pilot:7"
        )
    count = len(classes())
    if rule == "natural":
        return list(range(count))
    if rule == "pilot":
        return class_order(count, int(text) if text else 1993)
    published = sorted(range(count), key=lambda label: classes()[label].coda_label)
    places = list(range(count))
    if rule == "coda" and text and int(text) > 0:
        random.Random(int(text)).shuffle(places)
    elif rule == "mammoth" and text:
        position_of = class_order(count, int(text))
        places.sort(key=position_of.__getitem__)
    return [published[place] for place in places]
