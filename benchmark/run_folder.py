"""A run's folder: what is finished, who may write, and what a kill may leave behind.

    run.json                      what the run was started with
    state/phase-NN.safetensors    the method's tensors after the last learned phase
    state/phase-NN.learnt.json    what learning a phase left that is not tested yet
    state/phase-NN.json           a finished phase; what is not in it has not happened
    state/phase-NN.begun          how often the phase that is being learned was started
    state/phase-NN.partial.pt     a checkpoint within it
    memory/class-*.bin            the exemplars of a class

At the end result.json, *.parquet, gallery.json, source/ and report.html.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import operator
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from benchmark import results
from benchmark.errors import damaged
from benchmark.results.schema import OutsideMemory, PhaseRecord, StageResult, StateInfo
from benchmark.same_code import same_code
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import explained, remove_temporaries, write_atomic

_FACTS = {
    "config": "another configuration",
    "data": "other data",
    "split": "another split into training and test data",
    "method": "another version of the method's code",
    "harness": "another version of the harness's code",
    "device": "another kind of device (--device)",
    "backbone": "another backbone",
    "counts": "other numbers of exemplars in the run that is matched",
}
#: Facts that may have changed since a run was finished: its result says what they were then.
_OF_THE_CODE = {"config", "method", "harness", "device", "backbone"}
_PATIENCE = 3.0  # seconds in which a process that was killed leaves its lock


class Learnt(TypedDict):
    """What learning a phase left, besides tensors and exemplars; it is not tested yet."""

    stages: list[StageResult]  # the trainings
    loss: list[list[float]]  # points of their loss curves
    seconds: dict[str, float]  # by activity
    resumed: int  # how often the phase was interrupted
    ledger: dict[str, Any]  # what the memory holds, of `MemoryStore.ledger`
    memory: dict[str, Any]  # which files hold it
    stored: list[dict[str, Any]]  # one row for each exemplar that was selected
    outside_memory: OutsideMemory  # what is carried on beside it
    trainable_parameters: int  # their number
    gallery: list[dict[str, Any]]  # pictures for the report
    state: StateInfo  # hash and length of the file of the method's tensors
    hardware: dict[str, Any]  # what it was learned on


class RunFolder:
    """The files of one run in the folder `path`; `done` holds the finished phases on disk."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        """Several processes may look at a folder; one of them writes."""
        self.path = path
        self.done: list[PhaseRecord] = []
        self.writes = writes

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from running here; raise UserError if there is one."""
        if not self.writes:
            yield
            return
        with explained(self.path / ".lock"):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        with lock, contextlib.ExitStack() as stack:
            _locks.add(lock)
            stack.callback(_locks.discard, lock)
            deadline = time.monotonic() + _PATIENCE
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise UserError(
                        f"another process is running in {self.path}: wait for it, or choose "
                        "another --output"
                    )
                time.sleep(0.05)
            yield

    def is_busy(self) -> bool:
        """Whether another process works here now."""
        with contextlib.suppress(OSError), (self.path / ".lock").open("r+") as lock:
            return not _try_lock(lock)
        return False

    def clear(self) -> None:
        """Discard an earlier run but for the lock; raise UserError if a file cannot be removed.

        The result goes first and what the run was started with last: a kill in between leaves
        neither a finished run nor one of another configuration.
        """
        order = {results.RESULT: 0, "run.json": 2}
        there = sorted(self.path.iterdir(), key=lambda p: order.get(p.name, 1))
        for path in there if self.writes else ():
            with explained(path):
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != ".lock":
                    path.unlink()

    def check_identity(self, **facts: Any) -> None:
        """Remember what a run is started with; raise UserError if that is not what it was.

        A finished run is refused for other data alone: older code may have made it.
        """
        path = self.path / "run.json"
        known = _read(path) if path.exists() else {}
        finished = self.is_complete()
        for name, value in facts.items():
            if (finished and name in _OF_THE_CODE) or name not in known:
                continue
            equal = same_code if name in ("method", "harness") else operator.eq
            if not equal(known[name], value):
                raise UserError(
                    f"{self.path} was started with {_FACTS[name]}: give --overwrite to run it "
                    "again from the beginning, or choose another --output"
                )
        # Code that gives the same digits continues a run under its own hash, as its files show it.
        now = facts | known if finished else known | facts
        if self.writes and now != known:
            write_atomic(path, json.dumps(now, indent=1).encode())

    def check_backbone(self, backbone: Any) -> None:
        """Raise UserError for another backbone than at the start, even if the run is finished."""
        if self.identity("backbone") != backbone:
            raise UserError(
                f"{self.path} was started with another version of the backbone {backbone['name']}: "
                "put that version back"
            )

    def identity(self, name: str) -> Any:
        """A fact that `check_identity` remembered."""
        return _read(self.path / "run.json")[name]

    def reload(self) -> None:
        """Read which phases are finished, and remove what is left of work that is not."""
        self.read_done()
        if self.writes:
            self._tidy()

    def read_done(self) -> list[PhaseRecord]:
        """Read which phases are finished; raise UserError if a file was changed."""
        self.done = []
        while (path := self._state(len(self.done), "json")).exists():
            self.done.append(_read(path))
        return self.done

    def is_complete(self) -> bool:
        """Whether all is done; raise UserError if the result is damaged or of a newer version."""
        return (self.path / results.RESULT).exists() and results.read(self.path)["complete"]

    def begin(self, index: int) -> int:
        """Start a phase; return how often it was started before and interrupted."""
        path = self._state(index, "begun")
        before = int(_read(path)) if path.exists() else 0
        if self.writes:
            write_atomic(path, str(before + 1).encode())
        return before

    def partial(self, index: int) -> Path:
        """The checkpoint within a phase."""
        return self._state(index, "partial.pt")

    def tensors(self, index: int) -> Path:
        """The method's tensors after a phase."""
        return self._state(index, "safetensors")

    def write_learnt(self, index: int, learnt: Learnt, tensors: bytes) -> None:
        """Write what learning a phase left: it is then not learned again."""
        if self.writes:
            write_atomic(self.tensors(index), tensors)
            write_atomic(self._state(index, "learnt.json"), json.dumps(learnt).encode())

    def learnt(self, index: int) -> Learnt | None:
        """What learning a phase left, if that is done."""
        path = self._state(index, "learnt.json")
        return _read(path) if path.exists() else None

    def commit(self, record: PhaseRecord) -> None:
        """Finish the phase after the last one: with its JSON file it is done."""
        if self.writes:
            write_atomic(self._state(len(self.done), "json"), json.dumps(record).encode())
        self.done.append(record)
        if self.writes:
            self._tidy()

    def _tidy(self) -> None:
        count = len(self.done)
        wanted = {self._state(index, "json") for index in range(count)}
        wanted |= {self.tensors(count - 1), self._state(count, "begun"), self.partial(count)}
        memory = [self.done[-1]["memory"]] if count else []
        if learnt := self.learnt(count):
            wanted |= {self._state(count, "learnt.json"), self.tensors(count)}
            memory.append(learnt["memory"])
        for manifest in memory:
            wanted |= {self.path / "memory" / entry["file"] for entry in manifest.values()}
        for name in ("state", "memory"):
            for path in (self.path / name).glob("*"):
                if path not in wanted and not path.is_dir():
                    path.unlink()
        source = self.path / "source"
        below = (path for path in source.rglob("*") if path.is_dir())
        for folder in (self.path, source, *below):
            remove_temporaries(folder)

    def _state(self, index: int, ending: str) -> Path:
        return self.path / "state" / f"phase-{index:02d}.{ending}"


#: Forked processes close them: one that is left over would hold the lock too.
_locks: set[Any] = set()


def _close_locks() -> None:
    for lock in _locks:
        lock.close()
    _locks.clear()


os.register_at_fork(after_in_child=_close_locks)


def _try_lock(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(damaged(path)) from error
