"""`python -m tests.fuzz`: try many cases, or one again, and say what they did."""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .door import Door
from .doors import DOORS, find, shares
from .generic import GENERIC
from .judge import BAD
from .runner import Done, Healthy, run
from .tally import Tally
from .warm import import_everything

_PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 if a case failed."""
    given = _parse(arguments)
    begun, tally = time.monotonic(), Tally()
    options = f" --seed {given.seed}" if given.seed else ""
    options += f" --damage {shlex.join(given.damage)}" if given.damage else ""
    todo = list(_cases(find(given.door, given.damage), given.cases, given.case))
    import_everything()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # it ends its cases before
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        work = Path(folder)
        for done in run(todo, given.seed, Healthy(work / "healthy"), work, given.jobs):
            tally.add(done)
            if given.case is not None:
                _show(done)
            elif done.verdict.outcome in BAD:
                print(f"\r{_line(done)}", flush=True)
            _progress(tally, len(todo), begun)
    failed, seconds = len(tally.failures), time.monotonic() - begun
    own, children = (resource.getrusage(whose) for whose in _PROCESSES)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    if given.case is None:
        print(f"\n{tally.table()}\n\n{tally.causes(options)}".rstrip())
    print(f"\n{len(todo):,} cases in {seconds:.0f} s, {cpu:.0f} s of one core; {failed} failed")
    return int(failed > 0)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    idle = max(1, len(os.sched_getaffinity(0)) - round(os.getloadavg()[0]))
    add = parser.add_argument
    # fmt: off
    add("--door", nargs="+", choices=DOORS, default=list(DOORS), metavar="NAME",
        help=f"which doors: {', '.join(DOORS)} (default: all)")
    add("--damage", nargs="+", choices=GENERIC, metavar="NAME",
        help=f"nothing but these: {', '.join(GENERIC)} (default: these, and those of each door)")
    add("--cases", type=int, default=10_000, metavar="N", help="over these doors (default: 10000)")
    add("--case", type=int, metavar="N", help="one case of each again, with all that it printed")
    add("--seed", type=int, default=0, metavar="N", help="of the chance (default: 0)")
    add("--jobs", type=int, default=idle, metavar="N",
        help=f"cases at once (default: the idle cores, now {idle})")
    # fmt: on
    return parser.parse_args(arguments)


def _cases(doors: Sequence[Door], count: int, only: int | None) -> Iterator[tuple[Door, int]]:
    for door, share in zip(doors, shares(doors, count), strict=True):
        for number in range(share) if only is None else (only,):
            yield door, number


def _progress(tally: Tally, count: int, begun: float) -> None:
    if sys.stderr.isatty():
        seconds = (time.monotonic() - begun) / tally.cases * (count - tally.cases)
        words = (
            f"\r{tally.cases:,} of {count:,}, {len(tally.failures)} failed, {seconds:.0f} s left "
        )
        print(words, end="", file=sys.stderr, flush=True)


def _line(done: Done) -> str:
    verdict = done.verdict
    return f"{verdict.outcome}: {done.door.name} {done.number} ({done.damage}): {verdict.cause}"


def _show(done: Done) -> None:
    print(f"== {_line(done)}; {done.seconds:.2f} s, exit code {done.ended.code}")
    for name, text in (("printed", done.ended.printed), ("said", done.ended.said)):
        print(f"-- {name}\n{text.rstrip()}")


if __name__ == "__main__":
    sys.exit(main())
