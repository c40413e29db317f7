"""A run in a process of its own that is killed, from within or from outside."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "benchmark.experiment",
        "benchmark.data.find_dataset",
        "baselines.exemplar_masking",
        "transformers.models.auto.tokenization_auto",
        "transformers.models.vilt.modeling_vilt",
        "transformers.models.vilt.image_processing_pil_vilt",
    ]
)


def start(arguments: Sequence[str], **options: Any) -> ForkServerProcess:
    """Start `python -m benchmark.run` with these arguments; see `_child` for the options."""
    process = CONTEXT.Process(target=_child, args=(list(arguments),), kwargs=options)
    process.start()
    return process


def finish(process: ForkServerProcess) -> int | None:
    """Wait for its end: the exit code, -9 if it was killed."""
    process.join(120)
    return process.exitcode


def signal_after(process: ForkServerProcess, seconds: float, number: int) -> int | None:
    """Send a signal from outside, and wait for its end."""
    time.sleep(seconds)
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, number)
    return finish(process)


def _child(
    arguments: list[str], *, at: int = 0, count: Path | None = None, interrupted: bool = False
) -> None:
    """Run, and die at the `at`-th moment of writing; or write the number of moments to `count`.

    If it is to be `interrupted`, Ctrl-C comes amid a phase, when its first steps have been saved.
    """
    import torch

    from benchmark.run import main

    torch.set_num_threads(1)
    # A shell starts what runs in the background with Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A sweep before may have started the server that forks, and starts it with Ctrl-C blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    moments = _watch(at)
    if interrupted:
        _interrupt()
    code = main(arguments)
    if count is not None:
        count.write_text(str(moments.value))
    os._exit(code)


def _watch(at: int) -> Any:
    """Three moments of each write (half written, not renamed, renamed), two of each removal.

    They are counted over this process and those that it starts for the phases.
    """
    moments, whole = multiprocessing.Value("i", 0), os.getpid()

    def pass_by(name: str) -> bool:
        with moments.get_lock():
            moments.value += 1
            return moments.value == at

    def die() -> None:
        os.kill(whole, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    fsync, replace, unlink = os.fsync, pathlib.Path.replace, pathlib.Path.unlink

    def half_written(file: int) -> None:
        if pass_by("half written"):
            os.ftruncate(file, os.fstat(file).st_size // 2)
            die()
        fsync(file)

    def around(name: str, action: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if pass_by(f"before {name}"):
                die()
            result = action(*arguments, **options)
            if pass_by(f"after {name}"):
                die()
            return result

        return wrapped

    os.fsync = half_written  # type: ignore[assignment]
    pathlib.Path.replace = around("rename", replace)  # type: ignore[method-assign]
    pathlib.Path.unlink = around("removal", unlink)  # type: ignore[method-assign]
    return moments


def _interrupt() -> None:
    replace, whole = pathlib.Path.replace, os.getpid()

    def wrapped(path: Path, target: Any) -> Any:
        result = replace(path, target)
        if str(target).endswith(".partial"):
            os.kill(whole, signal.SIGINT)
            time.sleep(60)  # until the interrupted one ends this process
        return result

    pathlib.Path.replace = wrapped  # type: ignore[method-assign]
