"""A process for each case, forked from one that has imported everything, and bounded in all."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import datasets
from huggingface_hub import constants

from . import outside
from .door import Case, Door, damage
from .judge import UNPREPARED, Digits, Ended, Verdict, judge

MEMORY: Final = 2 * 2**30  # bytes that a case may take beyond what is imported
CPU: Final = 20  # seconds
LARGEST: Final = 2**28  # bytes of a file that it writes


@dataclass(frozen=True)
class Done:
    """A case that has ended."""

    door: Door
    number: int
    damage: str  # what happened to its input
    verdict: Verdict
    seconds: float
    ended: Ended


class Healthy:
    """The inputs of doors, each built once, with the digits that they give."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digits: dict[str, Digits | None] = {}

    def of(self, door: Door) -> tuple[Path, Digits | None]:
        """The folder of a door's input, and what `door.digits` says of a case without damage."""
        path = self._folder / door.name
        if door.name not in self._digits:
            path.mkdir(parents=True)
            _in_child(lambda: door.build(path), path)
            outside.age(path)
            self._digits[door.name] = self._try(door, path)
        return path, self._digits[door.name]

    def _try(self, door: Door, path: Path) -> Digits | None:
        running = _Running(door, -1, 0, path, self._folder)
        while not running.is_over():
            time.sleep(0.005)
        ended = running.end()
        shutil.rmtree(running.home)
        if ended.code != 0:
            raise RuntimeError(f"the healthy input of {door.name} is refused: {ended}")
        return ended.digits


def run(
    cases: Iterable[tuple[Door, int]], seed: int, healthy: Healthy, work: Path, jobs: int
) -> Iterator[Done]:
    """Try cases, so many at once, and tell of each as it ends."""
    todo, running = iter(cases), list[_Running]()
    try:
        while True:
            while len(running) < jobs and (case := next(todo, None)) is not None:
                door, number = case
                running.append(_Running(door, number, seed, healthy.of(door)[0], work))
            if not running:
                return
            over = [one for one in running if one.is_over()]
            if not over:
                time.sleep(0.002)
            for one in over:
                running.remove(one)
                ended = one.end()
                verdict = judge(ended, one.door.refuses, healthy.of(one.door)[1])
                yield Done(one.door, one.number, one.damage, verdict, one.seconds, ended)
                shutil.rmtree(one.home, ignore_errors=True)
    finally:
        for one in running:
            one.kill()


