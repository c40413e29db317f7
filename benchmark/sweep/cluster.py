"""Cells as tasks of a Ray cluster whose machines share a file system with the sweep."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.sweep.ledger import log_file
from benchmark.sweep.local import environment
from mm_imagenet_r.errors import UserError

_LOST = 70  # exit code of a cell whose machine is gone


class Cluster:
    """An engine (see `schedule`) that hands every cell to Ray, which starts it where it fits."""

    def __init__(self, jobs: int | None, threads: int, device: str) -> None:
        """Join the cluster, or start one on this machine if there is none.

        `jobs` cells may be with Ray at once (None: all); each takes `threads` cores, and a GPU if
        the device is `cuda`. UserError: Ray is not installed, or has no GPU.
        """
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise UserError(
                "--engine ray needs the package ray: pip install 'mm-imagenet-r[ray]', or leave "
                "out the option to run on this machine"
            ) from error
        if not self._ray.is_initialized():
            before = signal.getsignal(signal.SIGTERM)
            # Messages of Ray's own start are not for users; errors still are.
            self._ray.init(log_to_driver=False, logging_level=logging.ERROR)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray's would end this process at once
        if device == "cuda" and not self._ray.cluster_resources().get("GPU"):
            raise UserError("--device cuda: Ray knows of no GPU in this cluster; give --device cpu")
        self.slots = jobs or sys.maxsize
        self._environment = environment(threads)
        self._task = self._ray.remote(num_cpus=threads, num_gpus=int(device == "cuda"))(_run)
        self._running: dict[Any, RunConfig] = {}

    def start(self, cell: RunConfig) -> None:
        """Hand over a cell."""
        words, log = shlex.split(cell.command(place=True))[1:], log_file(cell).absolute()
        task = self._task.remote(words, str(Path.cwd()), str(log), self._environment)
        self._running[task] = cell

    def wait(self, seconds: float) -> list[tuple[RunConfig, int]]:
        """Wait at most so many seconds for cells to end."""
        tasks = list(self._running)
        ready, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=seconds)
        codes = [self._code(task) for task in ready]
        return [(self._running.pop(task), code) for task, code in zip(ready, codes, strict=True)]

    def under_way(self) -> list[tuple[RunConfig, float]]:
        """The cells that Ray has; it does not report how far they are."""
        return [(cell, 0.0) for cell in self._running.values()]

    def stop(self) -> None:
        """Take back what Ray has not finished."""
        for task in self._running:
            self._ray.cancel(task)
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=15)
        self._running.clear()

    def _code(self, task: Any) -> int:
        try:
            return int(self._ray.get(task))
        except self._ray.exceptions.RayError as error:
            with log_file(self._running[task]).open("a") as log:
                log.write(f"{error}\n")
            return _LOST


def _run(words: list[str], folder: str, log: str, values: dict[str, str]) -> int:
    """What a task does, on any machine; a run that is asked to stop can be resumed."""
    with open(log, "wb") as file:  # noqa: PTH123 (this function is sent away alone)
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder, env={**os.environ, **values}, stdout=file, stderr=file,
        )  # fmt: skip
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
            raise
