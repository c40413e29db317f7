"""Several processes give what one gives, and only one of them writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from running import folders, outcome
from safetensors.torch import load_file

from benchmark import processes, results, run
from benchmark.results.records import read_predictions
from benchmark.results.verify import verify
from benchmark.run_files import PREDICTIONS

ROUNDING = {"atol": 1e-3, "rtol": 1e-3}
ROOT = str(Path(processes.__file__).parents[1])
SCRIPT = """
import os, sys
from pathlib import Path
from mm_imagenet_r import files

log = Path(sys.argv.pop(1)) / f"rank{os.environ['RANK']}.txt"
log.write_text("")
fsync = os.fsync


def noted(file):
    with log.open("a") as f:
        f.write(os.readlink(f"/proc/self/fd/{file}") + "\\n")
    fsync(file)


files.os.fsync = noted

from benchmark.run import main

code = main(sys.argv[1:])
sys.exit(code)
"""


@pytest.mark.parametrize("world", [1, 2, 3])
def test_batches_are_shared_out_and_answers_come_in_order(
    world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[tuple[int, ...]]] = [[] for _ in range(world)]
    parts: list[list[object]] = []

    def gather(mine: list[object]) -> list[object]:
        parts.append(mine)
        return [item for part in reversed(parts) for item in part]

    monkeypatch.setattr(processes, "gather_object", gather)
    for rank in range(world):

        def work(batch: Sequence[int], rank: int = rank) -> list[int]:
            asked[rank].append(tuple(batch))
            return [n * n for n in batch]

        answer = processes.map_batches(work, 11, 3, rank, world)
    assert answer == [n * n for n in range(11)]
    assert sorted(batch for of in asked for batch in of) == [
        (0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10),
    ]  # fmt: skip


def test_two_processes_give_what_one_gives(
    tmp_path: Path, coloured: Path, vilt_folder: Path
) -> None:
    """Three kinds of methods; on a machine without GPU, by `torchrun` as it stands."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    options = [
        "--method", "replay", "exemplar_masking", "l2p", "--backbone", str(vilt_folder),
        "--dataset", str(coloured), "--phases", "2", "--epochs", "2", "--batch-size", "8",
        "--memory", "2", "--device", "cpu", "--checkpoint-seconds", "0", "--set",
        "exemplar_masking.codec=jpeg",
        "exemplar_masking.quality=60", "replay.distillation=1", "exemplar_masking.distillation=1",
    ]  # fmt: skip
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*torchrun, script, tmp_path, *options, "--output", tmp_path / "two" / "runs"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert run.main([*options, "--output", str(tmp_path / "runs")]) == 0
    for one, two in zip(folders(tmp_path), folders(tmp_path / "two"), strict=True):
        assert two.relative_to(tmp_path / "two") == one.relative_to(tmp_path)
        assert results.read(two)["hardware"]["processes"] == 2
        assert verify(two) == []
        assert outcome(two)[2] == outcome(one)[2]  # the same exemplars
        guesses = [
            [row.prediction for row in read_predictions(f / PREDICTIONS)] for f in (one, two)
        ]
        assert np.sum(np.array(guesses[0]) != np.array(guesses[1])) <= 1
        first, second = (load_file(next(f.glob("state/*.safetensors"))) for f in (one, two))
        # Prompts and adapters begin at random or zero and see steep gradients: rounding grows.
        coarse = {} if one.parent.name in ("replay", "exemplar_masking") else ROUNDING
        for name, tensor in first.items():
            torch.testing.assert_close(second[name], tensor, **coarse)
        assert {p.name for p in one.rglob("*")} == {p.name for p in two.rglob("*")}
    written = (tmp_path / "rank0.txt").read_text().splitlines()
    assert (tmp_path / "rank1.txt").read_text() == ""
    assert sum(".result.json." in path for path in written) == 3
    assert done.stdout.count("phase  1/2") == 3
