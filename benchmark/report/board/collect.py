"""The results that a page shows, and those that it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmark.results.schema import Result


class Shown(NamedTuple):
    """A result on the page, which calls its folder `name`.

    `level` is that of `leaderboard.levels.Level`, None if nobody verified it; `report` the address
    of its report seen from the page; `unchecked` what nothing shipped could be compared with.
    """

    result: Result
    folder: Path
    name: str
    level: int | None = None
    report: str | None = None
    unchecked: tuple[str, ...] = ()


class LeftOut(NamedTuple):
    """A result that stands in no table, by the name that the page gives it."""

    name: str
    why: str


class Collection(NamedTuple):
    """What is shown, and what is not; finished results are."""

    shown: Sequence[Shown]
    left_out: Sequence[LeftOut] = ()


def collect(found: Sequence[Shown], left_out: Sequence[LeftOut] = ()) -> Collection:
    """Leave unfinished results out, besides what is left out already."""
    unfinished = [
        LeftOut(one.name, f"unfinished after {len(one.result['phases'])} phases")
        for one in found
        if not one.result["complete"]
    ]
    finished = [one for one in found if one.result["complete"]]
    return Collection(finished, sorted([*left_out, *unfinished]))
