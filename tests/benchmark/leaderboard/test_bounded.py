"""Jobs on files of others: answers in order, whatever happens to the process that does them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.leaderboard.bounded import Failed, each
from mm_imagenet_r.errors import UserError


def work(job: str) -> str:
    kind, _, rest = job.partition(" ")
    if kind == "sleep":
        time.sleep(float(rest))
    if kind == "exit":
        os._exit(3)
    if kind == "refuse":
        raise UserError(rest)
    if kind == "raise":
        raise RuntimeError(rest)
    return f"{job}: done"


def leave_trace(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.parametrize("processes", [1, 3])
def test_answers_come_in_the_order_of_the_jobs(processes: int) -> None:
    jobs = ["sleep 0.2", "a", "exit", "b", "refuse no", "raise oh", "c", "exit", "exit", "d"]
    found = list(each(work, jobs, seconds=60, processes=processes))
    assert [one for one in found if isinstance(one, str)] == [
        "sleep 0.2: done", "a: done", "b: done", "c: done", "d: done",
    ]  # fmt: skip
    reasons = {
        job: one.why for job, one in zip(jobs, found, strict=True) if isinstance(one, Failed)
    }
    assert reasons["exit"] == "ended the process that read it (exit code 3)"
    assert reasons["refuse no"] == "no"
    assert "RuntimeError: oh" in reasons["raise oh"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    """Also when that is killed and has no time to say so."""
    code = (
        f"import test_bounded as t; list(t.each(t.leave_trace, [{str(tmp_path)!r}], seconds=600))"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
    }
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    until = time.monotonic() + 60
    while not (trace := list(tmp_path.iterdir())) and time.monotonic() < until:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    worker = Path("/proc", trace[0].name)
    while worker.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not worker.exists()


def test_a_job_that_takes_too_long_holds_up_no_other() -> None:
    jobs = ["sleep 600", "a", "b", "sleep 600", "c"]
    begun = time.monotonic()
    found = list(each(work, jobs, seconds=8, processes=2))
    assert [isinstance(one, Failed) for one in found] == [True, False, False, True, False]
    assert time.monotonic() - begun < 200
    assert list(each(work, [], seconds=8, processes=2)) == []
