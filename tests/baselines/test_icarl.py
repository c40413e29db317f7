"""iCaRL: its losses and means by hand, and what it predicts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from memories import ListMemory

from baselines import selection
from baselines.icarl import ICaRL, ICaRLSettings, class_mean, icarl_bce, nearest_mean
from benchmark.data import Samples
from benchmark.find_method import make_settings
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


def test_nearest_mean_by_hand() -> None:
    mean = class_mean(np.array([[1.0, 1], [2, 1]]))
    np.testing.assert_allclose(mean, [0.811242, 0.584710], atol=1e-6)
    means = torch.tensor([mean.tolist(), [-0.447214, 0.894427]])
    scores = nearest_mean(torch.tensor([[0.2, 1.0]]), means)
    torch.testing.assert_close(scores, torch.tensor([[-0.535093, -0.421296]]), atol=1e-5, rtol=0)


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
        order = selection.herding(method.features(method.views(own)))
        names = [own.file_names[i] for i in order]
        assert memory.names(label) == names[: len(memory.names(label))]
        kept = [method.view(s) for s in own if s.file_name in memory.names(label)]
        assert 0 < len(kept) < len(own)
        rows = selection.unit(method.features(kept))
        means.append(rows.mean(0) / np.linalg.norm(rows.mean(0)))
    batch = method.collate(list(samples[:9]), None)
    features = selection.unit(method.vilt.pool(batch.views).detach().numpy())
    wanted = -((features[:, None] - np.array(means)) ** 2).sum(-1)
    scores = method.predict(batch)
    assert list(scores) == ["nme", "linear"]
    np.testing.assert_allclose(scores["nme"].detach().numpy(), wanted, atol=1e-5)
    torch.testing.assert_close(scores["linear"], method.model(batch.views))


def test_a_class_without_exemplars_is_never_chosen(build: Build, phases: list[PhaseData]) -> None:
    memory = ListMemory(5000)
    method = after_two_phases(build, phases, memory)
    memory.keep(2, [])
    method.begin_test(4, memory)
    scores = method.predict(method.collate(list(phases[1].train), None))["nme"]
    assert torch.isfinite(scores).all()
    assert (scores[:, 2] < scores[:, [0, 1, 3]].min(1).values).all()


def test_no_memory_at_all(
    build: Build, phases: list[PhaseData], caplog: pytest.LogCaptureFixture
) -> None:
    method = after_two_phases(build, phases, ListMemory(0))
    scores = method.predict(method.collate(list(phases[0].train[:3]), None))
    assert torch.equal(scores["nme"], scores["linear"])
    assert "there are no exemplars" in caplog.messages[-1]


def test_settings() -> None:
    assert ICaRLSettings().distillation == 1
    with pytest.raises(UserError, match="loss=mse: choose one of ce, bce"):
        make_settings(ICaRL, "", {"loss": "mse"})
    with pytest.raises(UserError, match="distillation is a part of loss=bce"):
        make_settings(ICaRL, "", {"loss": "bce", "temperature": "1"})
