"""The workflow that verifies pull requests runs commands that exist, and nothing of theirs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.leaderboard.command import COMMANDS

FILE = Path(__file__).parents[2] / ".github" / "workflows" / "leaderboard.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(FILE.read_text())
    return found


def test_its_commands_exist(workflow: dict[Any, Any]) -> None:
    text = FILE.read_text()
    called = re.findall(r"python -m benchmark\.leaderboard (\w+)", text)
    assert {"verify", "build"} <= set(called) <= set(COMMANDS)


def test_a_pull_request_runs_nothing_of_its_own(workflow: dict[Any, Any]) -> None:
    triggers = workflow[True]  # YAML reads "on" so
    assert set(triggers) == {"pull_request", "push"}  # not pull_request_target: no secrets
    assert workflow["permissions"] == {"contents": "read"}
    job = workflow["jobs"]["verify"]
    assert "permissions" not in job
    for step in job["steps"]:
        if "run" in step and "benchmark" in step["run"]:
            assert step["working-directory"] == "program"
        if str(step.get("uses", "")).startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
    (program,) = (s for s in job["steps"] if s.get("with", {}).get("path") == "program")
    assert program["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
