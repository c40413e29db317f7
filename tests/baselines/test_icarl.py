"""iCaRL: its losses by hand, and what it predicts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from memories import ListMemory

from baselines.exemplars import selection
from baselines.icarl import ICaRL, ICaRLSettings, icarl_bce
from benchmark.data import Samples
from benchmark.load_method import make_settings
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]
NEW = torch.tensor([[2.0, 0, 1], [0, 1, 3]])
OLD = torch.tensor([[1.0, 0], [0, 2]])
LABELS = torch.tensor([0, 2])


def test_softmax_loss_by_hand(build: Build) -> None:
    """The fixture of PyCIL's form: cross entropy .288726 and distillation .649675."""
    method = build(ICaRL)
    assert float(method.loss_of(NEW, LABELS, OLD)) == pytest.approx(0.938401, abs=1e-6)
    assert float(method.loss_of(NEW, LABELS, None)) == pytest.approx(0.288726, abs=1e-6)


def test_sigmoid_loss_by_hand(build: Build) -> None:
    loss = icarl_bce(NEW, LABELS, OLD)
    assert float(loss) == pytest.approx(0.640903, abs=1e-6)
    assert float(3 * loss) == pytest.approx(1.922709, abs=1e-5)
    assert torch.equal(build(ICaRL, loss="bce").loss_of(NEW, LABELS, OLD), loss)


def after_two_phases(build: Build, phases: list[PhaseData], memory: ListMemory) -> Any:
    """A fresh object that tests what another one learnt."""
    state: dict[str, torch.Tensor] = {}
    for phase in phases[:2]:
        method = build(ICaRL)
        if state:
            method.load_state(state)
        method.begin_phase(phase, memory)
        assert (method.teacher is None) == (phase.index == 0)
        loss = method.loss(method.collate([*phase.train[:3], *memory.exemplars()[:2]], None))
        loss.backward()
        method.end_phase(phase, memory)
        state = method.state()
    fresh = build(ICaRL)
    fresh.load_state(state)
    fresh.begin_test(4, memory)
    return fresh


def test_means_are_those_of_the_exemplars_alone(
    build: Build, phases: list[PhaseData], samples: Samples
) -> None:
    memory = ListMemory(5000)
    method = after_two_phases(build, phases, memory)
    means = []
    for label in range(4):
        own = samples.of_classes([label])
        order = selection.herding(method.features(method.inputs(own)))
        names = [own.file_names[i] for i in order]
        assert memory.names(label) == names[: len(memory.names(label))]
        kept = [method.input(s) for s in own if s.file_name in memory.names(label)]
        assert 0 < len(kept) < len(own)
        rows = selection.unit(method.features(kept))
        means.append(rows.mean(0) / np.linalg.norm(rows.mean(0)))
    batch = method.collate(list(samples[:9]), None)
    features = selection.unit(method.vilt.pool(batch.inputs).detach().numpy())
    wanted = -((features[:, None] - np.array(means)) ** 2).sum(-1)
    scores = method.predict(batch)
    assert list(scores) == ["nme", "linear"]
    np.testing.assert_allclose(scores["nme"].detach().numpy(), wanted, atol=1e-5)
    torch.testing.assert_close(scores["linear"], method.model(batch.inputs))


def test_settings() -> None:
    settings = ICaRLSettings()
    assert (settings.distillation, settings.classifier, settings.selection) == (1, "nme", "herding")
    with pytest.raises(UserError, match="loss=mse: choose one of ce, bce"):
        make_settings(ICaRL, "", {"loss": "mse"})
    with pytest.raises(UserError, match="distillation is a part of loss=bce"):
        make_settings(ICaRL, "", {"loss": "bce", "temperature": "1"})
