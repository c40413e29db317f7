"""`python -m tests.fuzz`: try many cases, or one again, and say what they did."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .door import Door
from .doors import DOORS, find, shares
from .judge import BAD, OUTCOMES
from .runner import Done, Healthy, run
from .warm import import_everything


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 if a case failed."""
    given = _parse(arguments)
    doors = find(given.door)
    begun, counts, failures = time.monotonic(), Counter[tuple[str, str]](), list[Done]()
    import_everything()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        work = Path(folder)
        todo = list(_cases(doors, given.cases, given.case))
        for done in run(todo, given.seed, Healthy(work / "healthy"), work, given.jobs):
            counts[done.door.name, done.verdict.outcome] += 1
            if done.verdict.outcome in BAD:
                failures.append(done)
                print(f"{_short(done)}", flush=True)
            _progress(sum(counts.values()), len(todo), len(failures), begun)
            if given.case is not None:
                _show(done)
    _table(doors, counts)
    _list(failures, given.seed)
    print(f"{len(todo):,} cases in {time.monotonic() - begun:.0f} s, {len(failures)} failed")
    return int(bool(failures))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--door", nargs="+", choices=sorted(DOORS), default=list(DOORS), metavar="NAME",
        help=f"which doors: {', '.join(DOORS)} (default: all)")  # fmt: skip
    add("--cases", type=int, default=10_000, metavar="N", help="over these doors (default: 10000)")
    add("--case", type=int, metavar="N", help="one case of each again, with all that it printed")
    add("--seed", type=int, default=0, metavar="N", help="of the chance (default: 0)")
    idle = max(1, len(os.sched_getaffinity(0)) - round(os.getloadavg()[0]))
    add(
        "--jobs", type=int, default=idle, metavar="N", help=f"at once (default: idle cores, {idle})"
    )
    return parser.parse_args(arguments)


def _cases(doors: Sequence[Door], count: int, only: int | None) -> Iterator[tuple[Door, int]]:
    for door, share in zip(doors, shares(doors, count), strict=True):
        for number in range(share) if only is None else (only,):
            yield door, number


def _progress(done: int, count: int, failed: int, begun: float) -> None:
    if sys.stderr.isatty():
        seconds = (time.monotonic() - begun) / done * (count - done)
        words = f"\r{done:,} of {count:,}, {failed} failed, {seconds:.0f} s left "
        print(words, end="", file=sys.stderr, flush=True)


def _short(done: Done) -> str:
    return (
        f"{done.verdict.outcome}: {done.door.name} {done.number} ({done.damage}): "
        f"{done.verdict.cause}"
    )


def _show(done: Done) -> None:
    print(f"== {_short(done)}, {done.seconds:.2f} s, exit code {done.ended.code}")
    for name, text in (("printed", done.ended.printed), ("said", done.ended.said)):
        print(f"-- {name}\n{text.rstrip()}")


def _table(doors: Iterable[Door], counts: Counter[tuple[str, str]]) -> None:
    print("\n" + f"{'':<16}" + "".join(f"{name:>10}" for name in OUTCOMES))
    for door in doors:
        cells = (counts[door.name, name] for name in OUTCOMES)
        print(f"{door.name:<16}" + "".join(f"{cell or '.':>10}" for cell in cells))


def _list(failures: Sequence[Done], seed: int) -> None:
    """The failures by cause, each with the command that repeats the first of its cases."""
    causes: dict[tuple[str, str, str], list[Done]] = {}
    for done in failures:
        key = (done.door.name, done.verdict.outcome, done.verdict.cause)
        causes.setdefault(key, []).append(done)
    for (door, outcome, cause), cases in sorted(causes.items(), key=lambda item: -len(item[1])):
        first = min(cases, key=lambda done: done.number)
        print(f"\n{outcome}, {len(cases)} x: {cause}\n  after: {first.damage}")
        words = f"python -m tests.fuzz --door {door} --case {first.number}"
        print(f"  {words}" + (f" --seed {seed}" if seed else ""))


if __name__ == "__main__":
    sys.exit(main())
