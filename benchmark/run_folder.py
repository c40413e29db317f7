"""A run's folder: what is finished, who may write, and what a kill may leave behind.

    run.json                     what the run was begun with
    state/phase-NN.json          a finished phase; what is not in it has not happened
    state/phase-NN.pt            the method's tensors after the last finished phase
    state/phase-NN.begun         how often the phase that is being learnt was begun
    state/phase-NN.partial.pt    a checkpoint amid it
    memory/class-*.bin           the exemplars of a class

At the end result.json, predictions.parquet, exemplars.parquet, gallery.json and report.html.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import pickle
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import torch

from benchmark import results
from benchmark.budget import Budget
from benchmark.memory import Memory
from benchmark.results.schema import PhaseResult
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import explain, remove_temporaries, write_atomic

_BEGUN_WITH = {
    "config": "another configuration",
    "data": "other data",
    "split": "another division into training and test data",
    "method": "another version of the method's code",
    "device": "another kind of device (--device)",
    "backbone": "another backbone",
    "like": "other numbers of exemplars of the run it is like",
}


class PhaseRecord(TypedDict):
    """All that is kept of a finished phase beside the method's tensors and the exemplars.

    Attributes:
        result: Its part of result.json.
        predictions: Predicted label of each test sample of the classes seen.
        stored: One row for each exemplar that was chosen.
        memory: Which files hold the exemplars of all classes seen.
        outside_memory: Bytes of each of the method's tensors.
        trainable_parameters: Their number.
        gallery: Pictures for the report.
    """

    result: PhaseResult
    predictions: list[int]
    stored: list[dict[str, Any]]
    memory: dict[str, Any]
    outside_memory: dict[str, int]
    trainable_parameters: int
    gallery: list[dict[str, Any]]


class RunFolder:
    """The files of one run.

    Attributes:
        path: The folder.
        done: Finished phases, as they are on disk.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        """Several processes may look at a folder; one of them writes."""
        self.path = path
        self.done: list[PhaseRecord] = []
        self._writes = writes

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second run from working here.

        Raises:
            UserError: There is one, or the folder cannot be written.
        """
        if not self._writes:
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise UserError(f"{explain(error, self.path / '.lock')} (--output)") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process is working in {self.path}: wait for it, or choose another "
                    "--output"
                ) from None
            except OSError:
                pass  # a file system without locks
            yield

    def clear(self) -> None:
        """Throw away an earlier run; the lock stays.

        Raises:
            UserError: A file cannot be removed.
        """
        for path in self.path.iterdir() if self._writes else ():
            try:
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != ".lock":
                    path.unlink()
            except OSError as error:
                raise UserError(
                    f"{path} cannot be removed ({error.strerror}): change its permissions, or "
                    "choose another --output"
                ) from error

    def agree(self, **facts: Any) -> None:
        """Remember what a run was begun with, and refuse to go on with anything else.

        Raises:
            UserError: A fact is not what it was.
        """
        path = self.path / "run.json"
        known = _read(path) if path.exists() else {}
        for name, value in facts.items():
            if known.get(name, value) != value:
                raise UserError(
                    f"{self.path} was begun with {_BEGUN_WITH[name]}: give --overwrite to run it "
                    "anew, or choose another --output"
                )
        if self._writes and not facts.keys() <= known.keys():
            write_atomic(path, json.dumps(known | facts, indent=1).encode())

    def begun_with(self, name: str) -> Any:
        """A fact that `agree` remembered."""
        return _read(self.path / "run.json")[name]

    def reload(self) -> None:
        """Read which phases are finished, and remove what is left of work that is not."""
        while (path := self._record(len(self.done))).exists():
            self.done.append(_read(path))
        if self._writes:
            self._tidy()

    def is_complete(self) -> bool:
        """Whether all is done.

        Raises:
            UserError: The result is damaged, or of a newer version of this program.
        """
        return (self.path / results.RESULT).exists() and results.read(self.path)["complete"]

    def memory(self, budget: Budget) -> Memory:
        """The memory as the last finished phase left it."""
        manifest = self.done[-1]["memory"] if self.done else {}
        return Memory(self.path / "memory", budget, manifest, writes=self._writes)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The method's tensors after the last finished phase."""
        path = self._tensors(len(self.done) - 1)
        found: dict[str, torch.Tensor] = load_tensors(path)
        return found

    def begin(self, index: int) -> int:
        """Begin a phase; return how often it was begun before and interrupted."""
        path = self._begun(index)
        before = int(_read(path)) if path.exists() else 0
        if self._writes:
            write_atomic(path, str(before + 1).encode())
        return before

    def partial(self, index: int) -> Path:
        """The checkpoint amid a phase."""
        return self.path / "state" / f"phase-{index:02d}.partial.pt"

    def commit(self, record: PhaseRecord, tensors: Mapping[str, torch.Tensor]) -> None:
        """Finish the phase after the last one: with the JSON file, written last, it is done."""
        if self._writes:
            buffer = io.BytesIO()
            torch.save(dict(tensors), buffer)
            write_atomic(self._tensors(len(self.done)), buffer.getvalue())
            write_atomic(self._record(len(self.done)), json.dumps(record).encode())

    def _tidy(self) -> None:
        count = len(self.done)
        state = {self._record(index) for index in range(count)}
        state |= {self._tensors(count - 1), self._begun(count), self.partial(count)}
        memory = self.done[-1]["memory"] if count else {}
        wanted = state | {self.path / "memory" / entry["file"] for entry in memory.values()}
        for folder in ("state", "memory"):
            for path in (self.path / folder).glob("*"):
                if path not in wanted:
                    path.unlink()
        remove_temporaries(self.path)

    def _record(self, index: int) -> Path:
        return self.path / "state" / f"phase-{index:02d}.json"

    def _begun(self, index: int) -> Path:
        return self.path / "state" / f"phase-{index:02d}.begun"

    def _tensors(self, index: int) -> Path:
        return self.path / "state" / f"phase-{index:02d}.pt"


def load_tensors(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(_damaged(path, "is missing")) from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(_damaged(path, "was changed after it was written")) from error


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(_damaged(path, "was changed after it was written")) from error


def _damaged(path: Path, what: str) -> str:
    return f"{path} {what}: put it back as it was, or give --overwrite to run anew"
