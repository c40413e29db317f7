"""How options, methods and data are written: one thing has one name, whatever the user typed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Final

from benchmark.paths import same_path
from benchmark.registry import RENAMED, RENAMED_PRESETS
from mm_imagenet_r.catalog import CATALOG

#: Seed of the class order that most papers use: that of PILOT.
DEFAULT_SEED: Final = 1993
#: Names that mean no folder, even where there is one: `./mini` is the folder.
NAMED: Final[Mapping[str, Set[str]]] = {"dataset": CATALOG.keys(), "backbone": {"tiny", "tiny-1"}}


def dashed(name: str) -> str:
    """A field's name as an option, without the two dashes."""
    return name.replace("_", "-")


def method_name(name: str) -> str:
    """A method's name today, the path of its file in one way of writing.

    >>> method_name("ssf"), method_name("ssf@fast"), method_name("mine.py:Ssf")
    ('replay', 'replay@fast', 'mine.py:Ssf')
    >>> method_name("exemplar_masking@paper")
    'exemplar_masking@figures'
    """
    file, mark, rest = name.partition(".py:")
    if mark:
        return f"{same_path(file + '.py')}:{rest}"
    address, at, preset = name.partition("@")
    today = RENAMED.get(address, address) + at + preset
    return RENAMED_PRESETS.get(today, today)


def names_of(*methods: str | None) -> set[str]:
    """What may stand before the dot of `--set`: a method with or without its preset."""
    return {name for method in methods if method for name in (method, method.partition("@")[0])}


def amount(text: str) -> str:
    """An amount of memory in one way of writing; anything else stays as it is, to be refused.

    >>> amount(".50"), amount("5.0"), amount("20.0MB"), amount("much")
    ('0.5', '5', '20MB', 'much')
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-zA-Z]*)", text.strip())
    if match is None:
        return text
    number = float(match[1])
    return f"{int(number) if number.is_integer() else number}{match[2]}"
