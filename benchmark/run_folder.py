"""A run's folder: what is finished, who may write, and what a kill may leave behind.

    run.json                      what the run was started with
    state/phase-NN.safetensors    the method's tensors after the last learned phase
    state/phase-NN.learnt.json    what learning a phase left that is not tested yet
    state/phase-NN.json           a finished phase; what is not in it has not happened
    state/phase-NN.begun          how often the phase that is being learned was started
    state/phase-NN.partial        a checkpoint within it
    memory/class-*.bin            the exemplars of a class

At the end result.json, *.parquet, gallery.json, source/ and report.html. What is read back is
sealed (`run_files`): a finished phase that was changed is refused; what an unfinished one left is
dropped if it was changed, as learning the phase again gives the same.
"""

from __future__ import annotations

import contextlib
import operator
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from benchmark import results, run_files
from benchmark.errors import Damaged, damaged
from benchmark.results.file_check import source_sha256
from benchmark.results.schema import PhaseRecord
from benchmark.run_files import LOCK, MEMORY, RESULT, RUN, SOURCE, STATE
from benchmark.run_records import Facts, Learnt, labels, read_record
from benchmark.same_code import same_code
from mm_imagenet_r import locking
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import explained, is_temporary, write_atomic
from mm_imagenet_r.hashes import json_sha256

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


