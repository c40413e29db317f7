"""What replay methods share: the readings they report, the balance in a batch, what is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from memories import ListMemory

from baselines.classifiers import READINGS, aligned, balanced, class_means
from baselines.exemplar_masking import ExemplarMasking
from baselines.exemplars import selection
from baselines.replay import Replay
from baselines.replay_learner import ReplayLearner
from benchmark.data import Samples
from benchmark.exemplar import StoredExemplar
from benchmark.load_method import load_method, make_settings
from benchmark.method import Method, PhaseData, Stage
from benchmark.registry import REGISTRY
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]
OF_REPLAY = [name for name in REGISTRY if issubclass(load_method(name)[0], ReplayLearner)]


def learnt(build: Build, phases: list[PhaseData], memory: ListMemory, **settings: object) -> Any:
    """A fresh object, ready for the test after two phases; its new rows are twice as long."""
    state: dict[str, torch.Tensor] = {}
    for phase in phases[:2]:
        method = build(Replay, **settings)
        if state:
            method.load_state(state)
        method.begin_phase(phase, memory)
        with torch.no_grad():
            method.model.head.weight[phase.new.start : phase.num_seen] *= 1 + phase.index
            method.model.head.bias[: phase.num_seen] += 0.01 * (1 + phase.index)
        method.end_phase(phase, memory)
        state = method.state()
    fresh = build(Replay, **settings)
    fresh.load_state(state)
    fresh.begin_test(4, memory)
    return fresh


@pytest.mark.parametrize("chosen", [*READINGS, "all"])
def test_the_chosen_reading_comes_first_and_the_linear_one_always_stands_by(
    build: Build, phases: list[PhaseData], samples: Samples, chosen: str
) -> None:
    method = learnt(build, phases, ListMemory(5000), classifier=chosen)
    with torch.no_grad():
        scores = method.predict(method.collate(list(samples[:5]), None))
    names = list(READINGS) if chosen == "all" else list(dict.fromkeys([chosen, "linear"]))
    assert list(scores) == names
    assert all(of.shape == (5, 4) and torch.isfinite(of).all() for of in scores.values())


@torch.no_grad()
def test_every_reading_is_what_it_is_called(
    build: Build, phases: list[PhaseData], samples: Samples
) -> None:
    memory = ListMemory(5000)
    method = learnt(build, phases, memory, classifier="all")
    batch = method.collate(list(samples[:9]), None)
    scores, features = method.predict(batch), method.vilt.pool(batch.inputs)
    weight, bias = method.model.head.weight[:4], method.model.head.bias[:4]
    kept = memory.exemplars()
    rows = method.features([method.input(one) for one in kept])
    labels = np.array([one.label for one in kept])
    wanted = {
        "linear": F.linear(features, weight, bias),
        "aligned": F.linear(features, aligned(weight, 2), bias),
        "balanced": F.linear(features, *balanced(rows, labels, weight, bias)),
        "nme": -(F.normalize(features)[:, None] - class_means(rows, labels, 4)).square().sum(-1),
    }
    for name, own in wanted.items():
        torch.testing.assert_close(scores[name], own, atol=1e-4, rtol=1e-4)
    pairs = [(a, b) for a in READINGS for b in READINGS if a < b]
    assert not any(torch.allclose(scores[a], scores[b], atol=1e-3) for a, b in pairs)
    torch.testing.assert_close(scores["linear"], method.model(batch.inputs))


@pytest.mark.parametrize("chosen", READINGS)
@torch.no_grad()
def test_the_chosen_reading_is_a_linear_map_that_can_be_saved(
    build: Build, phases: list[PhaseData], samples: Samples, chosen: str
) -> None:
    method = learnt(build, phases, ListMemory(5000), classifier=chosen)
    batch = method.collate(list(samples), None)
    own = F.linear(method.vilt.pool(batch.inputs), *method.linear_head())
    assert own.argmax(1).tolist() == method.predict(batch)[chosen].argmax(1).tolist()


def test_without_exemplars_the_head_is_read(
    build: Build, phases: list[PhaseData], caplog: pytest.LogCaptureFixture
) -> None:
    method = learnt(build, phases, ListMemory(0), classifier="all")
    with torch.no_grad():
        scores = method.predict(method.collate(list(phases[0].train[:3]), None))
    assert list(scores) == list(READINGS)
    assert torch.equal(scores["nme"], scores["linear"])
    assert torch.equal(scores["balanced"], scores["linear"])
    assert not torch.equal(scores["aligned"], scores["linear"])  # it needs no exemplar
    assert "there are no exemplars, so the linear head classifies" in caplog.messages[-1]


def test_a_class_without_exemplars_is_last_of_the_means_and_keeps_its_row(
    build: Build, phases: list[PhaseData]
) -> None:
    memory = ListMemory(5000)
    method = learnt(build, phases, memory, classifier="all")
    memory.keep(2, [])
    method.begin_test(4, memory)
    with torch.no_grad():
        scores = method.predict(method.collate(list(phases[1].train), None))
    others = scores["nme"][:, [0, 1, 3]]
    assert (scores["nme"][:, 2] < others.min(1).values).all()
    torch.testing.assert_close(scores["balanced"][:, 2], scores["linear"][:, 2])


def test_after_the_first_phase_there_is_nothing_to_align(
    build: Build, phases: list[PhaseData]
) -> None:
    method = build(Replay, classifier="aligned")
    method.begin_test(2, ListMemory(0))
    with torch.no_grad():
        scores = method.predict(method.collate(list(phases[0].train[:3]), None))
    assert torch.equal(scores["aligned"], scores["linear"])


@pytest.mark.parametrize("name", OF_REPLAY)
def test_every_replay_method_has_the_same_choice(name: str) -> None:
    kind = load_method(name)[0]
    for reading in (*READINGS, "all"):
        assert make_settings(kind, "", {"classifier": reading}).classifier == reading
    with pytest.raises(UserError, match="classifier=best: choose one of linear, balanced, nme"):
        make_settings(kind, "", {"classifier": "best"})
    for share in ("0", "0.25", "0.75"):
        assert make_settings(kind, "", {"replay_share": share}).replay_share == float(share)
    for share in ("1", "-0.1"):
        with pytest.raises(UserError, match=r"choose a number in \[0, 1\)"):
            make_settings(kind, "", {"replay_share": share})


@pytest.mark.parametrize("name", OF_REPLAY)
def test_the_share_of_replay_is_that_of_its_stage(
    build: Build, phases: list[PhaseData], name: str
) -> None:
    kind: type[Method] = load_method(name)[0]
    for share in (0.0, 0.25):
        method = build(kind, replay_share=share)
        stages = list(method.stages(phases[1], ListMemory()))
        assert stages == [Stage(replay_share=share or None)]


def test_who_replays_in_the_registry() -> None:
    replaying = {name for name in REGISTRY if load_method(name)[0].kind == "replay"}
    assert replaying == set(OF_REPLAY), "a replay method without the common choices"


@pytest.mark.parametrize("kind", selection.RANKINGS)
def test_what_is_kept_follows_the_ranking(build: Build, phases: list[PhaseData], kind: str) -> None:
    """Features and centers are the caller's: `cosine` compares the one with means of the other."""
    phase, method, memory = phases[1], build(Replay, selection=kind), ListMemory()
    rng, asked = np.random.default_rng(0), []
    features, centers = (rng.normal(size=(len(phase.train), 5)) for _ in range(2))

    def make(number: int) -> StoredExemplar:
        asked.append(number)
        return StoredExemplar.whole(phase.train[number])

    method.keep_ranked(phase, memory, features, make, centers)
    names, labels = phase.train.file_names, np.array(phase.train.labels)
    for label in phase.new:
        own = np.flatnonzero(labels == label)
        center = selection.unit(centers[own]).mean(0)
        draw = method.context.rng("selection", phase.index, label)
        order = selection.rank(kind, features[own], center, draw)
        assert memory.names(label) == [names[i] for i in own[order]]
    assert sorted(asked) == list(range(len(phase.train)))
    asked.clear()
    method.keep_ranked(phase, ListMemory(0), features, make)
    assert len(asked) == len(phase.new)  # no more are made than the memory asks for


def test_a_class_of_the_phase_without_samples_is_passed_by(
    build: Build, phases: list[PhaseData]
) -> None:
    phase, memory = phases[0], ListMemory()
    alone = PhaseData(0, phase.new, 2, phase.train.of_classes([0]))
    method = build(ExemplarMasking, codec="raw")
    method.begin_phase(alone, memory)
    method.end_phase(alone, memory)
    assert {one.label for one in memory.exemplars()} == {0}
