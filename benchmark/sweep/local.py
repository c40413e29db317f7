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
from typing import Any

from benchmark.config import RunConfig
from benchmark.display import Display
from benchmark.isolation import computes_nothing, without_main
from benchmark.sweep.ledger import log_file
from mm_imagenet_r.command_line import Terminated

_INTERVAL = 0.3  # seconds between two messages of a cell
_PATIENCE = 15.0  # seconds for a cell that is asked to stop to save what it has
#: The last one is what an optimizer imports at its first step, in the process of every phase.
_PRELOADED = ("benchmark.experiment", "benchmark.data.find_dataset", "torch._dynamo")


def environment(threads: int) -> dict[str, str]:
    """What the process of a cell finds in its environment besides what is there."""
    return {
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
        "TOKENIZERS_PARALLELISM": "false",
        # Else glibc gives memory back to the system after every layer, and asks for it again.
        **dict.fromkeys(
            ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"), "100000000"
        ),
    }


class _Reporter(Display):
    """Also sends which share of the cell is done; ends the cell when nobody listens any more."""

    def __init__(self, sender: Connection) -> None:
        super().__init__()
        self._sender = sender
        self._sent = 0.0

    def _show(self, index: int, note: str, step: str = "") -> None:
        super()._show(index, note, step)
        if not self._phases or time.monotonic() - self._sent < _INTERVAL:
            return
        self._sent = time.monotonic()
        try:
            self._sender.send(self._done / self._phases)
        except OSError:  # the sweep was killed: a cell that runs on would be in the next one's way
            raise Terminated from None


@dataclass
class _Running:
    cell: RunConfig
    process: Any
    receiver: Connection
    slot: int
    share: float = 0.0


class Local:
    """An engine (see `schedule`) that runs each cell in a process of its own."""

    def __init__(
        self,
        jobs: int,
        threads: int,
        work: Callable[[RunConfig, Display], int],
        imports: Sequence[str] = (),
    ) -> None:
        """Prepare `jobs` places, each of so many threads; nothing is started yet.

        `work` is `benchmark.run.run_alone`, which is above this module; the modules `imports` are
        imported once for all cells.
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
        """Start a cell."""
        slot = min(set(range(self.slots)) - {one.slot for one in self._running})
        receiver, sender = self._context.Pipe(duplex=False)
        log = log_file(cell).absolute()
        # Not a daemon: it starts a process for each phase.
        process = self._context.Process(
            target=_run, args=(self._work, cell, log, Path.cwd(), slot, self._warm, sender)
        )
        with _environment(self._environment), without_main():
            self._start_server()
            process.start()
        sender.close()
        self._running.append(_Running(cell, process, receiver, slot))

    def wait(self, seconds: float) -> list[tuple[RunConfig, int]]:
        """Wait at most so many seconds for cells to end."""
        wait([one.process.sentinel for one in self._running], seconds)
        ended = []
        for one in list(self._running):
            with contextlib.suppress(EOFError, OSError):
                while one.receiver.poll():
                    one.share = one.receiver.recv()
            if not one.process.is_alive():
                one.process.join()
                one.receiver.close()
                self._running.remove(one)
                ended.append((one.cell, one.process.exitcode))
        return ended

    def under_way(self) -> list[tuple[RunConfig, float]]:
        """The cells that are being run, and the share of each that is done."""
        return [(one.cell, one.share) for one in self._running]

    def stop(self) -> None:
        """End all cells so that they can be resumed."""
        for one in self._running:
            one.process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for one in self._running:
            one.process.join(max(0.0, deadline - time.monotonic()))
            if one.process.is_alive():
                one.process.kill()
                one.process.join()
            one.receiver.close()
        self._running.clear()

    def _start_server(self) -> None:
        """Start the fork server deaf to Ctrl-C, which would end its imports with a traceback.

        The signal is held back meanwhile and reaches the sweep afterwards; ignored, it is lost.
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
    sender: Connection,
) -> None:
    """What the process of a cell does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sweep, which sends SIGTERM
    os.chdir(folder)
    with log.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    computes_nothing(imported=warm)
    import torch

    if (count := torch.cuda.device_count()) > 1:  # one for each of the cells side by side
        names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        chosen = names if len(names) == count else [str(number) for number in range(count)]
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen[slot % count]
    sys.exit(work(cell, _Reporter(sender)))
