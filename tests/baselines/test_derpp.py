"""DER++: its loss by hand, what a batch is made of, and what the memory holds of logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from memories import ListMemory

from baselines.derpp import DERpp, Mixed, derpp_loss
from baselines.learner import Labelled
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]


def test_loss_by_hand() -> None:
    """Cross entropy .407606, distance .5, replayed .479525; the norm would make 1.5 of .5."""
    replayed = [[1.0, 2, 0], [0, 0, 1]]
    logits = torch.tensor([[2.0, 1, 0], *replayed, *replayed])
    labels = torch.tensor([0, 7, 7, 1, 2])  # those of the first draw are not looked at
    stored = torch.tensor([[0.0, 2, 1], [1, 0, 1]])
    here = torch.ones(2, 3, dtype=torch.bool)
    loss = derpp_loss(logits, labels, 1, stored, here, alpha=0.2, beta=0.5)
    assert float(loss) == pytest.approx(0.747369, abs=1e-6)
    none = derpp_loss(logits, labels, 1, stored, here, alpha=0, beta=0)
    assert float(none) == pytest.approx(0.407606, abs=1e-6)
    here[:, 2] = False  # heads that came later: the distance is (1 + 0 + 1 + 0) / 4
    later = derpp_loss(logits, labels, 1, stored, here, alpha=1, beta=0)
    assert float(later - none) == pytest.approx(0.5, abs=1e-6)


def test_loss_where_a_part_of_the_batch_is_empty() -> None:
    """A micro-batch may be all exemplars, or have one of them alone."""
    logits = torch.tensor([[1.0, 2, 0], [0, 0, 1]])
    stored, here = torch.tensor([[0.0, 2, 1]]), torch.ones(1, 3, dtype=torch.bool)
    labels = torch.tensor([7, 2])
    replayed = torch.nn.functional.cross_entropy(logits[1:], labels[1:])
    distance = torch.tensor(2 / 3)
    loss = derpp_loss(logits, labels, 0, stored, here, alpha=0.3, beta=0.5)
    torch.testing.assert_close(loss, 0.3 * distance + 0.5 * replayed)
    loss = derpp_loss(logits[:1], labels[:1], 0, stored, here, alpha=0.3, beta=0.5)
    torch.testing.assert_close(loss, 0.3 * distance)


def learn(build: Build, phases: list[PhaseData], memory: ListMemory) -> list[Any]:
    """One fresh object a phase, as the harness has it."""
    state: dict[str, torch.Tensor] = {}
    methods = []
    for phase in phases:
        method = build(DERpp)
        if state:
            method.load_state(state)
        method.begin_phase(phase, memory)
        with torch.no_grad():
            method.model.head.weight.add_(0.1)  # a model of another phase has other logits
        method.end_phase(phase, memory)
        state = method.state()
        methods.append(method)
    return methods


def test_logits_are_those_at_the_end_of_the_phase(build: Build, phases: list[PhaseData]) -> None:
    memory = ListMemory(1e9, shared=True)
    methods = learn(build, phases, memory)
    for phase, method in zip(phases, methods, strict=True):
        for label in phase.new:
            for exemplar in memory.of_class(label):
                logits = np.frombuffer(exemplar.extra, "<f4")
                assert len(logits) == phase.num_seen
                batch = method.collate([exemplar], None)
                own = method.model(batch.inputs)[0].detach().numpy()
                np.testing.assert_allclose(logits, own, atol=1e-5)
                assert exemplar.nbytes > len(exemplar.image) + len(exemplar.text) + 4 * len(logits)
    assert methods[-1]._seen == sum(len(phase.train) for phase in phases)


def test_half_of_the_exemplars_come_with_their_logits_half_with_their_labels(
    build: Build, phases: list[PhaseData]
) -> None:
    memory = ListMemory(20000, shared=True)
    learn(build, phases[:2], memory)
    method = build(DERpp)
    method.begin_phase(phases[2], memory)
    rng = np.random.default_rng(0)
    old = [memory.exemplars()[i] for i in rng.permutation(len(memory.exemplars()))[:5]]
    new = list(phases[2].train[:4])
    mixed = [old[0], *new[:3], *old[1:4], new[3], old[4]]  # in whatever order they come
    batch = method.collate(mixed, np.random.default_rng(0))
    assert isinstance(batch, Mixed)
    assert (batch.new, len(batch.inputs), len(batch.labels)) == (4, 9, 9)
    assert batch.labels.tolist() == [item.label for item in (*new, *old)]
    heads = [len(one.extra) // 4 for one in old[:3]]
    assert batch.stored.shape == batch.present.shape == (3, max(heads))
    assert batch.present.sum(1).tolist() == heads
    assert set(heads) <= {2, 4}
    for row, one, count in zip(batch.stored, old, heads, strict=False):
        assert row[:count].tolist() == np.frombuffer(one.extra, "<f4").tolist()
        assert not row[count:].any()
    logits = method.model(batch.inputs)
    wanted = derpp_loss(
        logits, batch.labels, 4, batch.stored, batch.present, alpha=0.3, beta=0.5
    )  # fmt: skip
    loss = method.loss(batch.to(torch.device("cpu")))
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    assert method.model.head.weight.grad.abs().sum() > 0
    assert isinstance(method.collate(mixed, None), Labelled)


def test_two_thirds_of_a_batch_are_exemplars(build: Build, phases: list[PhaseData]) -> None:
    (stage,) = build(DERpp).stages(phases[1], ListMemory(0))
    assert stage.replay_share == pytest.approx(2 / 3)
    with pytest.raises(UserError, match=r"distillation: DER\+\+ has its own, see alpha"):
        build(DERpp, distillation=1)


def test_the_first_phase_is_cross_entropy_alone(build: Build, phases: list[PhaseData]) -> None:
    method = build(DERpp)
    method.begin_phase(phases[0], ListMemory(0))
    batch = method.collate(list(phases[0].train[:3]), np.random.default_rng(0))
    wanted = torch.nn.functional.cross_entropy(method.model(batch.inputs), batch.labels)
    assert torch.equal(method.loss(batch), wanted)
