"""EASE and RanPAC: adapters, prototypes and ridge regression by hand, and one object a phase."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from memories import ListMemory

from baselines.adapters import AdapterMethod, CosineHead, adapter_width
from baselines.ease import EASE, complement, reweighted
from baselines.learner import Labelled
from baselines.ranpac import RIDGES, RanPAC, choose_ridge, ridge
from baselines.vilt import collate
from benchmark.data import Samples
from benchmark.load_method import make_settings
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]
NONE = ListMemory(0)


def train(method: Any, phase: PhaseData, steps: int = 3) -> list[str]:
    """A few steps; the names of the parameters that changed."""
    before = {n: p.detach().clone() for n, p in method.model.named_parameters()}
    optimizer = method.optimizer(method.parameter_groups(0.0), 0.5)
    method.model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        method.loss(method.collate(list(phase.train[:4]), np.random.default_rng(0))).backward()
        optimizer.step()
    method.model.eval()
    return [n for n, p in method.model.named_parameters() if not torch.equal(p, before[n])]


def learn(kind: type[AdapterMethod], build: Build, phases: list[PhaseData], **settings: Any) -> Any:
    """Each phase by a fresh object; another one that is ready to be tested."""
    state: dict[str, torch.Tensor] = {}
    for phase in phases:
        method = build(kind, **settings)
        if state:
            method.load_state(state)
        method.begin_phase(phase, NONE)
        for _ in method.stages(phase, NONE):
            train(method, phase)
        method.end_phase(phase, NONE)
        state = method.state()
    fresh = build(kind, **settings)
    fresh.load_state(state)
    fresh.begin_test(phases[-1].num_seen, NONE)
    fresh.model.eval()
    assert all(torch.equal(fresh.state()[name], value) for name, value in state.items())
    return fresh


def batch_of(method: Any, samples: Samples, count: int = 9) -> Labelled:
    batch: Labelled = method.collate(list(samples[:count]), None)
    return batch


def test_a_fresh_set_changes_nothing(build: Build, samples: Samples) -> None:
    method = build(EASE)
    inputs = collate([method.input(sample) for sample in samples[:3]])
    adapters = method.add_set(0)
    method.model.train()
    assert torch.equal(method.model.feature(inputs, 0), method.model.feature(inputs, None))
    down = adapters[0].down
    assert down.shape == (8, 32)
    assert 0.9 / math.sqrt(32) < float(down.detach().abs().max()) <= 1 / math.sqrt(32)
    assert not torch.equal(down, method.add_set(1)[0].down)


def test_an_adapter_is_added_beside_the_mlp(build: Build) -> None:
    """scale * Up(ReLU(Down(h))), by hand."""
    method = build(EASE, scale=0.5, dropout=0.9)
    adapter = method.add_set(0)[0].eval()
    with torch.no_grad():
        adapter.up.normal_(generator=torch.Generator().manual_seed(0))
        adapter.down_bias.fill_(0.1)
        adapter.up_bias.fill_(0.2)
    h = torch.randn(5, 32, generator=torch.Generator().manual_seed(1))
    wanted = 0.5 * ((h @ adapter.down.T + 0.1).clamp(min=0) @ adapter.up.T + 0.2)
    torch.testing.assert_close(adapter(h), wanted)
    with torch.random.fork_rng(devices=[]):
        assert not torch.allclose(adapter.train()(h), wanted)  # dropout


def test_the_size_of_a_set() -> None:
    """For ViLT-B/32: twelve adapters of width 64, 1,189,632 parameters."""
    width = adapter_width(768, 0)
    assert 12 * (2 * 768 * width + width + 768) == 1_189_632
    assert (adapter_width(96, 0), adapter_width(96, 64), adapter_width(2, 0)) == (24, 64, 1)


def test_the_head_is_a_cosine() -> None:
    head = CosineHead(2, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[2.0, 0], [3, 3]]))
        head.scale.fill_(3.0)
    scores = head(torch.tensor([[0.0, 5.0]]))
    torch.testing.assert_close(scores, torch.tensor([[0.0, 3 / math.sqrt(2)]]))


MEANS = torch.tensor(
    [[[1.0, 0], [9, 9], [9, 9]], [[0.0, 1], [1, 1], [9, 9]], [[1.0, 1], [0, 2], [2, -1]]]
)
OWN = torch.arange(3)


def test_complement_by_hand() -> None:
    """Three classes of three phases, two dimensions; what stands at 9 is not there."""
    filled = complement(MEANS, OWN)
    torch.testing.assert_close(filled[0, 1], torch.tensor([0.330238, 1.669762]), atol=1e-6, rtol=0)
    assert filled[0, 2].tolist() == filled[1, 2].tolist() == [2, -1]
    real = [(i, a) for i in range(3) for a in range(i + 1)]
    assert all(torch.equal(filled[at], MEANS[at]) for at in real)


@pytest.mark.parametrize(
    ("divide", "wanted"),
    [(True, [0.987340, 0.684746, -0.411858]), (False, [0.974680, 0.662385, -0.376503])],
)
def test_reweighted_scores_by_hand(divide: bool, wanted: list[float]) -> None:
    features = torch.tensor([[[1.0, 0], [1, 0], [0, 1]]])
    scores = reweighted(features, complement(MEANS, OWN), OWN, alpha=0.1, divide=divide)
    torch.testing.assert_close(scores, torch.tensor([wanted]), atol=1e-5, rtol=0)
    alone = reweighted(features[:, :1], MEANS[:, :1], OWN * 0, alpha=0.1, divide=divide)
    torch.testing.assert_close(alone, F.cosine_similarity(features[:, 0], MEANS[:, 0])[None])


def test_ease_trains_the_newest_adapters_alone(build: Build, phases: list[PhaseData]) -> None:
    method = build(EASE)
    method.begin_phase(phases[0], NONE)
    changed = train(method, phases[0])
    assert {name.partition(".")[0] for name in changed} == {"sets", "head"}
    method.end_phase(phases[0], NONE)
    later = build(EASE)
    later.load_state(method.state())
    later.begin_phase(phases[1], NONE)
    assert {name[:7] for name in train(later, phases[1])} == {"sets.1.", "head.we", "head.sc"}


def test_ease_predicts_from_means_in_all_subspaces(build: Build, phases: list[PhaseData]) -> None:
    method = learn(EASE, build, phases)
    shapes = {n: tuple(t.shape) for n, t in method.state().items() if n.startswith("means")}
    assert shapes == {"means.0": (2, 1, 32), "means.1": (2, 2, 32), "means.2": (2, 3, 32)}
    with torch.no_grad():
        for label in phases[1].new:
            own = phases[1].train.of_classes([label])
            inputs = collate([method.input(sample) for sample in own])
            for number in range(2):
                mean = method.model.feature(inputs, number).mean(0)
                stored = method.state()["means.1"][label - 2, number]
                torch.testing.assert_close(mean, stored, atol=1e-5, rtol=0)
        batch = batch_of(method, phases[0].train)
        scores = method.predict(batch)
        singles = [method.predict(batch_of(method, phases[0].train[i : i + 1])) for i in range(9)]
    assert scores.shape == (9, 6)
    torch.testing.assert_close(scores, torch.cat(singles), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [EASE, RanPAC])
def test_training_goes_on_after_a_kill(
    kind: type[AdapterMethod], build: Build, phases: list[PhaseData]
) -> None:
    method, fresh = build(kind), build(kind)
    for one in (method, fresh):
        one.begin_phase(phases[0], NONE)
        next(one.stages(phases[0], NONE))
    train(method, phases[0])
    optimizer = fresh.optimizer(fresh.parameter_groups(0.0), 0.5)  # knows the parameters already
    fresh.load_state(method.state())
    fresh.load_transient(method.transient())
    assert set(method.transient()) == {"head.weight", "head.scale"}
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in fresh.model.parameters() if p.requires_grad} == known
    batch = batch_of(method, phases[0].train)
    for one in (method, fresh):
        one.model.eval()
    assert torch.equal(method.loss(batch), fresh.loss(batch))
    assert not any("head" in name for name in method.state())
    if kind is EASE:
        method.begin_phase(phases[1], NONE)
        with pytest.raises(ValueError, match="does not fit"):
            method.load_state(fresh.state())


ROWS = torch.tensor([[1.0, 0], [2, 1], [0, 1]], dtype=torch.float64)
TARGETS = torch.tensor([[1.0, 0], [1, 0], [0, 1]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("penalty", "wanted"),
    [
        (0.0, [[0.666667, -0.333333], [-0.166667, 0.833333]]),
        (1.0, [[0.5, -0.142857], [0, 0.428571]]),
    ],
)
def test_ridge_by_hand(penalty: float, wanted: list[list[float]]) -> None:
    weights = ridge(ROWS.T @ ROWS, ROWS.T @ TARGETS, penalty)
    torch.testing.assert_close(
        weights, torch.tensor(wanted, dtype=torch.float64), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("noise", [0.01, 3.0])
def test_the_penalty_is_the_best_on_the_last_fifth(noise: float) -> None:
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal(size=(40, 12)))
    targets = rows[:, :3] + noise * torch.from_numpy(rng.normal(size=(40, 3)))
    errors = {}
    for penalty in RIDGES:
        weights = ridge(rows[:32].T @ rows[:32], rows[:32].T @ targets[:32], penalty)
        errors[penalty] = float(F.mse_loss(rows[32:] @ weights, targets[32:]))
    assert choose_ridge(rows, targets) == min(errors, key=errors.__getitem__)
    assert choose_ridge(rows[:1], targets[:1]) == 1.0
    assert len(RIDGES) == 17


@pytest.mark.parametrize("adapt", [True, False])
def test_ranpac_is_ridge_regression_on_all_phases(
    build: Build, phases: list[PhaseData], samples: Samples, adapt: bool
) -> None:
    method = learn(RanPAC, build, phases, projection=50, adapt=adapt)
    assert len(method.model.sets) == adapt
    everything = samples.of_classes(range(6))
    with torch.no_grad():
        inputs = [method.input(sample) for sample in everything]
        features = np.concatenate([method.features([input], method._feature) for input in inputs])
        projection = torch.from_numpy(method.context.rng("projection").standard_normal((32, 50)))
        rows = (torch.from_numpy(features).double() @ projection).relu()
        targets = F.one_hot(torch.from_numpy(everything.labels).long(), 6).double()
        weights = ridge(rows.T @ rows, rows.T @ targets, method._ridge)
        batch = batch_of(method, everything)
        scores = method.predict(batch)
        torch.testing.assert_close(scores, (rows[:9] @ weights).float(), atol=1e-3, rtol=1e-3)
    state = method.state()
    assert {n: tuple(state[n].shape) for n in ("gram", "sums", "ridge")} == {
        "gram": (50 * 51 // 2,), "sums": (50, 6), "ridge": (),
    }  # fmt: skip


def test_ranpac_trains_in_the_first_phase_alone(build: Build, phases: list[PhaseData]) -> None:
    method = build(RanPAC, projection=20)
    method.begin_phase(phases[0], NONE)
    assert len(list(method.stages(phases[0], NONE))) == 1
    assert {name.partition(".")[0] for name in train(method, phases[0])} == {"sets", "head"}
    method.end_phase(phases[0], NONE)
    later = build(RanPAC, projection=20)
    later.load_state(method.state())
    later.begin_phase(phases[1], NONE)
    assert list(later.stages(phases[1], NONE)) == []
    assert not any(p.requires_grad for p in later.model.parameters())
    with pytest.raises(ValueError, match="of another projection"):
        build(RanPAC, projection=30).load_state(method.state())


def test_settings() -> None:
    for kind, given, message in (
        (EASE, {"width": "-1"}, "width=-1: choose a number in"),
        (EASE, {"dropout": "1"}, "dropout=1.0: choose a number in"),
        (EASE, {"alpha": "-1"}, "alpha=-1.0: choose a number in"),
        (RanPAC, {"projection": "-1"}, "projection=-1: choose a number in"),
    ):
        with pytest.raises(UserError, match=message):
            make_settings(kind, "", given)
    assert {"tuning"} <= EASE.unused & RanPAC.unused
