"""The folder of a run, stopped or finished, and its command given once more."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pathlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..door import Case, Damage, Door, UnsuitedError
from ..generic import GENERIC
from ..pictures import write_folder
from ..tables import in_parquet
from ..values import in_json
from .common import run, write_method

#: The run's own folder; what is above it the user named.
RUN = "runs/*/*/seed0-????????"
_STEPS = ("--epochs", "2", "--checkpoint-seconds", "0")
#: In a result, what another attempt may change.
_OF_THE_ATTEMPT = ("seconds", "resumed", "hardware", "versions", "seal")
_FILES = ("predictions.parquet", "exemplars.parquet")


def _data(folder: Path) -> None:
    write_method(folder)
    write_folder(folder / "data")
    # Files that are built twice are the same, so that a case can be repeated.
    time.perf_counter = itertools.count(step=0.25).__next__


def finished(folder: Path) -> None:
    """Build a finished run."""
    _data(folder)
    run(*_STEPS)


def _stopped_at(last: str) -> Callable[[Path], None]:
    """Build a run that was killed when it had written the first file of such a name."""

    def build(folder: Path) -> None:
        _data(folder)
        child = os.fork()
        if not child:
            _die_after(last, os.getpid())
            os._exit(run(*_STEPS))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    return build


def _die_after(last: str, whole: int) -> None:
    replace = pathlib.Path.replace

    def wrapped(path: Path, target: Any) -> Path:
        result = replace(path, target)
        if last in str(target):
            os.kill(whole, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    pathlib.Path.replace = wrapped  # type: ignore[assignment, method-assign]


def digits(folder: Path) -> dict[str, str]:
    """The accuracies, predictions and exemplars of the run, its memory and its source.

    Memory and source may be missing as a whole, as they are in what is passed on.
    """
    (path,) = folder.glob(RUN)
    found = {name: _hash(path / name) for name in _FILES}
    memory = sorted(path.glob(f"memory/class-????-{'?' * 16}.bin"))
    if memory:
        found["memory"] = " ".join(map(_hash, memory))
    if (path / "source").is_dir():
        found["source"] = _hash(path / "source/method.py")
    try:
        result = json.loads((path / "result.json").read_text())
        found["result"] = json.dumps(_lasting(result), sort_keys=True)
    except (OSError, ValueError):
        found["result"] = "none"
    return found


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in _OF_THE_ATTEMPT}
    return [_lasting(one) for one in value] if isinstance(value, list) else value


def _hash(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > 2**24:
        return "none"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def _unsealed(folder: Path) -> None:
    """Build a run that an older version stopped, which sealed nothing."""
    _stopped_at("phase-01.learnt.json")(folder)
    (path,) = folder.glob(RUN)
    for file in (path / "run.json", *path.glob("state/*.json"), *path.glob("state/*.begun")):
        file.write_text(json.dumps(json.loads(file.read_bytes())["record"]))


def _planted(case: Case) -> None:
    """A checkpoint that says that all is done, or says something odd."""
    import torch

    state = next(iter(case.folder.glob(f"{RUN}/state")), None)
    if state is None:
        raise UnsuitedError
    odd: tuple[Any, ...] = (0, 1, 8, -1, 10**9, None, "x", [], {}, [1.0], torch.zeros(3), True)
    keys = ("finished", "step", "training", "amid")
    name = case.rng.choice(("phase-01.partial", "phase-01.partial.pt", "phase-02.partial"))
    torch.save({key: case.rng.choice(odd) for key in keys}, state / name)


def _another_phase(case: Case) -> None:
    """A file of one phase under the name of another."""
    path = case.some_file()
    number = case.rng.choice(("00", "01", "02", "0", "1e1", "-1", "99999999999999999999"))
    other = path.with_name(path.name.replace("phase-00", f"phase-{number}").replace("0001", number))
    if other.exists():
        raise UnsuitedError
    other.write_bytes(path.read_bytes())


_OWN: dict[str, Damage] = {
    **in_json(),
    **in_parquet(),
    "planted": _planted,
    "another phase": _another_phase,
}


def _again(case: Case) -> int:
    return run(*_STEPS)


def _door(name: str, build: Callable[[Path], None]) -> Door:
    return Door(name, build, _OWN, _again, RUN, GENERIC, digits=digits)


STOPPED = _door("runs-stopped", _stopped_at("phase-01.partial"))
LEARNT = _door("runs-learnt", _stopped_at("phase-01.learnt.json"))
FINISHED = _door("runs-finished", finished)
#: Here a plausible change cannot be seen, and changes the digits.
OLDER = Door("runs-older", _unsealed, in_json(), _again, RUN, GENERIC)
