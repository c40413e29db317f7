"""Cells in processes of this machine, which need not import everything again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import RunConfig
from benchmark.isolation import computes_nothing, without_main
from benchmark.sweep.ledger import log_file
from benchmark.sweep.schedule import Ended
from mm_imagenet_r.files import explained

if TYPE_CHECKING:
    from benchmark.display import Display

_PATIENCE = 15.0  # seconds in which a cell that is told to stop writes down what it has
#: The last one is what an optimizer imports at its first step, in the process of every phase.
_PRELOADED = ("benchmark.experiment", "benchmark.data.find_dataset", "torch._dynamo")


def environment(threads: int) -> dict[str, str]:
    """What the process of a cell finds in its environment beside what is there."""
    return {
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
        "TOKENIZERS_PARALLELISM": "false",
        # Else glibc gives memory back to the system after every layer, and asks for it again.
        **dict.fromkeys(
            ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"), "100000000"
        ),
    }


@dataclass
class _Running:
    cell: RunConfig
    process: Any
    told: Connection
    slot: int
    share: float = 0.0


class Local:
    """Runs each cell in a process of its own, some of them side by side."""

    def __init__(
        self,
        jobs: int,
        threads: int,
        work: Callable[[RunConfig, Display], int],
        imports: Sequence[str] = (),
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            jobs: How many cells run at once.
            threads: Of each.
            work: `benchmark.run.run_alone`, which is above this module.
            imports: Modules that cells need, imported once for all.
        """
        self._work = work
        self.slots = jobs
        self._environment = environment(threads)
        # Fork servers are safe where fork is: see `benchmark.isolation.start_method`.
        self._warm = sys.platform == "linux"
        self._context: Any = multiprocessing.get_context("forkserver" if self._warm else "spawn")
        if self._warm:
            self._context.set_forkserver_preload([*_PRELOADED, *imports])
        self._running: list[_Running] = []

    def start(self, cell: RunConfig) -> None:
        """Begin to run a cell.

        Raises:
            UserError: Its log cannot be written.
        """
        log = log_file(cell)
        with explained(log):
            log.parent.mkdir(parents=True, exist_ok=True)
        slot = min(set(range(self.slots)) - {one.slot for one in self._running})
        told, tell = self._context.Pipe(duplex=False)
        # Not a daemon: it starts a process for each phase.
        process = self._context.Process(
            target=_run, args=(self._work, cell, log.absolute(), Path.cwd(), slot, self._warm, tell)
        )
        with _environment(self._environment), without_main():
            self._start_server()
            process.start()
        tell.close()
        self._running.append(_Running(cell, process, told, slot))

    def wait(self, seconds: float) -> list[Ended]:
        """Return those that have ended, after so many seconds at the latest."""
        wait([one.process.sentinel for one in self._running], seconds)
        ended = []
        for one in list(self._running):
            self._listen(one)
            if not one.process.is_alive():
                one.process.join()
                one.told.close()
                self._running.remove(one)
                ended.append(Ended(one.cell, one.process.exitcode))
        return ended

    def under_way(self) -> list[tuple[RunConfig, float]]:
        """The cells that are being run, and the share of each that is done."""
        return [(one.cell, one.share) for one in self._running]

    def stop(self) -> None:
        """End all that is under way, so that it can be resumed."""
        for one in self._running:
            one.process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for one in self._running:
            one.process.join(max(0.0, deadline - time.monotonic()))
            if one.process.is_alive():
                one.process.kill()
                one.process.join()
            one.told.close()
        self._running.clear()

    def _start_server(self) -> None:
        """Start the fork server deaf to Ctrl-C: it would end its imports by a traceback.

        The signal is held back meanwhile and reaches the sweep afterwards; ignored, it was lost.
        The mask, which the server inherits, holds it back from this thread alone: where another
        thread takes it, Python calls the handler here all the same, so that waits as well.
        """
        if not self._warm or threading.current_thread() is not threading.main_thread():
            return
        resource_tracker.ensure_running()  # starting it below would let the signal through
        held_back: list[int] = []
        handler = signal.signal(signal.SIGINT, lambda number, _: held_back.append(number))
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if held_back:
            signal.raise_signal(signal.SIGINT)

    @staticmethod
    def _listen(one: _Running) -> None:
        with contextlib.suppress(EOFError, OSError):
            while one.told.poll():
                one.share = one.told.recv()


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Change the environment for a process that is started here, and only for that."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _run(
    work: Callable[[RunConfig, Display], int],
    cell: RunConfig,
    log: Path,
    folder: Path,
    slot: int,
    warm: bool,
    tell: Connection,
) -> None:
    """What the process of a cell does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sweep, which sends SIGTERM
    os.chdir(folder)
    with log.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    from benchmark.sweep.telling import Telling

    computes_nothing(imported=warm)
    _choose_gpu(slot)
    sys.exit(work(cell, Telling(tell)))


def _choose_gpu(slot: int) -> None:
    """Share several GPUs out among cells that run side by side."""
    import torch

    if (count := torch.cuda.device_count()) > 1:
        names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        chosen = names if len(names) == count else [str(number) for number in range(count)]
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen[slot % count]
