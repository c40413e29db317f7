"""WA: its loss by hand, and the head it leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from memories import ListMemory

from baselines.classifiers import aligned
from baselines.distillation import distillation
from baselines.wa import WA, wa_loss
from benchmark.data import Samples
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]
NEW = torch.tensor([[2.0, 0, 1], [0, 1, 3]])
OLD = torch.tensor([[1.0, 0], [0, 2]])
LABELS = torch.tensor([0, 2])


def test_loss_by_hand() -> None:
    """A third of cross entropy .288726 and, for two of three classes, distillation .649675."""
    assert float(wa_loss(NEW, LABELS, OLD, 2.0)) == pytest.approx(0.529359, abs=1e-6)
    assert float(wa_loss(NEW, LABELS, None, 2.0)) == pytest.approx(0.288726, abs=1e-6)


def test_the_loss_is_that_of_the_former_model(
    build: Build, samples: Samples, phases: list[PhaseData]
) -> None:
    method = build(WA)
    batch = method.collate(list(samples.of_classes([0, 3])[:12]), None)
    method.begin_phase(phases[0], ListMemory())
    before = method.model(batch.inputs).detach()
    method.begin_phase(phases[1], ListMemory())
    with torch.no_grad():
        method.model.head.weight.mul_(1.1)
    logits = method.model(batch.inputs)
    wanted = 0.5 * F.cross_entropy(logits, batch.labels)
    wanted = wanted + 0.5 * distillation(logits[:, :2], before, 2.0)
    torch.testing.assert_close(method.loss(batch), wanted)
    alone = build(WA, distillation=0)
    for phase in phases[:2]:
        alone.begin_phase(phase, ListMemory())
    logits = alone.model(batch.inputs)
    torch.testing.assert_close(alone.loss(batch), F.cross_entropy(logits, batch.labels))


def test_the_head_is_aligned_for_good(build: Build, phases: list[PhaseData]) -> None:
    method, memory = build(WA), ListMemory(3000)
    method.begin_phase(phases[0], memory)
    before = method.model.head.weight.detach().clone()
    method.end_phase(phases[0], memory)
    assert torch.equal(method.model.head.weight, before)  # no class is older than another
    method.begin_phase(phases[1], memory)
    with torch.no_grad():
        method.model.head.weight[2:4] *= 3
    before = method.model.head.weight.detach().clone()
    method.end_phase(phases[1], memory)
    after = method.state()["head.weight"]
    torch.testing.assert_close(after[:4], aligned(before[:4], 2))
    assert torch.equal(after[4:], before[4:])  # of classes to come
    lengths = after.norm(dim=1)
    assert float(lengths[2:4].mean()) == pytest.approx(float(lengths[:2].mean()), rel=1e-5)
    assert {one.label for one in memory.exemplars()} == {0, 1, 2, 3}
    fresh = build(WA)
    fresh.load_state(method.state())
    fresh.begin_test(4, memory)
    batch = fresh.collate(list(phases[1].train[:3]), None)
    assert list(fresh.predict(batch)) == ["linear"]
    torch.testing.assert_close(fresh.linear_head()[0], after[:4])


def test_its_weight_follows_from_the_classes(build: Build) -> None:
    with pytest.raises(UserError, match="its weight follows from the classes"):
        build(WA, distillation=0.5)
