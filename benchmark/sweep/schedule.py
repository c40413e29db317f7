"""When each cell of a grid is run: after the one it waits for, and not where another process is."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmark.config import RunConfig
from benchmark.run_folder import RunFolder
from benchmark.sweep.grid import reference_of
from benchmark.sweep.ledger import Failure, Ledger, failed, succeeded
from benchmark.sweep.progress import Progress

_REFRESH = 0.5  # seconds between two looks at what is under way


@dataclass(frozen=True)
class Ended:
    """A cell whose run has ended, well or not.

    Attributes:
        cell: Which.
        code: Exit code of its process.
    """

    cell: RunConfig
    code: int


class Engine(Protocol):
    """Where cells are run.

    Attributes:
        slots: How many it takes at once.
    """

    slots: int

    def start(self, cell: RunConfig) -> None:
        """Begin to run a cell."""

    def wait(self, seconds: float) -> list[Ended]:
        """Return those that have ended, after so many seconds at the latest."""

    def under_way(self) -> list[tuple[RunConfig, float]]:
        """The cells that are being run, and the share of each that is done."""

    def stop(self) -> None:
        """End all that is under way, so that it can be resumed."""


def run_all(
    missing: Sequence[RunConfig], engine: Engine, ledger: Ledger, progress: Progress
) -> list[Failure]:
    """Run cells, as many at once as the engine takes; those that fail do not stop the others.

    A cell at which another process works, such as a second sweep, is left to that process and
    looked at again when it has ended.

    Returns:
        The failures, which are also written down.
    """
    waiting, failures = list(missing), []
    try:
        while waiting or engine.under_way():
            free = engine.slots - len(engine.under_way())
            unfinished = {cell.folder() for cell in waiting}
            unfinished |= {cell.folder() for cell, _ in engine.under_way()}
            ready = (cell for cell in waiting if _is_ready(cell, unfinished))
            for cell in list(itertools.islice(ready, max(free, 0))):
                waiting.remove(cell)
                if ledger.result(cell) is None:
                    engine.start(cell)
                else:
                    progress.done(cell, ledger, elsewhere=True)
            if not engine.under_way():
                progress.show([], waiting)
                if waiting:
                    time.sleep(_REFRESH)
                continue
            for ended in engine.wait(_REFRESH):
                if ended.code == 0:
                    succeeded(ended.cell)
                    ledger.keep(ended.cell)
                    progress.done(ended.cell, ledger)
                elif RunFolder(ended.cell.folder()).is_busy():
                    waiting.append(ended.cell)
                elif ledger.result(ended.cell) is not None:
                    progress.done(ended.cell, ledger, elsewhere=True)
                else:
                    failures.append(failed(ended.cell, ended.code))
                    progress.failed(failures[-1])
            if engine.under_way():
                progress.show(engine.under_way(), waiting)
    finally:
        engine.stop()
    return failures


def _is_ready(cell: RunConfig, unfinished: set[Path]) -> bool:
    reference = reference_of(cell)
    if reference is not None and reference.folder() in unfinished:
        return False
    return not RunFolder(cell.folder()).is_busy()
