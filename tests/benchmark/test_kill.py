"""A run that is killed at any moment and started again gives what it gives undisturbed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import killing
import numpy as np
import pytest


def command(output: Path, data: Path, backbone: Path) -> list[str]:
    settings = ["distillation=1", "codec=jpeg", "quality=60"]
    words = f"--dataset {data} --backbone {backbone} --output {output} --device cpu --phases 3"
    words += " --epochs 2 --batch-size 24 --micro-batches 1 --growth total --memory 2"
    return [*words.split(), "--checkpoint-seconds", "0", "--set", *settings]


def outcome(output: Path) -> tuple[object, bytes, bytes, set[str]]:
    """Matrix, predictions, exemplars, and which files there are."""
    (folder,) = output.glob("*/*/*")
    phases = json.loads((folder / "result.json").read_text())["phases"]
    matrix = [phase["accuracy"]["per_phase"] for phase in phases]
    rows = [(folder / f"{name}.parquet").read_bytes() for name in ("predictions", "exemplars")]
    return matrix, rows[0], rows[1], {str(p.relative_to(output)) for p in output.rglob("*")}


@pytest.mark.parametrize(
    ("amid", "anytime"),  # kills amid a write or removal, and at any time
    [(2, 1), pytest.param(15, 5, marks=[pytest.mark.heavy, pytest.mark.timeout(900)])],
)
def test_killed_runs_go_on_to_the_same_result(
    tmp_path: Path, coloured: Path, vilt_folder: Path, amid: int, anytime: int
) -> None:
    count = tmp_path / "count"
    killing.finish(killing.start(["--list"]))  # the server that forks the processes is up
    begun = time.monotonic()
    undisturbed = command(tmp_path / "undisturbed", coloured, vilt_folder)
    assert killing.finish(killing.start(undisturbed, count=count)) == 0
    seconds = time.monotonic() - begun
    wanted, moments = outcome(tmp_path / "undisturbed"), int(count.read_text())

    seed = np.random.SeedSequence().entropy  # new moments each time; shown if the test fails
    print(f"moments of seed {seed}")
    rng = np.random.default_rng(seed)
    inside = [int(at) for at in rng.choice(np.arange(1, moments + 1), amid, replace=False)]
    outside = [float(after) for after in rng.uniform(0.1, seconds, anytime)]
    for number, when in enumerate([*inside, *outside]):
        output = tmp_path / f"killed{number}"
        arguments = command(output, coloured, vilt_folder)
        if isinstance(when, int):
            assert killing.finish(killing.start(arguments, at=when)) == -9
        else:
            killing.signal_after(killing.start(arguments), when, signal.SIGKILL)
        assert killing.finish(killing.start(arguments)) == 0, when
        assert outcome(output) == wanted, when


def test_control_c_ends_a_run_which_goes_on(
    tmp_path: Path, coloured: Path, vilt_folder: Path
) -> None:
    undisturbed = command(tmp_path / "undisturbed", coloured, vilt_folder)
    assert killing.finish(killing.start(undisturbed)) == 0
    arguments = [*command(tmp_path / "stopped", coloured, vilt_folder), "--workers", "1"]
    assert killing.finish(killing.start(arguments, interrupted=True)) == 130
    assert list(tmp_path.glob("stopped/*/*/*/state/*.partial"))
    assert killing.finish(killing.start(arguments)) == 0
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "undisturbed")
