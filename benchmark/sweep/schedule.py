"""When each cell of a grid is run: after the one it waits for, and not where another process is."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmark.config import RunConfig
from benchmark.run_folder import RunFolder
from benchmark.sweep.grid import reference_of
from benchmark.sweep.ledger import Failure, Ledger, failed, make_room, succeeded
from benchmark.sweep.progress import Progress

_REFRESH = 0.5  # seconds between two looks at what is running


class Engine(Protocol):
    """Where cells are run, `slots` of them at once."""

    slots: int

    def start(self, cell: RunConfig) -> None:
        """Start a cell."""

    def wait(self, seconds: float) -> list[tuple[RunConfig, int]]:
        """Wait at most so many seconds for cells to end; return these with their exit codes."""

    def under_way(self) -> list[tuple[RunConfig, float]]:
        """The cells that are being run, and the share of each that is done."""

    def stop(self) -> None:
        """End all cells so that they can be resumed."""


def run_all(
    missing: Sequence[RunConfig], engine: Engine, ledger: Ledger, progress: Progress
) -> list[Failure]:
    """Run cells, as many at once as the engine takes, and return (and write down) their failures.

    A cell that another process is running, such as a second sweep, is left to that process and
    looked at again when it has ended. UserError: a log cannot be written.
    """
    waiting, failures = list(missing), []
    try:
        while waiting or engine.under_way():
            unfinished = {cell.folder() for cell in waiting}
            unfinished |= {cell.folder() for cell, _ in engine.under_way()}
            ready = (cell for cell in waiting if _is_ready(cell, unfinished))
            free = max(engine.slots - len(engine.under_way()), 0)
            for cell in list(itertools.islice(ready, free)):
                waiting.remove(cell)
                if ledger.result(cell) is not None:  # another process has run it meanwhile
                    progress.done(cell, ledger, elsewhere=True)
                    continue
                make_room(cell)
                engine.start(cell)
            if not engine.under_way():
                progress.show([], waiting)
                time.sleep(_REFRESH if waiting else 0)
                continue
            for cell, code in engine.wait(_REFRESH):
                if code == 0:
                    succeeded(cell)
                    ledger.keep(cell)
                    progress.done(cell, ledger)
                elif RunFolder(cell.folder()).is_busy():
                    waiting.append(cell)
                elif ledger.result(cell) is not None:
                    progress.done(cell, ledger, elsewhere=True)
                else:
                    failures.append(failed(cell, code))
                    progress.failed(failures[-1])
            if engine.under_way():
                progress.show(engine.under_way(), waiting)
    finally:
        engine.stop()
    return failures


def _is_ready(cell: RunConfig, unfinished: set[Path]) -> bool:
    reference = reference_of(cell)
    awaited = reference is not None and reference.folder() in unfinished
    return not awaited and not RunFolder(cell.folder()).is_busy()
