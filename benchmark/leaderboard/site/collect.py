"""The results that a page may show, each with its level, and what is left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmark.leaderboard.levels import Level
from benchmark.results import labels
from benchmark.results.schema import Result
from benchmark.results.tables import figures_of, run_key


class Shown(NamedTuple):
    """A result on the page.

    Attributes:
        result: What it says.
        folder: Where it lies.
        name: How the page calls that.
        level: How far it was verified; None if nobody looked.
        report: Address of its report, seen from the page; None where there is none.
    """

    result: Result
    folder: Path
    name: str
    level: Level | None = None
    report: str | None = None


class LeftOut(NamedTuple):
    """A result that stands in no table, by the name that the page gives it."""

    name: str
    why: str


@dataclass(frozen=True)
class Collection:
    """What may be shown, and what may not."""

    shown: Sequence[Shown]
    left_out: Sequence[LeftOut]


def collect(found: Sequence[Shown]) -> Collection:
    """Leave out what is unfinished, not evaluated on test data, or there twice.

    Of two results of the same run with other figures the one that was verified further stands; at
    the same level the first by its folder. A table that would refuse both could be emptied by
    whoever submits a second one.
    """
    left_out: list[LeftOut] = []
    fit: list[Shown] = []
    for one in found:
        if why := _unfit(one.result):
            left_out.append(LeftOut(one.name, why))
        else:
            fit.append(one)
    kept: dict[object, Shown] = {}
    for one in sorted(fit, key=lambda one: (-(one.level or 0), one.name)):
        first = kept.setdefault((labels.key_of(one.result), run_key(one.result)), one)
        if first is not one:
            left_out.append(LeftOut(one.name, _twice(first, one)))
    shown = sorted(kept.values(), key=lambda one: one.name)
    return Collection(shown, sorted(left_out))


def methods(found: Sequence[Shown]) -> Iterator[tuple[str, list[Shown]]]:
    """The results of each method, by name."""
    by_name: dict[str, list[Shown]] = {}
    for one in found:
        by_name.setdefault(one.result["method"], []).append(one)
    yield from sorted(by_name.items())


def _unfit(result: Result) -> str:
    if not result["complete"]:
        return f"unfinished after {len(result['phases'])} phases"
    if (data := labels.evaluated_on(result)) != "test":
        return f"evaluated on {data} data"
    return ""


def _twice(first: Shown, other: Shown) -> str:
    same = figures_of(first.result) == figures_of(other.result)
    return f"the same run as {first.name}, " + (
        "with equal figures" if same else "which has other figures"
    )
