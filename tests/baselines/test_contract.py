"""What every registered method must do, without the harness: one object a phase, nothing hidden."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from teaching import begun, learn, memory_for, ready, scores, steps

from benchmark.data import Samples
from benchmark.load_method import load_method
from benchmark.method import PhaseData
from benchmark.registry import REGISTRY

Build = Callable[..., Any]
#: Settings that save time where a method has them.
FAST = {"codec": "jpeg", "quality": 60, "projection": 50}

every_method = pytest.mark.parametrize("name", REGISTRY)

pytestmark = pytest.mark.usefixtures("read_once")


def make(build: Build, name: str, **changes: Any) -> Any:
    kind = load_method(name)[0]
    known = {key: value for key, value in FAST.items() if hasattr(kind.Settings(), key)}
    return build(kind, **known, **changes)


@every_method
def test_state_and_memory_are_all_there_is(
    build: Build, name: str, phases: list[PhaseData], samples: Samples
) -> None:
    memory, fresh = memory_for(name), partial(make, build, name)
    state = learn(fresh, phases, memory)
    first, second = (ready(fresh, state, 6, memory) for _ in range(2))
    generators = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    together = scores(first, samples)
    again = scores(second, samples)
    alone = [scores(second, samples[i : i + 1]) for i in range(len(samples))]
    assert torch.equal(generators[0], torch.get_rng_state())
    assert generators[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    for key, found in together.items():
        assert torch.isfinite(found).all()
        assert torch.equal(found, again[key])
        single = torch.cat([one[key] for one in alone])
        torch.testing.assert_close(found, single, atol=1e-4, rtol=1e-4)
    kept = first.state()
    assert kept.keys() == state.keys()
    assert all(torch.equal(kept[key], value) for key, value in state.items())
    if load_method(name)[0].kind == "replay":
        assert memory.exemplars()
        assert memory.total() <= memory.each * (1 if memory.shared else 6)
    else:
        assert not memory.stored


@every_method
def test_a_checkpoint_amid_training_is_enough(
    build: Build, name: str, phases: list[PhaseData]
) -> None:
    memory, fresh = memory_for(name), partial(make, build, name)
    state = learn(fresh, phases[:1], memory)
    one, other = (begun(fresh, phases[1], state, memory) for _ in range(2))
    with torch.random.fork_rng(devices=[]):
        training = steps(one, phases[1], memory, 4)
        if next(training, None) is None:
            return  # this method trains nothing here
        next(training)
    next(other.stages(phases[1], memory))
    other.load_state(one.state())
    other.load_transient(one.transient())
    losses = []
    for method in (one, other):
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
    memory, fresh = memory_for(name, 0), partial(make, build, name)
    state = learn(fresh, phases[:2], memory)
    assert not memory.exemplars()
    found = scores(ready(fresh, state, 4, memory), samples[:5])
    assert all(torch.isfinite(rows).all() for rows in found.values())
    single = PhaseData(0, range(6), 6, samples)
    memory = memory_for(name)
    state = learn(fresh, [single], memory)
    found = scores(ready(fresh, state, 6, memory), samples[:5])
    assert {rows.shape[1] for rows in found.values()} == {6}


@every_method
def test_what_a_method_says_of_itself(name: str) -> None:
    kind = load_method(name)[0]
    assert kind.kind in ("replay", "memory-free", "bound")
    assert kind.unused <= {"tuning", "epochs", "steps", "learning_rate", "weight_decay"}
    assert ("epochs" in kind.unused) == ("steps" in kind.unused)  # one is the other's measure
    assert kind.recipe.keys() <= {"tuning", "learning_rate", "weight_decay"}
    assert kind.about.keys() <= {"name", "paper", "authors", "link", "licence"}
    assert kind.Settings()  # has defaults
    for module in kind.imports:
        importlib.import_module(module)
    assert kind.sees_all_data == (name == "joint")
