"""DER++: loss and reservoir by hand, and what the memory holds of logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from memories import ListMemory

from baselines.derpp import DERpp, Mixed, derpp_loss
from baselines.learner import Labelled
from baselines.reservoir import reservoir
from benchmark.method import PhaseData

Build = Callable[..., Any]


def test_loss_by_hand() -> None:
    """Cross entropy .407606, distance .5, replayed .479525; the norm would make 1.5 of .5."""
    replayed = [[1.0, 2, 0], [0, 0, 1]]
    logits = torch.tensor([[2.0, 1, 0], *replayed, *replayed])
    labels = torch.tensor([0, 7, 7, 1, 2])  # those of the first draw are not looked at
    stored = torch.tensor([[0.0, 2, 1], [1, 0, 1]])
    here = torch.ones(2, 3, dtype=torch.bool)
    loss = derpp_loss(logits, labels, stored, here, alpha=0.2, beta=0.5)
    assert float(loss) == pytest.approx(0.747369, abs=1e-6)
    none = derpp_loss(logits, labels, stored, here, alpha=0, beta=0)
    assert float(none) == pytest.approx(0.407606, abs=1e-6)
    here[:, 2] = False  # heads that came later: the distance is (1 + 0 + 1 + 0) / 4
    later = derpp_loss(logits, labels, stored, here, alpha=1, beta=0)
    assert float(later - none) == pytest.approx(0.5, abs=1e-6)


def test_reservoir_by_hand() -> None:
    held: list[int] = []
    slots = reservoir(held, range(8), 0, 3, np.random.RandomState(0).randint)
    assert (slots, held) == ([0, 1, 2, 0, 0, -1, -1, -1], [4, 1, 2])
    nothing: list[int] = []
    assert reservoir(nothing, range(3), 5, 0, lambda n: 0) == [-1, -1, -1]


def test_all_are_kept_with_equal_chance() -> None:
    rng = np.random.default_rng(0)
    counts: Counter[int] = Counter()
    for _ in range(4000):  # in two parts, as two phases would
        held: list[int] = []
        for part in (range(5), range(5, 8)):
            reservoir(held, part, part.start, 3, lambda n: int(rng.integers(n)))
        counts.update(held)
    assert all(abs(counts[i] / 4000 - 3 / 8) < 0.03 for i in range(8))


def learn(build: Build, phases: list[PhaseData], memory: ListMemory) -> list[Any]:
    """One fresh object a phase, as the harness has it."""
    state: dict[str, torch.Tensor] = {}
    methods = []
    for phase in phases:
        method = build(DERpp)
        if state:
            method.load_state(state)
        method.begin_phase(phase, memory)
        (stage,) = method.stages(phase, memory)
        assert stage.items is phase.train
        with torch.no_grad():
            method.model.head.weight.add_(0.1)  # a model of another phase has other logits
        method.end_phase(phase, memory)
        state = method.state()
        methods.append(method)
    return methods


@pytest.mark.parametrize("amount", [0.0, 700.0, 9000.0, 20000.0, 1e9])
def test_the_total_binds_and_is_used(build: Build, phases: list[PhaseData], amount: float) -> None:
    memory = ListMemory(amount, shared=True)
    learn(build, phases, memory)
    assert memory.total() <= amount
    dearest = max(s.image.__len__() for phase in phases for s in phase.train) + 200
    everything = len(memory.exemplars()) == sum(len(phase.train) for phase in phases)
    assert everything or memory.total() > amount - 4 * dearest
    if amount == 20000:
        assert len({exemplar.label for exemplar in memory.exemplars()}) > 3


def test_logits_are_those_at_the_end_of_the_phase(build: Build, phases: list[PhaseData]) -> None:
    memory = ListMemory(1e9, shared=True)
    methods = learn(build, phases, memory)
    for phase, method in zip(phases, methods, strict=True):
        for label in phase.new:
            for exemplar in memory.of_class(label):
                logits = np.frombuffer(exemplar.extra, "<f4")
                assert len(logits) == phase.num_seen
                batch = method.collate([exemplar], None)
                own = method.predict(batch)[0].detach().numpy()
                np.testing.assert_allclose(logits, own, atol=1e-5)
                assert exemplar.nbytes > len(exemplar.image) + len(exemplar.text) + 4 * len(logits)
    assert methods[-1]._seen == sum(len(phase.train) for phase in phases)


def test_each_step_draws_twice(build: Build, phases: list[PhaseData]) -> None:
    memory = ListMemory(20000, shared=True)
    learn(build, phases[:2], memory)
    method = build(DERpp)
    method.begin_phase(phases[2], memory)
    items = list(phases[2].train[:4])
    batch = method.collate(items, np.random.default_rng(0))
    assert isinstance(batch, Mixed)
    assert len(batch.views) == len(batch.labels) == 12
    assert batch.labels[:4].tolist() == [item.label for item in items]
    assert batch.stored.shape == batch.present.shape == (4, batch.present.sum(1).max())
    assert set(batch.present.sum(1).tolist()) <= {2, 4}
    again, other = (method.collate(items, np.random.default_rng(seed)) for seed in (0, 1))
    assert torch.equal(batch.labels, again.labels)
    assert not torch.equal(batch.stored[:, :2], other.stored[:, :2])
    method.loss(batch.to(torch.device("cpu"))).backward()
    assert method.model.head.weight.grad.abs().sum() > 0
    assert isinstance(method.collate(items, None), Labelled)


def test_the_first_phase_is_cross_entropy_alone(build: Build, phases: list[PhaseData]) -> None:
    method = build(DERpp)
    method.begin_phase(phases[0], ListMemory(0))
    batch = method.collate(list(phases[0].train[:3]), np.random.default_rng(0))
    wanted = torch.nn.functional.cross_entropy(method.predict(batch), batch.labels)
    assert torch.equal(method.loss(batch), wanted)


def test_the_count_goes_on(build: Build, phases: list[PhaseData]) -> None:
    methods = learn(build, phases[:2], ListMemory(9000, shared=True))
    state = methods[-1].state()
    assert int(state["samples_seen"]) == len(phases[0].train) + len(phases[1].train)
    fresh = build(DERpp)
    fresh.load_state(state)
    assert all(torch.equal(fresh.state()[name], value) for name, value in state.items())
