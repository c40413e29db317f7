"""A method taught without the harness: each phase by a fresh object, and another one to test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from memories import ListMemory

from benchmark.data import Samples
from benchmark.exemplar import Exemplar
from benchmark.load_method import load_method
from benchmark.method import PhaseData, Progress, Stage

#: Makes a fresh object of a method.
Make = Callable[[], Any]
NONE = ListMemory(0)


def memory_for(name: str, amount: float = 6000) -> ListMemory:
    """Room for two to four samples a class; none for a method that keeps none."""
    kind = load_method(name)[0]
    each = amount if kind.kind == "replay" else 0.0
    return ListMemory(each * (6 if kind.shares_allowance else 1), shared=kind.shares_allowance)


def begun(
    make: Make,
    phase: PhaseData,
    state: Mapping[str, torch.Tensor] | None = None,
    memory: ListMemory = NONE,
) -> Any:
    """A fresh object at the first step of a phase."""
    method = make()
    if state:
        method.load_state(state)
    method.begin_phase(phase, memory)
    method.model.train()
    return method


def draw(items: Sequence[Any], stage: Stage, rng: np.random.Generator, size: int = 5) -> list[Any]:
    """A batch, with the share of exemplars that the stage asks for."""
    order = [int(i) for i in rng.permutation(len(items))]
    old = [i for i in order if isinstance(items[i], Exemplar)]
    if stage.replay_share is not None and old:
        count = round(stage.replay_share * size)
        order = [*[i for i in order if i not in set(old)][: size - count], *old[:count]]
    return [items[i] for i in order[:size]]


def steps(method: Any, phase: PhaseData, memory: ListMemory, count: int) -> Iterator[Any]:
    """Train each stage for a few steps, with the method between any two."""
    for number, stage in enumerate(method.stages(phase, memory)):
        items = [*phase.train, *memory.exemplars()] if stage.items is None else stage.items
        rate = stage.learning_rate or 0.05
        decay = method.recipe.get("weight_decay", 0.01)
        optimizer = method.optimizer(method.parameter_groups(decay), rate)
        for step in range(count if stage.share else 0):
            method.model.train()
            method.progress = Progress(number, step, count)
            chosen = draw(items, stage, np.random.default_rng([phase.index, step]))
            loss = method.loss(method.collate(chosen, np.random.default_rng(step)))
            assert torch.isfinite(loss)
            optimizer.zero_grad()
            loss.backward()
            method.before_step()
            for group in optimizer.param_groups:
                group["lr"] = rate * method.schedule(step, count)
            optimizer.step()
            yield optimizer


@torch.enable_grad()
def train(method: Any, phase: PhaseData, count: int = 3, memory: ListMemory = NONE) -> set[str]:
    """Train for a few steps; the names of the parameters that changed."""
    before = {name: p.detach().clone() for name, p in method.model.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(phase.index)
        for _ in steps(method, phase, memory, count):
            pass
    method.model.eval()
    return {
        name
        for name, parameter in method.model.named_parameters()
        if name not in before or not torch.equal(parameter, before[name])
    }


def learn(
    make: Make, phases: Sequence[PhaseData], memory: ListMemory = NONE, count: int = 2
) -> dict[str, torch.Tensor]:
    """The state after some phases."""
    state: dict[str, torch.Tensor] = {}
    for phase in phases:
        method = begun(make, phase, state, memory)
        train(method, phase, count, memory)
        method.end_phase(phase, memory)
        state = method.state()
    return state


@torch.no_grad()
def ready(
    make: Make, state: Mapping[str, torch.Tensor], seen: int, memory: ListMemory = NONE
) -> Any:
    """A fresh object that has loaded a state and is about to predict."""
    method = make()
    method.load_state(state)
    method.model.eval()
    method.begin_test(seen, memory)
    return method


def taught(
    make: Make, phases: Sequence[PhaseData], memory: ListMemory = NONE, count: int = 2
) -> Any:
    """A fresh object that is about to predict after some phases."""
    return ready(make, learn(make, phases, memory, count), phases[-1].num_seen, memory)


@torch.no_grad()
def scores(method: Any, samples: Samples) -> dict[str, torch.Tensor]:
    """What a method predicts, by classifier."""
    out = method.predict(method.collate(list(samples), None))
    return {"": out} if isinstance(out, torch.Tensor) else dict(out)
