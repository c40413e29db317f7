"""The workflow that verifies pull requests runs commands that exist, and nothing of theirs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.leaderboard.command import COMMANDS
from benchmark.leaderboard.levels import RECORD

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


def guards(workflow: dict[Any, Any], folder: Path) -> list[bool]:
    """Run the steps before the program is set up, as a runner does; whether each succeeds."""
    steps = [step for step in workflow["jobs"]["verify"]["steps"] if "run" in step]
    before = steps[: next(at for at, step in enumerate(steps) if step["run"] == "make setup")]
    return [
        subprocess.run(
            ["bash", "-e", "-c", step["run"]], cwd=folder, capture_output=True, check=False
        ).returncode == 0
        for step in before
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "passes"),
    [
        (None, None, [True, True]),
        ("levels", "levels", [True, True]),
        ("levels", "better levels", [True, False]),
        ("levels", None, [True, False]),
        (None, "levels", [True, False]),
    ],
)
def test_a_fork_changes_no_record(
    workflow: dict[Any, Any], tmp_path: Path, ours: str | None, theirs: str | None,
    passes: list[bool],
) -> None:  # fmt: skip
    for side, text in (("program", ours), ("submitted", theirs)):
        (tmp_path / side / "results").mkdir(parents=True)
        if text is not None:
            (tmp_path / side / "results" / RECORD).write_text(text)
    assert guards(workflow, tmp_path) == passes
    (guard,) = (step for step in workflow["jobs"]["verify"]["steps"] if "if" in step
                and "run" in step and "cmp" in step["run"])  # fmt: skip
    assert guard["if"] == "github.event.pull_request.head.repo.full_name != github.repository"


@pytest.mark.parametrize("link", ["submitted/results", f"submitted/results/{RECORD}"])
def test_results_that_are_a_link_are_refused(
    workflow: dict[Any, Any], tmp_path: Path, link: str
) -> None:
    """Also one that shows the same record."""
    kept = tmp_path / "program" / "results" / RECORD
    kept.parent.mkdir(parents=True)
    kept.write_text("levels")
    path = tmp_path / link
    path.parent.mkdir(parents=True)
    path.symlink_to(kept if path.name == RECORD else kept.parent)
    assert guards(workflow, tmp_path) == [False, True]
    assert "if" not in next(s for s in workflow["jobs"]["verify"]["steps"] if "-L" in str(s))


def test_a_page_is_built_of_all_that_decides_it_and_its_deployment_ends(
    workflow: dict[Any, Any],
) -> None:
    paths = {f"{name}/**" for name in ("results", "benchmark", "baselines", "mm_imagenet_r")}
    assert paths <= set(workflow[True]["push"]["paths"])
    wanted = "${{ github.event_name == 'pull_request' }}"
    assert workflow["concurrency"]["cancel-in-progress"] == wanted
