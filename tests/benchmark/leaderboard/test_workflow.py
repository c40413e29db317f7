"""The workflow that verifies pull requests runs commands that exist, and nothing of theirs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.leaderboard.__main__ import COMMANDS
from benchmark.leaderboard.levels import RECORD

FILE = Path(__file__).parents[3] / ".github" / "workflows" / "leaderboard.yml"


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
    (checkout,) = (s for s in job["steps"] if "checkout" in str(s.get("uses")))
    assert "ref" not in checkout["with"]  # the merge, whose first parent is the branch as it is now
    for name in ("verify", "page"):  # what a runner would take for a command may be a name
        for step in workflow["jobs"][name]["steps"]:
            if "benchmark.leaderboard" in str(step.get("run")):
                assert step["run"].startswith('echo "::stop-commands::$(openssl rand -hex 16)"')


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *name, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, record: str | Path | None, *parents: str) -> str:
    """Commit results with a record, a link to one, or none."""
    results = folder / "results"
    if results.is_symlink():
        results.unlink()
    results.mkdir(exist_ok=True)
    (results / RECORD).unlink(missing_ok=True)
    if isinstance(record, Path):
        (results / RECORD).symlink_to(record)
    elif record is not None:
        (results / RECORD).write_text(record)
    (results / "a").write_text("a result")
    git(folder, "add", "-A")
    return committed(folder, *parents)


def committed(folder: Path, *parents: str) -> str:
    flags = [word for parent in parents for word in ("-p", parent)]
    return git(folder, "commit-tree", "-m", "x", *flags, git(folder, "write-tree"))


@pytest.fixture
def merge(tmp_path: Path) -> Any:
    """The merge of a request into a branch whose record changed since the request was opened."""
    folder = tmp_path / "submitted"
    folder.mkdir()
    git(folder, "init", "--quiet")

    def make(ours: str | None, theirs: str | Path | None) -> Path:
        opened_at = commit(folder, "levels of then")
        request = commit(folder, "levels of then", opened_at)
        now = commit(folder, ours, opened_at)
        git(folder, "checkout", "--quiet", "--force", commit(folder, theirs, now, request))
        return tmp_path

    return make


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
        (None, None, True),
        ("levels", "levels", True),
        ("levels", "better levels", False),
        ("levels", "levels of then", False),
        ("levels", None, False),
        (None, "levels", False),
    ],
)
def test_a_fork_changes_no_record(
    workflow: dict[Any, Any], merge: Any, ours: str | None, theirs: str | None, passes: bool
) -> None:
    assert guards(workflow, merge(ours, theirs)) == [True, True, passes]
    (guard,) = (step for step in workflow["jobs"]["verify"]["steps"] if "if" in step
                and "run" in step and "cmp" in step["run"])  # fmt: skip
    assert guard["if"] == "github.event.pull_request.head.repo.full_name != github.repository"


def test_a_record_that_is_a_link_is_refused(workflow: dict[Any, Any], merge: Any) -> None:
    """Also one that shows the same record."""
    folder = merge("levels", Path("../../program/results") / RECORD)
    assert guards(workflow, folder) == [True, False, True]
    assert "if" not in next(s for s in workflow["jobs"]["verify"]["steps"] if "-L" in str(s))


def test_results_that_are_a_link_are_refused(workflow: dict[Any, Any], merge: Any) -> None:
    folder = merge("levels", "levels")
    submitted = folder / "submitted"
    shutil.rmtree(submitted / "results")
    (submitted / "results").symlink_to("../program/results")
    git(submitted, "add", "-A")
    head = committed(submitted, git(submitted, "rev-parse", "HEAD^1"))
    git(submitted, "checkout", "--quiet", "--force", head)
    assert guards(workflow, folder) == [True, False, True]


def test_a_page_is_built_of_all_that_decides_it_and_its_deployment_ends(
    workflow: dict[Any, Any],
) -> None:
    paths = {f"{name}/**" for name in ("results", "benchmark", "baselines", "mm_imagenet_r")}
    assert paths <= set(workflow[True]["push"]["paths"])
    wanted = "${{ github.event_name == 'pull_request' }}"
    assert workflow["concurrency"]["cancel-in-progress"] == wanted