class RunFolder:
    """The files of one run in the folder `path`; `done` holds the finished phases on disk."""

    def __init__(
        self, path: Path, *, writes: bool = True, note: Callable[[str], None] = lambda words: None
    ) -> None:
        """Several processes may look at a folder; one of them writes.

        `note` is called with what people should know of it, such as what was dropped.
        """
        self.path = path
        self.done: list[PhaseRecord] = []
        self.writes = writes
        self.sealed = True  # whether all that was read of it is
        self._config: str | None = None  # hash of the run's configuration, once it was read
        self._note = note

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from running here; raise UserError if there is one."""
        if not self.writes:
            yield
            return
        run_files.refuse_links(self.path)
        with explained(self.path / LOCK):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = locking.open_lock(self.path / LOCK)
        try:
            deadline = time.monotonic() + _PATIENCE
            while not locking.take(lock):
                if time.monotonic() > deadline:
                    raise UserError(
                        f"another process is running in {self.path}: wait for it, or choose "
                        "another --output"
                    )
                time.sleep(0.05)
            yield
        finally:
            locking.release(lock)

    def is_busy(self) -> bool:
        """Whether another process works here now."""
        try:
            lock = locking.open_lock(self.path / LOCK, make=False)
        except (FileNotFoundError, UserError):  # whoever runs it says so
            return False
        try:
            return not locking.take(lock)
        finally:
            locking.release(lock)

    def clear(self) -> None:
        """Discard an earlier run but for the lock; raise UserError if a file cannot be removed.

        The result goes first and what the run was started with last: a kill in between leaves
        neither a finished run nor one of another configuration. Files of others stay.
        """
        if self.writes:
            run_files.refuse_others(self.path)
            self._spare_others_source()
            run_files.remove(run_files.own_files(self.path))
            self._config = None

    def check_identity(self, **facts: Any) -> None:
        """Remember what a run is started with; raise UserError if that is not what it was.

        A finished run is refused for other data alone: older code may have made it.
        """
        path = self.path / RUN
        known = self._facts() if path.exists() else {}
        finished = self.is_complete()
        if not known and not finished and self._state(0, "json").exists():
            raise UserError(damaged(path, "is missing"))
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
        if self.writes and now != known and (known or not finished):
            write_atomic(path, run_files.seal(now, RUN))
            self._config = None

    def check_backbone(self, backbone: Any) -> None:
        """Raise UserError for another backbone than at the start, even if the run is finished."""
        if self.identity("backbone") != backbone:
            raise UserError(
                f"{self.path} was started with another version of the backbone {backbone['name']}: "
                "put that version back"
            )

    def identity(self, name: str) -> Any:
        """A fact that `check_identity` remembered."""
        facts = self._facts()
        if name not in facts:
            raise UserError(damaged(self.path / RUN, f"does not say the {name}"))
        return facts[name]

    def reload(self) -> None:
        """Read which phases are finished, and remove what is left of work that is not."""
        self.read_done()
        index = len(self.done)
        if self._state(index, "partial.pt").exists():
            again = f"phase {index + 1} is trained from its beginning"
            self._note(f"the checkpoint in {self.path} is of an older version: {again}")
        if self.writes:
            self._tidy()

    def read_done(self) -> list[PhaseRecord]:
        """Read which phases are finished; raise UserError if a file was changed."""
        self.done = []
        while (path := self._state(len(self.done), "json")).exists():
            record: PhaseRecord = self._read(path, PhaseRecord)
            try:
                predictions = {n: labels(found) for n, found in record["predictions"].items()}
            except (TypeError, ValueError, OverflowError) as error:  # of a version without seals
                raise UserError(damaged(path)) from error
            self.done.append({**record, "predictions": predictions})
        return self.done

    def is_complete(self) -> bool:
        """Whether there is a result, be it damaged; raise UserError if a newer version wrote it."""
        try:
            return (self.path / RESULT).exists() and results.read(self.path)["complete"]
        except Damaged:
            return True

    def begin(self, index: int) -> int:
        """Start a phase; return how often it was started before and interrupted."""
        path = self._state(index, "begun")
        before = self._read_or_drop(path, int, "it counts as started once") if path.exists() else 0
        before = 1 if before is None else before
        if self.writes:
            write_atomic(path, self._seal(before + 1, path))
        return before

    def partial(self, index: int) -> Path:
        """The checkpoint within a phase."""
        return self._state(index, "partial")

    def place(self, path: Path) -> str:
        """What a file is sealed with beside its content: the run's configuration, and its name."""
        if self._config is None:
            facts = self._facts() if (self.path / RUN).exists() else {}
            self._config = json_sha256(facts.get("config"))
        return f"{self._config}/{path.relative_to(self.path).as_posix()}"

    def tensors(self, index: int) -> Path:
        """The method's tensors after a phase."""
        return self._state(index, "safetensors")

    def memory(self, manifest: Mapping[str, Any]) -> list[Path]:
        """The files that hold a memory, of `MemoryStore.manifest`."""
        return [self.path / MEMORY / str(entry["file"]) for entry in manifest.values()]

    def write_learnt(self, index: int, learnt: Learnt, tensors: bytes) -> None:
        """Write what learning a phase left: it is then not learned again."""
        if self.writes:
            write_atomic(self.tensors(index), tensors)
            path = self._state(index, "learnt.json")
            write_atomic(path, self._seal(learnt, path))

    def learnt(self, index: int) -> Learnt | None:
        """What learning a phase left, if that is done and all of it is there as it was."""
        path = self._state(index, "learnt.json")
        if not path.exists():
            return None
        again = f"phase {index + 1} is learned again"
        learnt: Learnt | None = self._read_or_drop(path, Learnt, again)
        if learnt is None:
            return None
        state = learnt["state"]
        files = [(self.tensors(index), state["sha256"], state["bytes"])]
        for entry in learnt["memory"].values():
            path = self.path / MEMORY / entry["file"]
            files.append((path, run_files.hash_in_name(path), entry["bytes"]))
        for path, sha256, length in files:
            if not run_files.is_whole(path, sha256, length):
                self._note(f"{path} was changed or is missing: {again}")
                return None
        return learnt

    def commit(self, record: PhaseRecord) -> None:
        """Finish the phase after the last one: with its JSON file it is done."""
        if self.writes:
            path = self._state(len(self.done), "json")
            plain = {name: found.tolist() for name, found in record["predictions"].items()}
            write_atomic(path, self._seal({**record, "predictions": plain}, path))
        self.done.append(record)
        if self.writes:
            self._tidy()

    def _spare_others_source(self) -> None:
        """Keep Python files that were put beside the copy of the method's."""
        place = self.path / SOURCE
        if not (self.path / RESULT).exists() or not any(place.rglob("*.py")):
            return
        with contextlib.suppress(UserError):
            if source_sha256(place) == self.identity("method"):
                return
        aside = run_files.put_aside(place)
        self._note(f"{place} is not what the run wrote: it is kept as {aside.name}")

    def _tidy(self) -> None:
        count = len(self.done)
        wanted = {self._state(index, "json") for index in range(count)}
        wanted |= {self.tensors(count - 1), self._state(count, "begun"), self.partial(count)}
        memory = [self.done[-1]["memory"]] if count else []
        if learnt := self.learnt(count):
            wanted |= {self._state(count, "learnt.json"), self.tensors(count)}
            memory.append(learnt["memory"])
        for manifest in memory:
            wanted |= set(self.memory(manifest))
        run_files.remove(
            path
            for path in run_files.own_files(self.path)
            if is_temporary(path.name)
            or (path.parent.name in (STATE, MEMORY) and path not in wanted)
        )

    def _state(self, index: int, ending: str) -> Path:
        return self.path / STATE / f"phase-{index:02d}.{ending}"

    def _seal(self, record: Any, path: Path) -> bytes:
        return run_files.seal(record, self.place(path))

    def _facts(self) -> dict[str, Any]:
        return cast(dict[str, Any], self._checked(self.path / RUN, RUN, Facts))

    def _read(self, path: Path, kind: Any) -> Any:
        return self._checked(path, self.place(path), kind)

    def _checked(self, path: Path, place: str, kind: Any) -> Any:
        record, sealed = read_record(path, place, kind)
        self.sealed = self.sealed and sealed
        return record

    def _read_or_drop(self, path: Path, kind: Any, remedy: str) -> Any:
        """A record of a phase that is not finished; None, and a note, if it is not as it was."""
        try:
            return self._read(path, kind)
        except UserError:
            self._note(f"{path} was changed after it was written: {remedy}")
            return None
