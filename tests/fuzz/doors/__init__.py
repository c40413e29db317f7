"""All doors, and how many of 10,000 cases each gets: many where it is cheap, or much can fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

from ..door import Door
from ..generic import GENERIC
from . import (
    backbones,
    caption_sets,
    captions,
    configuration,
    exports,
    folders,
    outputs,
    parquet,
    results,
    runs,
    servers,
    tars,
)

#: Door -> its share of 10,000 cases.
_TABLE: Final = {
    runs.STOPPED: 600,
    runs.LEARNT: 400,
    runs.FINISHED: 700,
    runs.OLDER: 300,
    folders.DRY_RUN: 700,
    folders.CAPTIONED: 500,
    captions.CSV: 500,
    captions.TSV: 300,
    captions.JSONL: 400,
    captions.PARQUET: 500,
    parquet.TABLE: 600,
    configuration.JSON: 500,
    configuration.TOML: 500,
    configuration.OPTIONS: 500,
    results.RESULTS: 700,
    results.ROWS: 500,
    results.OLDER: 200,
    tars.TAR: 400,
    caption_sets.UNFINISHED: 400,
    caption_sets.FINISHED: 300,
    servers.ANSWERS: 300,
    backbones.BACKBONE: 200,
    exports.EXPORT: 300,
    exports.PUSH: 200,
    outputs.SITE: 200,
    outputs.SWEEP: 200,
    outputs.RECIPE: 200,
    outputs.MODEL: 100,
}
DOORS: Final = {door.name: door for door in _TABLE}


def find(names: Iterable[str], damage: Sequence[str] | None = None) -> list[Door]:
    """The doors of these names, each once, with nothing but some damage if that is named."""
    doors = [DOORS[name] for name in dict.fromkeys(names)]
    if damage is None:
        return doors
    only = {name: GENERIC[name] for name in damage}
    return [dataclasses.replace(door, own={}, common=only) for door in doors]


def shares(doors: Sequence[Door], count: int) -> list[int]:
    """How many of `count` cases each of the doors gets, at least one."""
    table = {door.name: share for door, share in _TABLE.items()}
    whole = sum(table[door.name] for door in doors)
    return [max(1, round(count * table[door.name] / whole)) for door in doors]
