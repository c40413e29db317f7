"""A function run in a process of its own, so that nothing it leaves in Python reaches the next.

Class attributes, caches of modules and global variables die with the process; what the next one
needs must be written to disk or returned. This does not stop intent: the process may read any file,
and a forked one inherits the memory of its parent.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
#: Called with the name of a method of `benchmark.display.Display` and its arguments.
Report = Callable[..., None]

_PATIENCE = 5.0  # seconds in which a process that has answered may end by itself
_DONE, _REPORT, _RAISED = "done", "report", "raised"


class RemoteTracebackError(Exception):
    """Where in the other process an exception was raised; the cause of that exception here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def start_method() -> str:
    """How to start a process: `fork` where that is safe, as it costs milliseconds.

    Forking is not safe once this process has computed with several threads or on a GPU. The harness
    never does; but a program that calls it may have. `forkserver` then forks from a clean process
    that has imported the same modules, and `spawn` starts from nothing.
    """
    torch = sys.modules.get("torch")
    if sys.platform != "linux":
        return "spawn"
    if torch is None:
        return "fork"
    alone = _computes_nothing or torch.get_num_threads() == 1
    return "fork" if alone and not torch.cuda.is_initialized() else "forkserver"


def computes_nothing(*, imported: bool = False) -> None:
    """Say that this process will compute nothing itself, as that of a command line does.

    Args:
        imported: It has had torch from its beginning, forked from a process that only imports.
    """
    global _computes_nothing
    _computes_nothing = imported or "torch" not in sys.modules


@contextlib.contextmanager
def foreign_code() -> Iterator[None]:
    """Watch code that is not the harness's, such as the module of a method while it is imported.

    If it starts threads, it has computed something, and forking is not safe any more.
    """
    global _computes_nothing
    import torch  # noqa: F401  (its own threads, and those of NumPy, start here)

    before = _threads()
    yield
    if _threads() > before:
        _computes_nothing = False


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()


_computes_nothing = False


def isolated(
    work: Callable[[Any, Report], T], job: Any, report: Report, imports: Sequence[str] = ()
) -> T:
    """Return `work(job, tell)`, computed in a process of its own.

    Args:
        work: A function of a module; what it returns is pickled.
        job: Handed over as it is where the process is forked, pickled elsewhere.
        report: Called here with whatever `tell` is called with there.
        imports: Modules that a fork server imports before it forks.

    Raises:
        BaseException: What `work` raises; its cause holds the traceback of the other process.
        RuntimeError: The process ended without an answer: it was killed, or left by itself.
    """
    context: Any = multiprocessing.get_context(start_method())
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([work.__module__, *imports])
    here, there = context.Pipe(duplex=False)
    # Not a daemon: it may have to start workers that load data.
    process = context.Process(target=_child, args=(there, work, job))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # else a forked process would write it once more
    with without_main():
        process.start()
    there.close()
    try:
        while True:
            kind, value = _answer(here, process)
            if kind == _REPORT:
                report(*value)
            elif kind == _DONE:
                result: T = value
                return result
            else:
                error, trace = value
                raise error from RemoteTracebackError(trace)
    except BaseException:
        process.kill()  # Ctrl-C, or an exception that it has reported
        raise
    finally:
        here.close()
        process.join(_PATIENCE)
        if process.is_alive():  # a thread of the method's own that does not end
            process.kill()
            process.join()


def _answer(connection: Connection, process: Any) -> Any:
    """What the process sends next.

    Raises:
        RuntimeError: It ended without an answer.
    """
    try:
        return connection.recv()
    except EOFError:
        process.join()
        raise RuntimeError(
            f"a process of the run ended without an answer (exit code {process.exitcode}): it was "
            "killed, or memory ran out. The same command resumes"
        ) from None


def _child(connection: Connection, work: Callable[[Any, Report], T], job: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler is not for this process
    follow_parent()
    gc.freeze()  # what a fork inherits is no garbage: looking through it would copy all its pages
    try:
        result = work(job, lambda *told: connection.send((_REPORT, told)))
        connection.send((_DONE, result))
    except BaseException as error:
        with contextlib.suppress(ConnectionError):  # the parent is gone
            connection.send((_RAISED, (_sendable(error), traceback.format_exc())))
    finally:
        connection.close()


def _sendable(error: BaseException) -> BaseException:
    """The exception itself, unless it would end the parent unnoticed or cannot be pickled."""
    if isinstance(error, SystemExit):
        return RuntimeError(f"the method ended its process by SystemExit({error.code!r})")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def follow_parent() -> None:
    """End this process when its parent ends, however that does, and amid whatever goes on here."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Hide the program that calls: a process that is not forked would run its file once more."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program
