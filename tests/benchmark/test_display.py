"""What a log file gets while a phase is trained."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.config import RunConfig
from benchmark.display import Display


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def begun(clock: Clock, phases: int = 2) -> Display:
    display = Display(clock=clock)
    plan: Any = SimpleNamespace(
        config=RunConfig(), sizes=(2,) * phases, num_learnt=phases, reference=None,
        method=SimpleNamespace(sees_all_data=False), budget=SimpleNamespace(currency="bytes"),
        data=SimpleNamespace(num_classes=2 * phases, train=[], test=[]),
    )  # fmt: skip
    display.start(plan, 0)
    return display


@pytest.mark.parametrize("seconds", [0.5, 7.0, 14.0])
def test_without_a_terminal_a_line_comes_at_least_every_minute(
    seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, steps = Clock(), 900
    display = begun(clock)
    capsys.readouterr()
    silent = longest = 0.0
    lines: list[str] = []
    for step in range(1, steps + 1):
        clock.now += seconds
        silent += seconds
        display.step(0, "train", step, steps, 1.5)
        if out := capsys.readouterr().out:
            lines += out.splitlines()
            longest, silent = max(longest, silent), 0.0
    assert longest <= 60
    assert len(lines) >= steps * seconds // 60
    first = re.fullmatch(r"phase 1/2: step (\d+) of 900, loss 1\.50, about (.*) left", lines[0])
    assert first
    assert int(first[1]) == -(-45 // seconds)
    # Nine tenths of a phase are training; of two phases that is 0.45 of all steps' time.
    assert lines[-1].endswith("left")
    hours = {0.5: "9 min", 7.0: "2 h", 14.0: "4 h"}[seconds]
    assert f"about {hours}" in lines[-1]


def test_another_stage_is_named_and_nothing_is_said_too_often(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    display = begun(clock)
    capsys.readouterr()
    display.step(1, "balance", 1, 4, 0.25)
    assert capsys.readouterr().out == ""
    clock.now += 50
    display.step(1, "balance", 2, 4, 0.25)
    assert "phase 2/2: step 2 of 4, balance: loss 0.25" in capsys.readouterr().out
    clock.now += 50
    display.stage(1, "testing")
    assert "phase 2/2: testing" in capsys.readouterr().out
