"""Every registered method gives on two processes what it gives on one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmark.registry import REGISTRY

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, vilt_folder: Path, coloured: Path
) -> tuple[Path, Path]:
    """Folders with what comes of each method, on one process and on two."""
    paths = os.pathsep.join(map(str, (TESTS.parent, TESTS)))
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths}
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for launch, folder in zip(([], torchrun), folders, strict=True):
        script = map(str, (TESTS / "pair.py", vilt_folder, coloured, folder))
        done = subprocess.run(
            [sys.executable, *launch, *script],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.timeout(900)  # the first test waits for all methods
@pytest.mark.parametrize("name", REGISTRY)
def test_two_processes_give_what_one_gives(both: tuple[Path, Path], name: str) -> None:
    one, two = (torch.load(folder / f"{name}.pt") for folder in both)
    assert two["kept"] == one["kept"]
    assert two["state"].keys() == one["state"].keys()
    assert two["scores"].keys() == one["scores"].keys()
    # Prompts and adapters begin at random or zero and see steep gradients: rounding grows.
    for kind in ("state", "scores"):
        for key, tensor in one[kind].items():
            torch.testing.assert_close(two[kind][key], tensor, atol=1e-3, rtol=1e-3)
