"""The first level: is a result consistent, and may it stand on a board beside the others?"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmark.leaderboard import rules
from benchmark.leaderboard.bounded import Failed, each
from benchmark.leaderboard.levels import Files, Level, Record, Verdict, lifted
from benchmark.leaderboard.tree import folder_faults, results_below
from benchmark.results import verify
from benchmark.results.schema import Result
from mm_imagenet_r.hashes import json_sha256

SECONDS: Final = 60.0  # for one result; real ones take a tenth of one
_MEMORY: Final = 3 * 2**30
_PROCESSES: Final = min(4, os.cpu_count() or 1)
_SHOWN: Final = 5  # reasons of one result


@dataclass
class Checked(verify.Verdict):
    """A result that was checked by itself.

    `run` says where it stands on a board and which run of its row it is, `figures` is a hash of
    what two results of one run must agree in; both only where nothing was found.
    """

    run: Any = None
    figures: str = ""


def check(paths: Sequence[Path], records: Mapping[Files, Record] | None = None) -> list[Verdict]:
    """Check all results at or below some paths, each by itself and beside the others.

    Of two results of one run the one with the higher recorded level stays. Returns a verdict for
    each, `REFUSED` or `CONSISTENT`, by folder; also for what cannot be a result.

    Raises:
        UserError: A path does not exist, or there is no result.
    """
    return [verdict for verdict, _ in check_and_read(paths, records, keep=False)]


def check_and_read(
    paths: Sequence[Path], records: Mapping[Files, Record] | None = None, *, keep: bool = True
) -> list[tuple[Verdict, Result | None]]:
    """`check`, each verdict with the result that was checked; None where refused or not kept."""
    there = results_below(paths)
    checked = list(by_themselves(there.folders, keep=keep))
    _beside_each_other(checked, records or {})
    found: list[tuple[Verdict, Result | None]] = [(verdict, None) for verdict in there.refused]
    for one in checked:
        found.append((_verdict(one), None if one.found else one.result))
    return sorted(found, key=lambda pair: pair[0].folder)


def look_at(folder: Path, *, keep: bool = False) -> Checked:
    """Check one result by itself; its content is returned only with `keep`: there may be thousands.

    Raises:
        UserError: It cannot be read.
    """
    if found := folder_faults(folder):
        return Checked(folder, found)
    one = Checked(**vars(verify.examine(folder)))
    assert one.result is not None
    result = one.result
    one.found[:0] = rules.faults(folder, result)  # what a board lacks explains some of the rest
    if one.found or not keep:
        one.result = None
    if not one.found:
        from benchmark.results.labels import key_of
        from benchmark.results.tables import figures, run_key

        one.notes += rules.notes(result)
        one.run, one.figures = (key_of(result), run_key(result)), json_sha256(figures(result))
    return one


def by_themselves(folders: Sequence[Path], *, keep: bool = True) -> Iterator[Checked]:
    """Check each result in turn, whatever the others are."""
    look = functools.partial(look_at, keep=keep)
    answers = each(look, folders, seconds=SECONDS, memory=_MEMORY, processes=_PROCESSES)
    for folder, answer in zip(folders, answers, strict=True):
        if isinstance(answer, Failed):
            answer = Checked(folder, [answer.why])
        yield answer


def _beside_each_other(checked: Sequence[Checked], records: Mapping[Files, Record]) -> None:
    """One seed copied as another, and two results of one run; what is recorded comes first."""
    good = [one for one in checked if not one.found]
    good.sort(key=lambda one: -lifted(Verdict(one.folder, Level.CONSISTENT), records).level)
    verify.compare(good)
    first: dict[Any, Checked] = {}
    for one in good:
        if one.found:  # by the comparison: it says nothing against others
            continue
        other = first.setdefault(one.run, one)
        if other.figures != one.figures:
            one.found.append(
                f"{other.folder} is the same run with different figures: remove one of them"
            )
        elif other is not one:
            one.notes.append(f"the same as {other.folder}: it counts once")


def _verdict(one: Checked) -> Verdict:
    found = one.found
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    level = Level.REFUSED if found else Level.CONSISTENT
    reasons = [*found[:_SHOWN], *more] if found else one.notes
    return Verdict(one.folder, level, tuple(reasons))
