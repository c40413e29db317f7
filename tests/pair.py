"""All methods taught by one process of several."""

from __future__ import annotations

import gc
import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from teaching import memory_for, ready, scores

from benchmark.checkpoint import Checkpoint
from benchmark.config import RunConfig
from benchmark.data import Samples, open_data
from benchmark.load_method import load_method
from benchmark.method import MethodContext, PhaseData
from benchmark.recipe import resolve_recipe
from benchmark.registry import REGISTRY
from benchmark.training import train_phase

#: What saves time, or turns on what a method has by default off, where a method may have it.
WANTED: dict[str, Any] = {"codec": "jpeg", "quality": 60, "projection": 50, "distillation": 1.0}
WANTED |= {"adapt": False}  # a ridge on six samples a class turns rounding into other classes
CONFIG = RunConfig(batch_size=8, steps=3, checkpoint_seconds=3600)


def settings(kind: Any) -> Any:
    """A method's settings with what is wanted and legal."""
    chosen = kind.Settings()
    for key, value in WANTED.items():
        try:
            chosen = type(chosen)(**{**vars(chosen), key: value})
        except (TypeError, ValueError):
            continue
    return chosen


def taught(name: str, accelerator: Accelerator, backbone: str, samples: Samples) -> dict[str, Any]:
    """Tensors, scores and exemplars of a method after two phases of three classes."""
    kind = load_method(name)[0]
    recipe = resolve_recipe(CONFIG, kind)
    context = MethodContext(
        num_classes=6, phase_sizes=(3, 3), backbone=backbone, tuning=recipe.tuning,
        max_text_length=None, batch_size=4, seed=0, device=accelerator.device,
        rank=accelerator.process_index, world=accelerator.num_processes,
    )  # fmt: skip
    make, memory = partial(kind, context, settings(kind)), memory_for(name)
    state: dict[str, torch.Tensor] = {}
    for index in range(2):
        labels = range(0 if kind.sees_all_data else 3 * index, 3 * index + 3)
        train = samples.of_classes(labels)
        phase = PhaseData(index, range(3 * index, 3 * index + 3), 3 * index + 3, train, 3)
        method = make()
        if state and not kind.sees_all_data:
            method.load_state(state)
        method.begin_phase(phase, memory)
        checkpoint = Checkpoint(Path(f"/nonexistent/{name}"), "", method)  # nothing to resume
        train_phase(method, phase, memory, recipe, CONFIG, accelerator, checkpoint, quiet)
        method.model.eval()
        method.end_phase(phase, memory)
        state = method.state()
    found = scores(ready(make, state, 6, memory), samples)
    kept = [exemplar.to_bytes() for exemplar in memory.exemplars()]
    return {"state": state, "scores": found, "kept": kept}


def quiet(*_: object) -> None:
    """Tell nothing of a step."""


def teach(rank: int, world: int, port: int, backbone: str, data: str, folder: str) -> None:
    """Write what came of each method, from the first process; each of them calls this."""
    where = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
    if world > 1:
        os.environ.update({name: str(value) for name, value in where.items()})
        os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    gc.freeze()  # as `benchmark.isolation` does
    AcceleratorState._reset_state(reset_partial_state=True)  # that of an earlier test, by the fork
    GradientState._reset_state()
    accelerator, samples = Accelerator(cpu=True), open_data(data).train
    assert accelerator.num_processes == world
    for name in REGISTRY:
        outcome = taught(name, accelerator, backbone, samples)
        if accelerator.is_main_process:
            torch.save(outcome, Path(folder) / f"{name}.pt")
    if world > 1:
        torch.distributed.destroy_process_group()
