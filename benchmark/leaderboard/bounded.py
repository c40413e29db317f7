"""Work on files that others made, in a process of its own with bounded time and memory.

Whatever a file leads its reader into, a crash of a library included, ends as words about that file,
and the next one is looked at.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from benchmark.isolation import computes_nothing, follow_parent, start_method, without_main
from mm_imagenet_r.errors import UserError, one_line

J = TypeVar("J")
T = TypeVar("T")


@dataclass(frozen=True)
class Failed:
    """Why a job has no answer."""

    why: str


def each(
    work: Callable[[J], T],
    jobs: Sequence[J],
    *,
    seconds: float,
    memory: int | None = None,
    processes: int = 1,
) -> Iterator[T | Failed]:
    """Do all jobs, `processes` side by side; give what each comes to, in their order.

    `work` is a function of a module; a `UserError` of it is a `Failed` with its words. A process
    may allocate `memory` bytes besides what it begins with (None: any; only Linux keeps to it).
    """
    workers: dict[int, _Worker[J, T]] = {}

    def begin(number: int) -> None:
        if number < len(jobs):
            place = number % processes
            workers[place] = workers.get(place) or _Worker(work, memory)
            workers[place].begin(jobs[number], seconds)

    try:
        for number in range(processes):
            begin(number)
        for number in range(len(jobs)):
            place = number % processes
            found = workers[place].answer()
            if isinstance(found, Failed) and not workers[place].healthy:
                workers.pop(place).kill()
            begin(number + processes)
            yield found
    finally:
        for worker in workers.values():
            worker.kill()


class _Worker(Generic[J, T]):
    """A process that does jobs until it is killed, which is always well: it writes nothing."""

    def __init__(self, work: Callable[[J], T], memory: int | None) -> None:
        context: Any = multiprocessing.get_context(start_method())
        self._pipe, there = context.Pipe()
        self._memory = memory
        self._process = context.Process(target=_loop, args=(there, self._pipe, work, memory))
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with without_main():
            self._process.start()
        there.close()
        self.healthy, self._seconds, self._until = True, 0.0, 0.0

    def begin(self, job: J, seconds: float) -> None:
        """Give it a job and so much time."""
        self.healthy = False
        self._seconds, self._until = seconds, time.monotonic() + seconds
        with contextlib.suppress(OSError):  # that it has ended is found by `answer`
            self._pipe.send(job)

    def answer(self) -> T | Failed:
        """Wait for what the job comes to."""
        try:
            if not self._pipe.poll(max(0.0, self._until - time.monotonic())):
                return Failed(f"took more than {self._seconds:g} seconds")
            kind, value = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(1)
            return Failed(f"ended the process that read it (exit code {self._process.exitcode})")
        if kind == "memory":
            return Failed(f"took more than {self._memory or 0:,} bytes of memory")
        self.healthy = kind in ("done", "refused")
        if kind == "done":
            found: T = value
            return found
        return Failed(value)

    def kill(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()


def _loop(pipe: Connection, other_end: Connection, work: Callable[[Any], Any], memory: Any) -> None:
    with contextlib.suppress(OSError):
        other_end.close()  # where it was forked: else the end of the parent would not be seen
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when it is over
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    follow_parent()
    computes_nothing()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)  # rows of a table are many, and in no circle: a fifth faster
    if memory is not None:
        _limit(memory)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(_answer(work, job))


def _answer(work: Callable[[Any], Any], job: Any) -> tuple[str, Any]:
    try:
        return "done", work(job)
    except UserError as error:
        return "refused", str(error)
    except MemoryError:
        return "memory", None
    except Exception as error:  # what was read is not the program's, so neither is the fault
        return "raised", f"cannot be checked ({one_line(f'{type(error).__name__}: {error}')})"


def _limit(memory: int) -> None:
    """Bound what the process may allocate, where the system has such a bound."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stack
        most = pages * resource.getpagesize() + memory
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
