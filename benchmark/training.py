"""One phase of training on accelerate, any number of processes, resumable at any step.

Which samples form step s of epoch e of phase p, and every random draw in it, is a function of
(seed, p, e, s) alone. So data order does not depend on the number of processes or on interruptions.
"""

from __future__ import annotations

import dataclasses
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
from benchmark.method import Method, PhaseData
from benchmark.processes import map_batches
from benchmark.randomness import seeded
from benchmark.run_folder import load_tensors
from mm_imagenet_r.files import write_atomic

#: Peak learning rate where `--learning-rate` is not given.
LEARNING_RATES = {"ssf": 1e-2, "head": 1e-2, "full": 1e-3}
_WARM_UP = 0.1
_STEP, _ORDER, _AUGMENT, _COLLATE, _PREDICT = range(5)  # names of random streams
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
        phase: PhaseData,
        exemplars: Sequence[Exemplar],
        config: RunConfig,
        accelerator: Accelerator,
    ) -> None:
        self.method = method
        self.samples = phase.train
        self.exemplars = exemplars
        self.count = len(phase.train) + len(exemplars)
        self.config = config
        self.phase = phase.index
        self.per_epoch = math.ceil(self.count / config.batch_size)
        self.rank, self.world = accelerator.process_index, accelerator.num_processes

    def __len__(self) -> int:
        return self.per_epoch * self.config.epochs

    def __getitem__(self, step: int) -> list[Part]:
        epoch, within = divmod(step, self.per_epoch)
        context = self.method.context
        order = context.rng(_ORDER, self.phase, epoch).permutation(self.count)
        size = self.config.batch_size
        batch = order[within * size : (within + 1) * size]
        parts = []
        for number, chosen in enumerate(np.array_split(batch, self.config.micro_batches)):
            if number % self.world == self.rank and len(chosen):
                where = (self.phase, epoch, within, number)
                items = [self._item(int(i)) for i in chosen]
                with seeded(context.rng(_COLLATE, *where)):
                    collated = self.method.collate(items, context.rng(_AUGMENT, *where))
                parts.append(Part(collated, len(chosen) / len(batch)))
        return parts

    def _item(self, number: int) -> Sample | Exemplar:
        old = number - len(self.samples)
        return self.samples[number] if old < 0 else self.exemplars[old]


def train_phase(
    method: Method,
    phase: PhaseData,
    exemplars: Sequence[Exemplar],
    config: RunConfig,
    accelerator: Accelerator,
    checkpoint: Path,
    progress: Progress,
) -> int:
    """Train on new samples and exemplars alike for `config.epochs` epochs.

    Saves to `checkpoint` every `config.checkpoint_seconds` and goes on from there if it exists.

    Returns:
        The number of steps.
    """
    steps = _Steps(method, phase, exemplars, config, accelerator)
    groups = method.parameter_groups(config.weight_decay)
    parameters = [p for group in groups for p in group["params"]]
    if not len(steps) or not parameters:
        return 0
    peak = config.learning_rate or LEARNING_RATES[config.tuning]
    optimizer = accelerator.prepare(torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98)))
    peaks = [group["lr"] for group in optimizer.param_groups]
    state = _Training(method, optimizer, accelerator)
    start = state.load(checkpoint)
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
        for group, rate in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = rate * learning_rate_factor(step, len(steps))
        with seeded(method.context.rng(_STEP, phase.index, step)):
            loss = sum((_backward(method, part, accelerator) for part in parts), torch.zeros(()))
        loss = reduce_gradients(parameters, loss, accelerator)
        optimizer.step()
        optimizer.zero_grad()
        progress(step + 1, len(steps), float(loss))
        if time.monotonic() - saved >= config.checkpoint_seconds and step + 1 < len(steps):
            if accelerator.is_main_process:
                state.save(checkpoint, step + 1)
            saved = time.monotonic()
    accelerator.free_memory()  # it would hold on to the optimizer of every phase
    return len(steps)


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up over the first tenth, then a cosine to zero.

    >>> [round(learning_rate_factor(s, 100), 3) for s in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def reduce_gradients(
    parameters: Sequence[torch.nn.Parameter], loss: torch.Tensor, accelerator: Accelerator
) -> torch.Tensor:
    """Sum the processes' gradients, and return the sum of their losses.

    Done by hand, so that a method may call its model as it likes: nothing need be wrapped. A
    parameter that has a gradient on no process has none afterwards.
    """
    if accelerator.num_processes == 1:
        return loss
    device = accelerator.device
    found = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32)
    grads = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    flat = torch.cat([loss.view(1).to(device), found.to(device), *grads])
    flat = accelerator.reduce(flat, reduction="sum")
    loss, found, *grads = flat.split([1, len(parameters), *(p.numel() for p in parameters)])
    for parameter, grad, count in zip(parameters, grads, found.tolist(), strict=True):
        parameter.grad = grad.view_as(parameter) if count else None
    return loss[0]


@torch.no_grad()
def predict(
    method: Method, samples: Sequence[Sample], seen: int, accelerator: Accelerator
) -> list[int]:
    """Predicted label of each sample among the classes seen, on every process."""
    method.model.eval()

    def work(chosen: Sequence[int]) -> list[int]:
        with seeded(method.context.rng(_PREDICT)), accelerator.autocast():
            batch = method.collate([_unanswered(samples[i], i) for i in chosen], None)
            scores = method.predict(send_to_device(batch, accelerator.device))
        labels: list[int] = scores[:, :seen].argmax(1).tolist()
        return labels

    context = method.context
    return map_batches(work, len(samples), context.batch_size, context.rank, context.world)


def _unanswered(sample: Sample, number: int) -> Sample:
    """A test sample as a method may see it: file names often begin with the class."""
    return dataclasses.replace(sample, label=-1, file_name=f"test/{number}")


def _backward(method: Method, part: Part, accelerator: Accelerator) -> torch.Tensor:
    with accelerator.autocast():
        loss = method.loss(send_to_device(part.batch, accelerator.device)) * part.share
    accelerator.backward(loss)
    return loss.detach().cpu()


class _Training:
    """All that changes in training: the method's tensors, the optimizer, and with fp16 the scale.

    The loss is multiplied by that scale, which adapts; each phase starts with the same one.
    """

    def __init__(self, method: Method, optimizer: Any, accelerator: Accelerator) -> None:
        self.method = method
        self.parts: dict[str, Any] = {"optimizer": optimizer}
        if accelerator.scaler is not None:
            fresh = torch.amp.GradScaler(accelerator.device.type)
            accelerator.scaler.load_state_dict(fresh.state_dict())
            self.parts["scaler"] = accelerator.scaler

    def load(self, checkpoint: Path) -> int:
        """Go back to a checkpoint, if there is one, and return how many steps were done."""
        if not checkpoint.exists():
            return 0
        saved = load_tensors(checkpoint)
        self.method.load_state(saved["method"])
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        return int(saved["step"])

    def save(self, checkpoint: Path, step: int) -> None:
        saved = {name: part.state_dict() for name, part in self.parts.items()}
        buffer = io.BytesIO()
        torch.save({"step": step, "method": self.method.state(), **saved}, buffer)
        write_atomic(checkpoint, buffer.getvalue())
