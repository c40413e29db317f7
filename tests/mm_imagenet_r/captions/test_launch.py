"""Which devices workers get, and what a cluster needs to know."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from fake_captioner import Fake, draw

from mm_imagenet_r.captions import backends
from mm_imagenet_r.captions.captioner import Request
from mm_imagenet_r.captions.launch import choose_backend, choose_devices
from mm_imagenet_r.captions.manifest import Item
from mm_imagenet_r.captions.options import parse
from mm_imagenet_r.captions.ray_data import Actor
from mm_imagenet_r.captions.schedulers import local_rank_of
from mm_imagenet_r.errors import UserError

BASE = ["--model", "m", "--prompt", "p", "--images", "i", "--backend", "test_launch:OnDevice"]


class OnDevice(Fake):
    on_device = True


STEP = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_NODEID": "1"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "4"}


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, [], [0, 1, 2, 3]),
        ({}, ["--workers", "6"], [0, 1, 2, 3, 0, 1]),
        ({"LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "4", "RANK": "2", "WORLD_SIZE": "4"}, [], [2]),
        ({"LOCAL_RANK": "2", "RANK": "2", "WORLD_SIZE": "4"}, [], [2]),
        ({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "RANK": "1", "WORLD_SIZE": "2"}, [], [1, 3]),
        ({**STEP, "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"}, [], [1]),
        (
            {**STEP, "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"},
            ["--workers", "2"],
            [1, 1],
        ),
        ({**STEP, "SLURM_LOCALID": "5", "SLURM_STEP_TASKS_PER_NODE": "2,6"}, [], [1]),
        ({**STEP, "SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "1(x8)"}, [], [0, 1, 2, 3]),
        ({**ARRAY, "SLURM_LOCALID": "0", "SLURM_PROCID": "0"}, [], [0, 1, 2, 3]),
        (
            {"SLURM_LOCALID": "0", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"},  # no step of srun
            [],
            [0, 1, 2, 3],
        ),
    ],
)
def test_tasks_on_one_machine_share_its_gpus(
    monkeypatch: Any, environment: dict[str, str], arguments: list[str], expected: list[int]
) -> None:
    monkeypatch.setattr("mm_imagenet_r.captions.checkpoints.choose_device", lambda _: "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    options = parse([*BASE, *arguments], environment)
    assert choose_devices(OnDevice, options) == [f"cuda:{number}" for number in expected]


def test_tasks_that_see_one_gpu_each_take_it(monkeypatch: Any) -> None:
    monkeypatch.setattr("mm_imagenet_r.captions.checkpoints.choose_device", lambda _: "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    environment = {**STEP, "SLURM_LOCALID": "3", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"}
    assert choose_devices(OnDevice, parse(BASE, environment)) == ["cuda:0"]


def test_a_named_device_and_the_cpu_are_taken_as_they_are() -> None:
    assert choose_devices(OnDevice, parse([*BASE, "--device", "cpu"], {})) == ["cpu"]
    assert choose_devices(OnDevice, parse([*BASE, "--device", "cpu", "--workers", "2"], {})) == [
        "cpu",
        "cpu",
    ]
    assert choose_devices(Fake, parse([*BASE, "--workers", "2"], {})) == ["cpu", "cpu"]


def test_a_launcher_that_says_only_a_part_is_refused() -> None:
    with pytest.raises(UserError, match="WORLD_SIZE is missing or not a number: correct it"):
        local_rank_of({"LOCAL_RANK": "1"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--ray assigns the GPUs itself and needs an explicit precision"),
        (["--dtype", "auto"], "--ray assigns the GPUs itself and needs an explicit precision"),
        (
            ["--device", "cuda:1", "--dtype", "float16"],
            "assigns the GPUs itself .* no --device but cpu",
        ),
    ],
)
def test_a_cluster_does_not_get_the_precision_of_the_driver(
    arguments: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        choose_backend(parse([*BASE, "--ray", "2", *arguments], {}))


@pytest.mark.parametrize("arguments", [["--dtype", "float16"], ["--device", "cpu"]])
def test_a_cluster_with_explicit_options(arguments: list[str]) -> None:
    assert choose_backend(parse([*BASE, "--ray", "2", *arguments], {}))[1].__name__ == "OnDevice"


def test_an_actor_hands_back_why_the_run_cannot_continue(tmp_path: Path) -> None:
    photos = tmp_path / "photos" / "class"
    photos.mkdir(parents=True)
    for number in range(5):
        (photos / f"{number}.png").write_bytes(draw(number))
    items = [
        Item(f"class/{number}.png", hashlib.sha256(draw(number)).hexdigest()) for number in range(5)
    ]
    row = {"units": [3], "items": json.dumps([*map(dataclasses.astuple, items)])}

    def act(backend: type[Fake], **decoding: Any) -> dict[str, Any]:
        request = Request(str(tmp_path / "calls"), "p", decoding=decoding)
        load = functools.partial(backends.load, backend, request, {}, "cpu")
        made = Actor(load, photos.parent, items[:1])(row)
        assert made["units"] == [3]
        return made

    made = act(Fake, refuse=2)
    assert made["fault"] == ""
    assert [fields[0] for fields in json.loads(made["captions"])] == [
        "number 0", "number 1", "", "number 3", "number 4",
    ]  # fmt: skip
    assert "none of the first 5 images" in act(Fake, broken=True)["fault"]

    class Absent(Fake):
        def __init__(self, *_: Any) -> None:
            raise UserError("there is no such model")

    assert act(Absent)["fault"] == "there is no such model"
    items[0] = Item("class/9.png", "x")
    row["items"] = json.dumps([dataclasses.astuple(items[0])])
    assert "class/9.png is not among the images here" in act(Fake)["fault"]