class _Running:
    """A case under way; number -1 is the healthy one."""

    def __init__(self, door: Door, number: int, seed: int, healthy: Path, work: Path) -> None:
        self.door, self.number = door, number
        self.home = home = work / f"{door.name}-{number}"
        self.damage, self.seconds = "", 0.0
        self._begun, self._status, self._late = time.monotonic(), 0, False
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        home.mkdir(parents=True, exist_ok=True)
        self._child = os.fork()
        if not self._child:
            _leave(lambda: _case(door, number, seed, healthy, home), home)

    def is_over(self) -> bool:
        """Whether it has ended; it is stopped if its time is over."""
        pid, status = os.waitpid(self._child, os.WNOHANG)
        self.seconds = time.monotonic() - self._begun
        if not pid and self.seconds > self.door.seconds:
            self._late = True
            # It writes down where it is.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child, signal.SIGUSR1)
                time.sleep(0.3)
            self.kill()
            pid, status = os.waitpid(self._child, 0)
        if pid:
            self._status = status
            self.kill()  # what it started and left
        return bool(pid)

    def kill(self) -> None:
        """End it, with all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child, signal.SIGKILL)

    def end(self) -> Ended:
        """What is left of it."""
        home, code = self.home, os.waitstatus_to_exitcode(self._status)
        printed, said = ((home / name).read_text(errors="replace") for name in ("out", "err"))
        if not (home / "facts.json").exists():
            return Ended(UNPREPARED, False, printed, said)
        facts = json.loads((home / "facts.json").read_text())
        self.damage = facts["damage"]
        foreign = outside.changes(facts["outside"], outside.snapshot(home / "outside"))
        digits = None
        if code == 0 and self.door.digits is not None:
            digits = self.door.digits(home / "case")
        return Ended(code, self._late, printed, said, foreign, digits)


def _case(door: Door, number: int, seed: int, healthy: Path, home: Path) -> int:
    """Prepare a case and try it."""
    try:
        case = _prepared(door, number, seed, healthy, home)
    except BaseException:
        traceback.print_exc()
        return UNPREPARED
    os.chdir(case.folder)
    _bound()
    return door.try_it(case)


def _prepared(door: Door, number: int, seed: int, healthy: Path, home: Path) -> Case:
    """Copy the input and damage it; what does not suit it is left out."""
    shutil.copytree(healthy, home / "case", symlinks=True)
    outside.build(home / "outside")
    rng = random.Random(f"{seed}/{door.name}/{number}")
    case = Case(home / "case", home / "outside", rng, door.scope)
    done = damage(door, case) if number >= 0 else []
    outside.age(home / "outside")
    facts = {"damage": ", ".join(done), "outside": outside.snapshot(home / "outside")}
    (home / "facts.json").write_text(json.dumps(facts))
    return case


def _in_child(work: Callable[[], None], folder: Path) -> None:
    """Do something in a process of its own: what it starts, such as threads, stays there."""
    with tempfile.TemporaryDirectory() as home:
        child = os.fork()
        if not child:
            os.chdir(folder)
            _leave(lambda: _none(work), Path(home))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            said = (Path(home) / "err").read_text()
            raise RuntimeError(f"{folder.name} could not be built ({code}):\n{said}")


def _none(work: Callable[[], None]) -> int:
    work()
    return 0


def _leave(work: Callable[[], int], home: Path) -> NoReturn:
    """Do the work of a child, which knows nothing of what its parent has open, and end."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(home / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
        sys.stdin, sys.stdout, sys.stderr = (open(n, "rww"[n], closefd=False) for n in range(3))  # noqa: SIM115
        _settle(home)
        sys.dont_write_bytecode = True  # it would hold the time
        code = work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 255)


def _settle(home: Path) -> None:
    """A home, caches and temporary files of its own; no network, no wait for a disk."""
    for name in ("home", "tmp"):
        (home / name).mkdir(exist_ok=True)
    for variable in ("HOME", "HF_HOME", "XDG_CACHE_HOME"):
        os.environ[variable] = str(home / "home")
    os.environ |= {
        "TMPDIR": str(home / "tmp"),
        "CUDA_VISIBLE_DEVICES": "",
        "OPENAI_API_KEY": "none",
    }
    for variable in ("COLUMNS", "MM_IMAGENET_R_DATA_DIR", "http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(variable, None)
    tempfile.tempdir = None
    constants.HF_HOME, constants.HF_HUB_CACHE = str(home / "home"), str(home / "home/hub")
    datasets.config.HF_DATASETS_CACHE = home / "home/datasets"
    os.fsync = lambda fd: None
    socket.socket.connect = _local(socket.socket.connect)  # type: ignore[method-assign]


def _local(connect: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(end: socket.socket, address: Any) -> Any:
        if end.family == socket.AF_UNIX or address[0] == "127.0.0.1":
            return connect(end, address)
        raise OSError(101, "the network is off")

    return wrapped


def _bound() -> None:
    """Limits from here on; SIGUSR1 makes the process write down where it is."""
    status = Path("/proc/self/status").read_text()
    (now,) = (int(line.split()[1]) * 1024 for line in status.splitlines() if "VmData" in line)
    for kind, most in (
        (resource.RLIMIT_DATA, now + MEMORY),
        (resource.RLIMIT_CPU, CPU),
        (resource.RLIMIT_FSIZE, LARGEST),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    faulthandler.register(signal.SIGUSR1, sys.stderr)
