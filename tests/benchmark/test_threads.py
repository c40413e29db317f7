"""How many threads compute: by what is idle and how large the model is, unless the user says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from running import Call, folders, outcome

from benchmark import results, threads
from benchmark.config import RunConfig
from benchmark.devices import Place, find_place, join
from mm_imagenet_r.errors import UserError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Eight cores, of which three are busy."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads.os, "getloadavg", lambda: (2.8, 0.1, 0.1))
    return monkeypatch


@pytest.mark.usefixtures("machine")
def test_the_choice() -> None:
    large = RunConfig(backbone="dandelin/vilt-b32-mlm")
    assert threads.choose(RunConfig(), "cpu", 1)[0] == 1
    assert threads.choose(large, "cpu", 1) == (
        5, "computing with 5 threads: 5 of 8 cores were idle (--threads N changes it)"
    )  # fmt: skip
    assert threads.choose(large, "cpu", 2)[0] == 2
    assert threads.choose(large, "cuda", 1) == (None, "")
    assert threads.choose(RunConfig(threads=3), "cpu", 1) == (3, "")


def test_one_core_is_left_on_a_busy_machine(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(threads.os, "getloadavg", lambda: (40.0, 0.1, 0.1))
    assert threads.choose(RunConfig(backbone="a/b"), "cpu", 4)[0] == 1


def test_the_environment_decides_where_the_user_has_set_it(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("OMP_NUM_THREADS", "2")
    assert find_place(RunConfig(device="cpu")).threads is None
    assert find_place(RunConfig(device="cpu", threads=4)).threads == 4


def test_the_process_of_a_phase_takes_them() -> None:
    before = torch.get_num_threads()
    try:
        join(RunConfig(), Place("cpu", threads=2), "x")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("machine")
def test_it_is_said_once_and_the_results_are_the_same(call: Call, tmp_path: Path) -> None:
    assert "note: computing with 1 thread: the tiny" in call("--output", tmp_path / "a" / "runs")[1]
    assert "computing with" not in call("--threads", 2, "--output", tmp_path / "b" / "runs")[1]
    (one,), (two,) = folders(tmp_path / "a"), folders(tmp_path / "b")
    assert outcome(one) == outcome(two)
    assert "threads" not in results.read(one)["config"]


def test_no_threads_are_refused(call: Call) -> None:
    assert "--threads must be at least 1" in call("--threads", 0)[2]
    assert "--jobs must be at least 1" in call("--jobs", 0)[2]


def test_the_launchers_precision_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(UserError, match="--mixed_precision bf16, the run --precision no"):
        find_place(RunConfig(device="cpu"))
    find_place(RunConfig(device="cpu", precision="bf16"))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # what the launcher sets by itself
    find_place(RunConfig(device="cpu", precision="bf16"))


def test_jobs_do_not_mix_with_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="--jobs 3: a launcher has started 2 processes"):
        find_place(RunConfig(device="cpu", jobs=3))
