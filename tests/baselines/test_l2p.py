"""L2P: choice and loss by hand, and what is trained of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from memories import ListMemory

from baselines.l2p import L2P, choose
from baselines.prompts import phase_cross_entropy
from benchmark.load_method import make_settings
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]
KEYS = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
QUERIES = torch.tensor([[3.0, 4, 0], [0, 5, 12], [1, 0, 0]])


def reduce_sim(*, batch_wise: bool) -> tuple[list[list[int]], float]:
    similarity = F.normalize(QUERIES) @ F.normalize(KEYS).T
    wanted = [[0.6, 0.8, 0, 0.989950], [0, 0.384615, 0.923077, 0.271964], [1, 0, 0, 0.707107]]
    torch.testing.assert_close(similarity, torch.tensor(wanted), atol=1e-5, rtol=0)
    chosen = choose(similarity, 2, batch_wise=batch_wise)
    return chosen.tolist(), float(similarity.gather(1, chosen).sum(1).mean())


def test_each_sample_chooses_for_itself() -> None:
    chosen, pulled = reduce_sim(batch_wise=False)
    assert chosen == [[3, 1], [2, 1], [0, 3]]
    assert pulled == pytest.approx(1.601583, abs=1e-5)


def test_the_choice_of_a_whole_batch() -> None:
    """Prompts 1 and 3 are wanted twice, 0 and 2 once."""
    chosen, pulled = reduce_sim(batch_wise=True)
    assert all(sorted(row) == [1, 3] for row in chosen)
    assert pulled == pytest.approx(1.051212, abs=1e-5)


def test_loss_by_hand() -> None:
    logits, label = torch.tensor([[2.0, 1, 0.5, -1]]), torch.tensor([2])
    masked = phase_cross_entropy(logits, label, 2)
    assert float(masked) == pytest.approx(0.201413, abs=1e-6)
    assert float(phase_cross_entropy(logits, label, 0)) == pytest.approx(1.995182, abs=1e-6)
    assert float(masked - 0.1 * 0.9) == pytest.approx(0.111413, abs=1e-6)


def test_what_is_trained(build: Build, phases: list[PhaseData]) -> None:
    method = build(L2P, length=2, top=3)
    shapes = {name: tuple(tensor.shape) for name, tensor in method.state().items()}
    assert shapes == {
        "prompts": (10, 2, 32), "keys": (10, 32), "head.weight": (6, 32), "head.bias": (6,),
    }  # fmt: skip
    method.begin_phase(phases[1], ListMemory(0))
    method.model.train()
    batch = method.collate(list(phases[1].train[:4]), np.random.default_rng(0))
    method.loss(batch).backward()
    head = method.model.head.weight.grad
    assert head is not None
    assert (head.abs().sum(1) > 0).tolist() == [False, False, True, True, False, False]
    similarity = F.normalize(batch.queries) @ F.normalize(method.model.keys).T
    picked = set(choose(similarity, 3).flatten().tolist())
    assert {int(i) for i in method.model.prompts.grad.abs().sum((1, 2)).nonzero()} == picked
    assert {int(i) for i in method.model.keys.grad.abs().sum(1).nonzero()} == picked
    for parameter in method.model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(1000)
    method.before_step()
    squares = [p.grad.square().sum() for p in method.model.parameters() if p.grad is not None]
    assert float(sum(squares)) == pytest.approx(1.0, abs=1e-4)


@torch.no_grad()
def test_batch_mates_change_no_prediction(build: Build, phases: list[PhaseData]) -> None:
    method = build(L2P, batch_wise=True)
    method.begin_test(2, ListMemory(0))
    method.model.eval()
    items = list(phases[0].train)
    together = method.predict(method.collate(items, None))
    alone = torch.cat([method.predict(method.collate([item], None)) for item in items])
    assert together.shape == (len(items), 2)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_fresh_object_predicts_the_same(build: Build, phases: list[PhaseData]) -> None:
    method, fresh = build(L2P), build(L2P)
    with torch.no_grad():
        for parameter in method.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    fresh.load_state(method.state())
    batch = method.collate(list(phases[0].train[:3]), None)
    assert torch.equal(method.predict(batch), fresh.predict(batch))


def test_settings(build: Build) -> None:
    with pytest.raises(UserError, match="top=6: choose 1 to pool=5"):
        make_settings(L2P, "", {"pool": "5", "top": "6"})
    assert build(L2P).schedule(7, 10) == 1.0
    assert isinstance(build(L2P).optimizer([{"params": [torch.zeros(1)]}], 0.1), torch.optim.Adam)
