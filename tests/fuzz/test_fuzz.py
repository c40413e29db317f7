"""A few hundred cases of all doors, and the harness that judges them: it must see each failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import doors
from .door import Case, Door
from .judge import ROOT
from .runner import Done, Healthy, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")


def test_no_door_fails() -> None:
    words = [sys.executable, "-m", "tests.fuzz", "--cases", "150", "--jobs", "1"]
    done = subprocess.run(
        words, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _write(path: Path) -> None:
    path.write_text("changed")


def _refuse(*lines: str) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return 2


_ACTS: dict[str, list[Callable[[Case], int | None]]] = {
    "worked": [lambda case: 0],
    "refused": [lambda case: _refuse("note: a", "error: b")],
    "mute": [
        lambda case: 3,
        lambda case: _refuse("a"),
        lambda case: _refuse("error: a", "error: b"),
    ],
    "traceback": [lambda case: 1 // 0],
    "hang": [lambda case: time.sleep(60)],
    "memory": [lambda case: len(bytearray(3 * 2**30))],
    "killed": [lambda case: os.kill(os.getpid(), signal.SIGKILL)],
    "foreign": [
        lambda case: _write(case.outside / "notes.txt"),
        lambda case: _write(case.outside / "new.txt"),
        lambda case: (case.outside / "folder/a/b.txt").unlink(),
        lambda case: os.utime(case.outside / "folder"),
    ],
    "silent": [lambda case: _write(case.folder / "input"), lambda case: Path("input").unlink()],
}


@pytest.mark.parametrize(
    ("outcome", "act"), [(name, act) for name, acts in _ACTS.items() for act in acts]
)
def test_every_outcome_is_seen(
    outcome: str, act: Callable[[Case], int | None], tmp_path: Path
) -> None:
    def try_it(case: Case) -> int:
        return (act(case) or 0) if (case.folder / "damaged").exists() else 0

    def digits(folder: Path) -> dict[str, str]:
        path = folder / "input"
        return {"input": path.read_text() if path.exists() else ""}

    def build(folder: Path) -> None:
        (folder / "input").write_text("x")

    marked = {"marked": lambda case: (case.folder / "damaged").touch()}
    door = Door("a door", build, marked, try_it, "*", digits=digits, seconds=1.0)
    assert _one(door, tmp_path).verdict.outcome == outcome


def test_a_case_can_be_repeated(tmp_path: Path) -> None:
    """The input is built twice, and damaged in the same way."""
    first, again = (_one(doors.runs.LEARNT, tmp_path / name, 3) for name in ("first", "again"))
    assert first.damage == again.damage
    assert _content(tmp_path / "first") == _content(tmp_path / "again")


def _one(door: Door, work: Path, number: int = 0) -> Done:
    (done,) = run([(door, number)], 0, Healthy(work / "healthy"), work, 1)
    return done


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
