"""The time that `--dry-run` estimates, and what its trial finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from running import Call

SLOW = """
import time

from mean_colour import MeanColour

class Slow(MeanColour):
    def loss(self, batch):
        time.sleep(0.05)
        return super().loss(batch)

class Broken(MeanColour):
    def end_phase(self, phase, memory):
        memory.keep(99, [])
"""


@pytest.fixture
def slow(tmp_path: Path, mean_colour: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(mean_colour.parent)
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    return path


def minutes(out: str, line: str) -> float:
    found = re.search(rf"{line}: about (?:(\d+) h )?(?:(\d+) min ?)?(?:([\d.]+) s)?", out)
    assert found, out
    hours, whole, seconds = (float(text or 0) for text in found.groups())
    return 60 * hours + whole + seconds / 60


def test_the_time_is_that_of_steps_as_they_are_here(call: Call, slow: Path, tmp_path: Path) -> None:
    options = ("--method", f"{slow}:Slow", "--epochs", 300, "--dry-run", "--seeds", 0, 1)
    code, out, err = call(*options)
    assert code == 0, err
    # 600 steps of 3 phases, each of two parts that sleep for .05 s: 3 minutes.
    one = minutes(out, "estimated time")
    assert one >= 3
    both = minutes(out, "estimated time of all runs, one after another")
    assert both == pytest.approx(2 * one, rel=0.05, abs=1.1)  # as rounded in words
    assert "4 training steps and some samples were timed" in out
    assert not (tmp_path / "runs").exists()


def test_the_trial_finds_what_would_stop_the_run_later(call: Call, slow: Path) -> None:
    code, _, err = call("--method", f"{slow}:Broken", "--dry-run")
    assert code == 2
    assert "phase 1, learn: class 99 is not among the 2 seen" in err
