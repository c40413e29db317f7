"""What every registered method must do, without the harness: one object a phase, nothing hidden."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from memories import ListMemory

from benchmark.data import Samples
from benchmark.find_method import find
from benchmark.method import PhaseData
from benchmark.registry import REGISTRY

Build = Callable[..., Any]
#: Settings that save time where a method has them.
FAST = {"codec": "jpeg", "quality": 60, "projection": 50}

every_method = pytest.mark.parametrize("name", REGISTRY)


def make(build: Build, name: str, **changes: Any) -> Any:
    kind = find(name)[0]
    known = {key: value for key, value in FAST.items() if hasattr(kind.Settings(), key)}
    return build(kind, **known, **changes)


def memory_for(name: str, amount: float = 6000) -> ListMemory:
    """Room for two to four samples a class; none for a method that keeps none."""
    kind = find(name)[0]
    each = amount if kind.kind == "replay" else 0.0
    return ListMemory(each * (6 if kind.shares_allowance else 1), shared=kind.shares_allowance)


def steps(method: Any, phase: PhaseData, memory: ListMemory, count: int) -> Iterator[Any]:
    """Train each stage for a few steps, with the method between any two."""
    for stage in method.stages(phase, memory):
        items = [*phase.train, *memory.exemplars()] if stage.items is None else stage.items
        optimizer = method.optimizer(method.parameter_groups(0.01), 0.05)
        for step in range(count):
            method.model.train()
            chosen = np.random.default_rng([phase.index, step]).permutation(len(items))[:5]
            batch = method.collate([items[int(i)] for i in chosen], np.random.default_rng(step))
            loss = method.loss(batch)
            assert torch.isfinite(loss)
            optimizer.zero_grad()
            loss.backward()
            method.before_step()
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * method.schedule(step, count)
            optimizer.step()
            yield optimizer


def learn(build: Build, name: str, phases: list[PhaseData], memory: ListMemory) -> Any:
    """The state after some phases, each learnt by a fresh object."""
    state: dict[str, torch.Tensor] = {}
    for phase in phases:
        method = make(build, name)
        if state:
            method.load_state(state)
        method.begin_phase(phase, memory)
        with torch.random.fork_rng(devices=[]):
            for _ in steps(method, phase, memory, 2):
                pass
        method.model.eval()
        method.end_phase(phase, memory)
        state = method.state()
    return state


def scores(method: Any, samples: Samples) -> torch.Tensor:
    out = method.predict(method.collate(list(samples), None))
    return out if isinstance(out, torch.Tensor) else torch.cat(list(out.values()), dim=1)


@torch.no_grad()
def ready(build: Build, name: str, state: Any, seen: int, memory: ListMemory) -> Any:
    method = make(build, name)
    method.load_state(state)
    method.begin_test(seen, memory)
    method.model.eval()
    return method


@every_method
def test_state_and_memory_are_all_there_is(
    build: Build, name: str, phases: list[PhaseData], samples: Samples
) -> None:
    memory = memory_for(name)
    state = learn(build, name, phases, memory)
    first, second = (ready(build, name, state, 6, memory) for _ in range(2))
    generators = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    with torch.no_grad():
        together = scores(first, samples)
        assert torch.equal(together, scores(second, samples))
        alone = torch.cat([scores(second, samples[i : i + 1]) for i in range(len(samples))])
    assert torch.equal(generators[0], torch.get_rng_state())
    assert generators[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    again = first.state()
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], value) for key, value in state.items())
    if find(name)[0].kind == "replay":
        assert memory.exemplars()
        assert memory.total() <= memory.each * (1 if memory.shared else 6)
    else:
        assert not memory.stored


@every_method
def test_a_checkpoint_amid_training_is_enough(
    build: Build, name: str, phases: list[PhaseData]
) -> None:
    memory = memory_for(name)
    state = learn(build, name, phases[:1], memory)
    objects = []
    for _ in range(2):
        method = make(build, name)
        method.load_state(state)
        method.begin_phase(phases[1], memory)
        objects.append(method)
    one, other = objects
    with torch.random.fork_rng(devices=[]):
        training = steps(one, phases[1], memory, 4)
        if next(training, None) is None:
            return  # this method trains nothing here
        next(training)
    next(other.stages(phases[1], memory))
    other.load_state(one.state())
    other.load_transient(one.transient())
    losses = []
    for method in objects:
        method.model.train()
        batch = method.collate(list(phases[1].train[:4]), np.random.default_rng(0))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            losses.append(method.loss(batch))
    assert torch.equal(*losses)
    state, again = one.state(), other.state()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[key], again[key]) for key in state)


@every_method
def test_no_memory_and_a_single_phase(
    build: Build, name: str, samples: Samples, phases: list[PhaseData]
) -> None:
    memory = memory_for(name, 0)
    state = learn(build, name, phases[:2], memory)
    assert not memory.exemplars()
    with torch.no_grad():
        assert torch.isfinite(scores(ready(build, name, state, 4, memory), samples[:5])).all()
    single = PhaseData(0, range(6), 6, samples)
    memory = memory_for(name)
    state = learn(build, name, [single], memory)
    with torch.no_grad():
        assert scores(ready(build, name, state, 6, memory), samples[:5]).shape[1] % 6 == 0


@every_method
def test_what_a_method_says_of_itself(name: str) -> None:
    kind = find(name)[0]
    assert kind.kind in ("replay", "memory-free", "bound")
    assert kind.unused <= {"tuning", "epochs", "steps", "learning_rate", "weight_decay"}
    assert ("epochs" in kind.unused) == ("steps" in kind.unused)  # one is the other's measure
    assert kind.recipe.keys() <= {"tuning", "learning_rate", "weight_decay"}
    assert kind.about.keys() <= {"name", "paper", "authors", "link", "licence"}
    assert kind.Settings()  # has defaults
    for module in kind.imports:
        importlib.import_module(module)
    assert kind.sees_all_data == (name == "joint")
