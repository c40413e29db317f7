"""A method taught without the harness: each phase by a fresh object, and another one to test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from memories import ListMemory

from benchmark.method import Method, PhaseData

Build = Callable[..., Any]
NONE = ListMemory(0)


def begun(method: Any, phase: PhaseData, state: dict[str, torch.Tensor] | None = None) -> Any:
    """A method at the first step of a phase."""
    if state:
        method.load_state(state)
    method.begin_phase(phase, NONE)
    method.model.train()
    return method


@torch.enable_grad()
def train(method: Any, phase: PhaseData, steps: int = 3, rate: float = 0.05) -> set[str]:
    """A few steps; the names of what changed in the model."""
    before = {name: p.detach().clone() for name, p in method.model.named_parameters()}
    optimizer = method.optimizer(method.parameter_groups(0.0), rate)
    for step in range(steps):
        chosen = np.random.default_rng(step).permutation(len(phase.train))[:4]
        items = [phase.train[int(i)] for i in chosen]
        optimizer.zero_grad()
        method.loss(method.collate(items, np.random.default_rng(step))).backward()
        method.before_step()
        optimizer.step()
    return {n for n, p in method.model.named_parameters() if not torch.equal(p, before[n])}


def learn(kind: type[Method], build: Build, phases: Sequence[PhaseData], **settings: Any) -> Any:
    """A fresh object, ready to predict, that has loaded what the last phase left."""
    state: dict[str, torch.Tensor] = {}
    for phase in phases:
        method = begun(build(kind, **settings), phase, state)
        for _ in method.stages(phase, NONE):
            train(method, phase)
        method.model.eval()
        method.end_phase(phase, NONE)
        state = method.state()
    fresh = build(kind, **settings)
    fresh.load_state(state)
    fresh.begin_test(phases[-1].num_seen, NONE)
    fresh.model.eval()
    assert all(torch.equal(fresh.state()[name], value) for name, value in state.items())
    return fresh
