"""Every registered method gives on two processes what it gives on one."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path

import pair
import pytest
import torch

from benchmark.registry import REGISTRY


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, vilt_folder: Path, coloured: Path, read_once: None
) -> tuple[Path, Path]:
    """Folders with what comes of each method, on one process and on two."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    context = multiprocessing.get_context("fork")  # what is imported is not imported again
    for world, folder in zip((1, 2), folders, strict=True):
        where = (world, free_port(), str(vilt_folder), str(coloured), str(folder))
        processes = [context.Process(target=pair.teach, args=(i, *where)) for i in range(world)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * world
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
