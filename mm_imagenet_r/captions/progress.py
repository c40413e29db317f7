"""What a user sees while captions are made, and when they are."""

from __future__ import annotations

import shlex
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

from mm_imagenet_r.captions.options import Options
from mm_imagenet_r.captions.store import Failed, Store
from mm_imagenet_r.errors import UserError, one_line

_SAMPLES: Final = 5
_REASONS: Final = 5
_LOOK_EVERY: Final = 1.0
#: Seconds between two lines where there is no terminal.
_LINE_EVERY: Final = 60.0


class Progress:
    """Shows captions done, captions per second and the time left, while it is entered.

    It counts in the caption set's folder, to which workers in all processes and machines write.
    """

    def __init__(
        self, store: Store, limit: int | None, retry: Mapping[int, Failed], console: Console
    ) -> None:
        self._store = store
        self._retry = retry
        self._sizes = {unit: len(store.units[unit]) for unit in store.first(limit)}
        self._total = sum(self._sizes.values())
        self._console = console
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._before = self._done()

    def __enter__(self) -> None:
        if self._before or self._retry:
            again = sum(failed.count for failed in self._retry.values())
            more = f"; retrying {again:,} that failed before" if again else ""
            self._console.print(f"resuming after {self._before:,} of {self._total:,} images{more}")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _done(self) -> int:
        """Count captions; those to be retried count when they have been."""
        made = sum(self._sizes.get(unit, 0) for unit in self._store.done())
        waiting = (
            failed.count
            for unit, failed in self._retry.items()
            if self._store.written(unit) == failed.written
        )
        return made - sum(waiting)

    def _run(self) -> None:
        started = last_line = time.monotonic()
        is_terminal = self._console.is_terminal
        left, counts = TimeRemainingColumn(), MofNCompleteColumn()
        columns = ("captions", BarColumn(bar_width=28), counts, "{task.fields[rate]}", left)
        bar = rich.progress.Progress(
            *columns, console=self._console, transient=True, disable=not is_terminal
        )
        with bar:
            task = bar.add_task("", total=self._total, completed=self._before, rate="")
            while not self._stop.wait(_LOOK_EVERY):
                try:
                    done, now = self._done(), time.monotonic()
                except (OSError, UserError):  # the workers see it too, and end
                    continue
                rate = (done - self._before) / (now - started)
                bar.update(task, completed=done, rate=f"{rate:.1f}/s" if rate else "")
                if not is_terminal and rate and now - last_line > _LINE_EVERY:
                    last_line = now
                    minutes = (self._total - done) / rate / 60
                    self._console.print(
                        f"{done:,} of {self._total:,} captions, {rate:.1f}/s, "
                        f"{minutes:.0f} min left"
                    )


def show(
    store: Store, path: Path | None, options: Options, retry: Mapping[int, Failed], console: Console
) -> None:
    """Print what has been made: counts, faults, samples of a trial, and what to do next."""

    def say(*lines: str) -> None:
        for line in lines:
            console.print(line, markup=False, soft_wrap=True)

    rows = [row for unit in sorted(store.done()) for row in store.rows(unit)]
    good = [row for row in rows if not row["error"]]
    total = sum(map(len, store.units))
    more = len(store.manifest.hashes) - total
    copies = f" ({more:,} more images are copies)" if more else ""
    say(f"{len(good):,} of {total:,} images are captioned{copies}")
    if options.retry_errors and not retry:
        say("no image had failed before: there was nothing to retry")
    if retry:
        before = sum(failed.count for failed in retry.values())
        now = sum(bool(row["error"]) for unit in retry for row in store.rows(unit))
        say(f"{before - now:,} of {before:,} images that had failed are captioned now")
    say(*reasons({row["file_name"]: row["error"] for row in rows if row["error"]}))
    if found := Counter(flag for row in good for flag in row["flags"]):
        count = sum(bool(row["flags"]) for row in good)
        listing = ", ".join(f"{flag} {number:,}" for flag, number in found.most_common())
        say(f"{count:,} captions may be faulty ({listing}): the audit shows them")
    if options.limit is not None:
        for row in good[:: max(1, len(good) // _SAMPLES)][:_SAMPLES]:
            tokens = "" if row["n_tokens"] is None else f" ({row['n_tokens']} tokens)"
            say(f"{row['file_name']}{tokens}", block(row["caption"], console.width))
    if path is None:
        say(
            "some units are still missing: other tasks are making them, or --limit left them out. "
            f"The last task to finish writes {store.folder / 'captions.parquet'}"
        )
        return
    audit = f"audit {shlex.quote(str(store.folder))} --images {shlex.quote(str(options.images))}"
    say(f"captions: {path}", f"audit:    python -m mm_imagenet_r.captions {audit}")


def reasons(failed: Mapping[str, str]) -> list[str]:
    r"""Say in a few lines what was wrong, by file name; the counts add up.

    >>> reasons({"a.jpg": "no\nmemory", "b.jpg": "no memory"})
    ['2 have no caption; --retry-errors tries again', '  2 such as a.jpg: no memory']
    """
    if not failed:
        return []
    examples: dict[str, list[str]] = {}
    for name, why in failed.items():
        examples.setdefault(one_line(why), []).append(name)
    ranked = sorted(examples.items(), key=lambda item: -len(item[1]))
    lines = [f"{len(failed):,} have no caption; --retry-errors tries again"]
    lines += [f"  {len(names):,} such as {names[0]}: {why}" for why, names in ranked[:_REASONS]]
    if rest := ranked[_REASONS:]:
        count = sum(len(names) for _, names in rest)
        lines.append(f"  {count:,} for {len(rest):,} other reasons: see the column error")
    return lines


def block(caption: str, width: int) -> str:
    r"""Lay a caption out as one indented paragraph.

    >>> print(block("A dog.\n\nIt sleeps on a sofa.", width=20))
        A dog. It sleeps
        on a sofa.
    """
    text = one_line(caption, len(caption)) or "(empty)"
    return textwrap.indent(textwrap.fill(text, max(width - 4, 16)), " " * 4)
