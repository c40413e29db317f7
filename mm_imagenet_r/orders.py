"""Class orders of ImageNet-R under the names of the code bases that published them.

Labels are positions in the sorted identifiers of the classes. PILOT's orders, which exist for any
number of classes, are `mm_imagenet_r.phases.class_order`.
"""

from __future__ import annotations

import random
from typing import Final

from mm_imagenet_r.classes import classes
from mm_imagenet_r.errors import UserError, did_you_mean

NAMES: Final = ("coda", "mammoth", "natural", "pilot")


def named_order(name: str) -> list[int]:
    """Return the labels in the order in which a learner meets them.

    * `pilot`: seed 1993, `pilot:7` another one (`utils/data_manager.py` of LAMDA-PILOT).
    * `coda`: the order of the published lists, in which CODA-Prompt's first run goes through the
      classes; `coda:3` that of its run 3 (`trainer.py`: `random.seed(3); random.shuffle`).
    * `mammoth`: the same lists without `--permute_classes`; `mammoth:7` with it at seed 7. Its
      permutation maps labels to positions where PILOT's maps positions to labels.
    * `natural`: 0, 1, 2, ...

    Raises:
        UserError: There is no such order.

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
    from mm_imagenet_r.phases import class_order

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
