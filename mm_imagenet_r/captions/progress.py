"""What a user sees while captions are made, and when they are."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Final

import rich.progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mm_imagenet_r.captions.options import Options
from mm_imagenet_r.captions.store import Store

_SAMPLES: Final = 5
_LOOK_EVERY: Final = 1.0
#: Where there is no terminal, a line so often, in seconds.
_LINE_EVERY: Final = 60.0


def make_console() -> Console:
    """A console for the standard output, where only a terminal breaks lines."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if narrow else 1000)


class Progress:
    """Shows captions done, captions a second and the time left, while it is entered.

    It looks at the caption set's folder, so it counts what workers in other processes and on
    other machines do as well.
    """

    def __init__(self, store: Store, limit: int | None, console: Console) -> None:
        self._store = store
        self._sizes = [len(unit) for unit in store.units]
        self._total = sum(self._sizes) if limit is None else min(limit, sum(self._sizes))
        self._console = console
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._begun = self._done()

    def __enter__(self) -> None:
        if self._begun:
            self._console.print(f"going on after {self._begun:,} of {self._total:,} images")
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _done(self) -> int:
        return min(sum(self._sizes[unit] for unit in self._store.done()), self._total)

    def _run(self) -> None:
        started = last_line = time.monotonic()
        bar = rich.progress.Progress(
            rich.progress.TextColumn("captions"),
            rich.progress.BarColumn(bar_width=28),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[rate]}"),
            rich.progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        with bar:
            task = bar.add_task("", total=self._total, completed=self._begun, rate="")
            while not self._stop.wait(_LOOK_EVERY):
                done, now = self._done(), time.monotonic()
                rate = (done - self._begun) / (now - started)
                bar.update(task, completed=done, rate=f"{rate:.1f}/s" if rate else "")
                if not self._console.is_terminal and rate and now - last_line > _LINE_EVERY:
                    last_line = now
                    left = (self._total - done) / rate / 60
                    self._console.print(
                        f"{done:,} of {self._total:,} captions, {rate:.1f}/s, {left:.0f} min left"
                    )


def show(store: Store, path: Path | None, options: Options, console: Console) -> None:
    """Say what has been made: counts, faults, samples of a trial, and what to do next."""
    made = [
        (item, caption)
        for unit in sorted(store.done())
        for item, caption in zip(store.units[unit], store.read(unit), strict=True)
    ]
    failed = [(item, caption) for item, caption in made if caption.error]
    total = sum(map(len, store.units))
    more = len(store.manifest.hashes) - total
    copies = f" ({more:,} more images are copies)" if more else ""
    console.print(f"{len(made) - len(failed):,} of {total:,} images are captioned{copies}")
    if failed:
        console.print(f"{len(failed):,} have no caption; --retry-errors tries these again")
    for why, count in Counter(caption.error for _, caption in failed).most_common(3):
        first = next(item.file_name for item, caption in failed if caption.error == why)
        console.print(f"{count:,} such as {first}: {why}", markup=False)
    if options.limit is not None:
        good = [(item, caption) for item, caption in made if not caption.error]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), show_header=False)
        for item, caption in good[:: max(1, len(good) // _SAMPLES)][:_SAMPLES]:
            tokens = "" if caption.n_tokens is None else f"{caption.n_tokens} tokens"
            table.add_row(escape(item.file_name), f"[dim]{tokens}[/]", escape(caption.text))
        console.print(table)
    if path is None:
        console.print(
            "other units are being made by other tasks, or were left out by the limit: the last "
            f"task to end writes {store.folder / 'captions.parquet'}",
            markup=False, soft_wrap=True,
        )  # fmt: skip
        return
    console.print(f"captions: {path}", markup=False, soft_wrap=True)
    console.print(
        f"audit:    python -m mm_imagenet_r.captions audit {shlex.quote(str(store.folder))} "
        f"--images {shlex.quote(str(options.images))}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
