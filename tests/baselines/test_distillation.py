"""Distillation, and that a learner needs no settings of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from memories import ListMemory

from baselines.distillation import distillation
from baselines.exemplar_masking import ExemplarMasking
from baselines.finetune import Finetune
from baselines.joint import Joint
from baselines.learner import ViltLearner
from baselines.replay import Replay
from baselines.settings import setting
from benchmark.data import Samples
from benchmark.load_method import make_settings
from benchmark.method import NoSettings, PhaseData
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]


def test_loss_is_cross_entropy_and_distillation_by_the_former_model(
    build: Build, samples: Samples, phases: list[PhaseData]
) -> None:
    method = build(Replay, distillation=0.7, temperature=3)
    batch = method.collate(list(samples.of_classes([0, 3])[:4]), None)
    method.begin_phase(phases[0], ListMemory())
    assert method.teacher is None
    before = method.model(batch.inputs).detach()
    method.begin_phase(phases[1], ListMemory())
    with torch.no_grad():
        for parameter in method.model.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)
    scores = method.model(batch.inputs)
    wanted = F.cross_entropy(scores, batch.labels)
    wanted = wanted + 0.7 * distillation(scores[:, :2], before, 3.0)
    torch.testing.assert_close(method.loss(batch), wanted)
    method.loss(batch).backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    assert not any("teacher" in name for name in method.state())


def test_distillation_is_the_cross_entropy_of_softened_outputs() -> None:
    new = torch.tensor([[2.0, 0, 1], [0, 1, 3]])
    old = torch.tensor([[1.0, 0], [0, 2]])
    labels = torch.tensor([0, 2])
    kd = distillation(new[:, :2], old, 2.0)
    assert float(F.cross_entropy(new, labels)) == pytest.approx(0.288726, abs=1e-6)
    assert float(kd) == pytest.approx(0.649675, abs=1e-6)


@dataclass(frozen=True)
class Own:
    """Settings that know nothing of distillation."""

    factor: float = setting(2.0, "of the loss")


class WithOwnSettings(ViltLearner):
    """A newcomer's method."""

    Settings = Own

    def loss(self, batch: Any) -> torch.Tensor:
        return float(self.settings.factor) * super().loss(batch)


def test_a_learner_with_settings_of_its_own(build: Build, phases: list[PhaseData]) -> None:
    plain, own = build(ViltLearner), build(WithOwnSettings, factor=3)
    assert ViltLearner.Settings is NoSettings
    for phase in phases[:2]:
        losses = []
        for method in (plain, own):
            method.begin_phase(phase, ListMemory())
            losses.append(method.loss(method.collate(list(phase.train[:3]), None)))
        torch.testing.assert_close(losses[1], 3 * losses[0])
    own.end_phase(phases[1], ListMemory())
    fresh = build(WithOwnSettings)
    fresh.load_state(own.state())
    fresh.begin_test(4, ListMemory())
    batch = own.collate(list(phases[1].train[:3]), None)
    assert torch.equal(fresh.predict(batch), own.predict(batch))


@pytest.mark.parametrize("kind", [Finetune, Replay, ExemplarMasking])
def test_who_may_distil(kind: type[ViltLearner]) -> None:
    assert make_settings(kind, "", {"distillation": "1"}).temperature == 2
    with pytest.raises(UserError, match="temperature has no effect without distillation"):
        make_settings(kind, "", {"temperature": "3"})


def test_joint_has_no_former_model() -> None:
    with pytest.raises(UserError, match="no setting 'distillation'"):
        make_settings(Joint, "", {"distillation": "1"})
    assert Joint.sees_all_data


def test_pictures_are_as_large_as_the_model_sees_them(build: Build, samples: Samples) -> None:
    method = build(ViltLearner)
    for sample in samples[:3]:
        input = method.see(sample)
        height, width = 16 * input.grid[0], 16 * input.grid[1]
        assert method.input_pixels(width, height) == height * width
    assert method.input_pixels(640, 480) == 64 * 80
