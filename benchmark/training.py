"""One phase of training on accelerate, any number of processes, resumable at any step.

Which samples form step s of stage g of phase p, and every random draw in it, is a function of
(seed, p, g, s) alone. So data order does not depend on the number of processes or on
interruptions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from benchmark.checkpoint import Checkpoint, Training
from benchmark.config import RunConfig
from benchmark.data import Sample, Samples
from benchmark.errors import ContractError
from benchmark.exemplar import Exemplar
from benchmark.memory import Memory
from benchmark.method import Method, PhaseData, Progress, Stage
from benchmark.randomness import seeded, stream
from benchmark.recipe import Recipe

#: Called after each step: name of the stage, steps done, steps in all, loss.
Report = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class Part:
    """A micro-batch and its share of the global batch."""

    batch: Any
    share: float


class StageSteps(Dataset[list[Part]]):
    """Step number -> this process's micro-batches of that step of a stage.

    Batches are full: what is drawn from is shuffled again and again, without an end.
    """

    def __init__(
        self,
        method: Method,
        where: tuple[int, int],
        items: Sequence[Sample | Exemplar],
        replay_share: float | None,
        steps: int,
        config: RunConfig,
        accelerator: Accelerator,
    ) -> None:
        self.method = method
        self.where = where  # numbers of phase and stage
        self.items = items
        self.steps = steps if len(items) else 0
        self.config = config
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        self.pools = self._pools(replay_share)

    def _pools(self, replay_share: float | None) -> list[tuple[NDArray[np.int64], int]]:
        """Numbers of items that are shuffled together, and how many of them make a batch."""
        everything, size = np.arange(len(self.items)), self.config.batch_size
        if replay_share is None:
            return [(everything, size)]
        replayed = _are_exemplars(self.items)
        new, old = everything[~replayed], everything[replayed]
        count = round(replay_share * size) if len(old) else 0
        count = count if len(new) else size
        return [(new, size - count), (old, count)]

    def __len__(self) -> int:
        return self.steps

    def progress(self, step: int) -> Progress:
        """How far training is before a step."""
        return Progress(self.where[1], step, self.steps)

    def __getitem__(self, step: int) -> list[Part]:
        seed, number_of_parts = self.method.context.seed, self.config.micro_batches
        split = [
            np.array_split(self._draw(step, number), number_of_parts)
            for number, (_, count) in enumerate(self.pools)
            if count
        ]
        self.method.progress = self.progress(step)
        parts = []
        for number, pieces in enumerate(zip(*split, strict=True)):
            chosen = np.concatenate(pieces)
            if number % self.world == self.rank and len(chosen):
                where = (*self.where, step, number)
                items = [self.items[int(i)] for i in chosen]
                with seeded(stream(seed, "harness/collate", *where)):
                    rng = stream(seed, "harness/augment", *where)
                    collated = self.method.collate(items, rng)
                parts.append(Part(collated, len(chosen) / self.config.batch_size))
        return parts

    def _draw(self, step: int, number: int) -> NDArray[np.int64]:
        """A step's items of one pool: the next ones of its endless row of shuffles."""
        pool, count = self.pools[number]
        seed, found = self.method.context.seed, []
        begin, end = step * count, (step + 1) * count
        for turn in range(begin // len(pool), -(-end // len(pool))):
            order = stream(seed, "harness/order", *self.where, number, turn).permutation(pool)
            first = turn * len(pool)
            found.append(order[max(begin - first, 0) : end - first])
        return np.concatenate(found)


class _Both(Sequence[Sample | Exemplar]):
    """New samples and, behind them, exemplars."""

    def __init__(self, samples: Sequence[Sample], exemplars: Sequence[Exemplar]) -> None:
        self.samples, self.exemplars = samples, exemplars

    def __len__(self) -> int:
        return len(self.samples) + len(self.exemplars)

    def __getitem__(self, index: Any) -> Any:
        old = index - len(self.samples)
        return self.samples[index] if old < 0 else self.exemplars[old]


def _are_exemplars(items: Sequence[Sample | Exemplar]) -> NDArray[np.bool_]:
    """Which of the items are exemplars (N,), without reading any image."""
    if isinstance(items, Samples):
        return np.zeros(len(items), dtype=bool)
    if isinstance(items, _Both):
        return np.arange(len(items)) >= len(items.samples)
    return np.array([isinstance(item, Exemplar) for item in items], dtype=bool)


def train_phase(
    method: Method,
    phase: PhaseData,
    memory: Memory,
    recipe: Recipe,
    config: RunConfig,
    accelerator: Accelerator,
    saved: Checkpoint,
    report: Report,
) -> Training:
    """Train a method's stages one after the other.

    Saves every `config.checkpoint_seconds` and between two stages, and resumes from what is saved.

    Raises:
        ContractError: A loss is not finite, or the stages want more than the phase's steps.
        UserError: The checkpoint is of another training.
    """
    stages = iter(method.stages(phase, memory) or ())
    seed, number, share = method.context.seed, 0, 0.0
    while True:
        method.model.eval()
        with seeded(stream(seed, "harness/stages", phase.index, number)):
            stage = next(stages, None)
        if stage is None:
            return saved.training
        if not isinstance(stage, Stage):
            raise ContractError(f"stages yielded {stage!r}: yield Stage(items, share, ...)")
        done, share = round(share * phase.steps), share + stage.share
        if share > 1 + 1e-9:
            raise ContractError(
                f"the stages up to {stage.name!r} ask for {share:g} of the phase's steps: together "
                "they may have 1, so that every method takes the same number of steps"
            )
        if number < len(saved.finished):  # trained before a kill
            saved.restore(number)
        else:
            if number and not saved.step and accelerator.is_main_process:
                saved.write()
            items = stage.items
            if items is None:
                items = _Both(phase.train, memory.exemplars())
            count = round(share * phase.steps) - done
            if not any(p.requires_grad for p in method.model.parameters()):
                count = 0  # there is nothing to train
            where = (phase.index, number)
            steps = StageSteps(method, where, items, stage.replay_share, count, config, accelerator)
            rate = recipe.learning_rate if stage.learning_rate is None else stage.learning_rate
            _train_stage(method, stage, steps, rate, recipe, saved, accelerator, report)
            saved.finish_stage({"name": stage.name, "items": len(steps.items), "steps": len(steps)})
        number += 1


def _train_stage(
    method: Method,
    stage: Stage,
    steps: StageSteps,
    learning_rate: float,
    recipe: Recipe,
    saved: Checkpoint,
    accelerator: Accelerator,
    report: Report,
) -> None:
    """Train one stage from where `saved` is."""
    if not len(steps):
        return
    config, (phase, number) = steps.config, steps.where
    groups = method.parameter_groups(recipe.weight_decay)
    parameters = [p for group in groups for p in group["params"]]
    count = sum(p.numel() for p in parameters)
    saved.training.parameters = max(saved.training.parameters, count)
    optimizer = accelerator.prepare(method.optimizer(groups, learning_rate))
    peaks = [group["lr"] for group in optimizer.param_groups]
    saved.begin_stage(optimizer, accelerator, len(steps))
    loader = DataLoader(
        steps,
        sampler=range(saved.step, len(steps)),
        batch_size=None,
        num_workers=config.workers,
        generator=torch.Generator(),  # else making an iterator draws from the global generator
        multiprocessing_context="fork" if config.workers else None,
    )
    method.model.train()
    written = time.monotonic()
    for step, parts in enumerate(loader, saved.step):
        for group, rate in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = rate * method.schedule(step, len(steps))
        method.progress = steps.progress(step)
        with seeded(stream(method.context.seed, "harness/step", phase, number, step)):
            loss = sum((_backward(method, part, accelerator) for part in parts), torch.zeros(()))
            loss = reduce_gradients(parameters, loss, accelerator)
            value = float(loss)
            if not math.isfinite(value):
                raise ContractError(
                    f"the loss is {value} at step {step + 1} of {len(steps)} of stage "
                    f"{stage.name!r}: try a smaller --learning-rate, or look for a logarithm or a "
                    "division that can fail; the last checkpoint is kept"
                )
            if accelerator.scaler is not None:
                accelerator.unscale_gradients(optimizer)
            method.before_step()
            optimizer.step()
        optimizer.zero_grad()
        saved.step_done(value)
        report(stage.name, step + 1, len(steps), value)
        if time.monotonic() - written >= config.checkpoint_seconds and step + 1 < len(steps):
            if accelerator.is_main_process:
                saved.write()
            written = time.monotonic()
    accelerator.free_memory()  # it would hold on to the optimizer of every stage


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


def _backward(method: Method, part: Part, accelerator: Accelerator) -> torch.Tensor:
    with accelerator.autocast():
        loss: Any = method.loss(send_to_device(part.batch, accelerator.device))
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
        shape = tuple(getattr(loss, "shape", ()))
        raise ContractError(
            f"loss returned {type(loss).__name__} {shape}: it has to be one number, the mean over "
            "the batch, as a tensor that gradients pass through"
        )
    share: torch.Tensor = loss.reshape(()) * part.share
    accelerator.backward(share)
    return share.detach().cpu()
