"""One phase of training on accelerate, any number of processes, resumable at any step.

Which samples form step s of epoch e of phase p, and every random draw in it, is a function of
(seed, p, e, s) alone. So data order does not depend on the number of processes or on interruptions.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader, Dataset

from benchmark.config import RunConfig
from benchmark.data import Sample
from benchmark.memory import Exemplar
from benchmark.method import Method
from benchmark.processes import map_batches
from mm_imagenet_r.files import write_atomic

#: Peak learning rate where `--learning-rate` is not given.
LEARNING_RATES = {"ssf": 1e-2, "head": 1e-2, "full": 1e-3}
_WARM_UP = 0.1
_ORDER, _AUGMENT = 1, 2  # names of random streams

#: Told after each step: steps done, steps in all, loss.
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Part:
    """A micro-batch and its share of the global batch."""

    batch: Any
    share: float


class _Steps(Dataset[list[Part]]):
    """Step number -> this process's micro-batches of that step."""

    def __init__(
        self,
        method: Method,
        items: Sequence[Sample | Exemplar],
        config: RunConfig,
        phase: int,
        accelerator: Accelerator,
    ) -> None:
        self.method = method
        self.items = items
        self.config = config
        self.phase = phase
        self.per_epoch = max(1, math.ceil(len(items) / config.batch_size)) if items else 0
        self.rank, self.world = accelerator.process_index, accelerator.num_processes

    def __len__(self) -> int:
        return self.per_epoch * self.config.epochs

    def __getitem__(self, step: int) -> list[Part]:
        epoch, within = divmod(step, self.per_epoch)
        task = self.method.task
        order = task.rng(_ORDER, self.phase, epoch).permutation(len(self.items))
        size = self.config.batch_size
        batch = order[within * size : (within + 1) * size]
        parts = []
        for number, chosen in enumerate(np.array_split(batch, self.config.micro_batches)):
            if number % self.world == self.rank and len(chosen):
                rng = task.rng(_AUGMENT, self.phase, epoch, within, number)
                items = [self.items[int(i)] for i in chosen]
                parts.append(Part(self.method.collate(items, rng), len(chosen) / len(batch)))
        return parts


def train_phase(
    method: Method,
    items: Sequence[Sample | Exemplar],
    config: RunConfig,
    phase: int,
    accelerator: Accelerator,
    checkpoint: Path,
    progress: Progress,
) -> None:
    """Train on `items` (new samples and exemplars alike) for `config.epochs` epochs.

    Saves to `checkpoint` every `config.checkpoint_seconds` and goes on from there if it exists.
    """
    steps = _Steps(method, items, config, phase, accelerator)
    groups = method.parameter_groups(config.weight_decay)
    parameters = [p for group in groups for p in group["params"]]
    if not len(steps) or not parameters:
        return
    peak = config.learning_rate or LEARNING_RATES[config.tuning]
    optimizer = accelerator.prepare(torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98)))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer.optimizer, lambda step: learning_rate_factor(step, len(steps))
    )
    start = _resume(checkpoint, method, optimizer, schedule)
    loader = DataLoader(
        steps,
        sampler=range(start, len(steps)),
        batch_size=None,
        num_workers=config.workers,
        generator=torch.Generator(),  # else making an iterator draws from the global generator
        multiprocessing_context="fork" if config.workers else None,
    )
    method.model.train()
    saved = time.monotonic()
    for step, parts in enumerate(loader, start):
        # Methods that draw from torch's global generator are then resumable too; ours do not.
        with torch.random.fork_rng(devices=_devices(accelerator)):
            torch.manual_seed(int(method.task.rng(0, phase, step).integers(2**63)))
            loss = sum((_backward(method, part, accelerator) for part in parts), torch.zeros(()))
        reduce_gradients(parameters, accelerator)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress(step + 1, len(steps), float(loss))
        if time.monotonic() - saved >= config.checkpoint_seconds and step + 1 < len(steps):
            if accelerator.is_main_process:
                _save(checkpoint, step + 1, method, optimizer, schedule)
            saved = time.monotonic()


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up over the first tenth, then a cosine to zero.

    >>> [round(learning_rate_factor(s, 100), 3) for s in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def reduce_gradients(parameters: Sequence[torch.nn.Parameter], accelerator: Accelerator) -> None:
    """Sum the processes' gradients; a parameter without one counts as zero.

    Done by hand, so that a method may call its model as it likes: nothing need be wrapped.
    """
    if accelerator.num_processes == 1:
        return
    flat = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    )
    flat = accelerator.reduce(flat, reduction="sum")
    for parameter, part in zip(
        parameters, flat.split([p.numel() for p in parameters]), strict=True
    ):
        parameter.grad = part.view_as(parameter)


@torch.no_grad()
def predict(
    method: Method, samples: Sequence[Sample], seen: int, accelerator: Accelerator
) -> list[int]:
    """Predicted label of each sample among the classes seen, on every process."""
    method.model.eval()

    def work(chosen: Sequence[int]) -> list[int]:
        batch = method.collate([samples[i] for i in chosen], None)
        with accelerator.autocast():
            scores = method.predict(send_to_device(batch, accelerator.device))
        labels: list[int] = scores[:, :seen].argmax(1).tolist()
        return labels

    task = method.task
    return map_batches(work, len(samples), task.batch_size, task.rank, task.world)


def _backward(method: Method, part: Part, accelerator: Accelerator) -> torch.Tensor:
    with accelerator.autocast():
        loss = method.loss(send_to_device(part.batch, accelerator.device)) * part.share
    accelerator.backward(loss)
    return loss.detach().cpu()


def _resume(checkpoint: Path, method: Method, optimizer: Any, schedule: Any) -> int:
    if not checkpoint.exists():
        return 0
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    method.load_state(saved["method"])
    optimizer.load_state_dict(saved["optimizer"])
    schedule.load_state_dict(saved["schedule"])
    return int(saved["step"])


def _save(checkpoint: Path, step: int, method: Method, optimizer: Any, schedule: Any) -> None:
    buffer = io.BytesIO()
    torch.save(
        {
            "step": step,
            "method": method.state(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
        },
        buffer,
    )
    write_atomic(checkpoint, buffer.getvalue())


def _devices(accelerator: Accelerator) -> list[Any]:
    return [accelerator.device] if accelerator.device.type == "cuda" else []
