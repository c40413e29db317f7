"""The reservoir, ER that replays from it, and ER-ACE whose losses are asymmetric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from memories import ListMemory

from baselines.derpp import DERpp
from baselines.er import ER, let_pass, reservoir
from baselines.er_ace import ERACE, asymmetric_loss
from benchmark.data import Samples
from benchmark.method import PhaseData, Stage
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]


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


@pytest.mark.parametrize(
    "slots", [(3, 6, 9, 12), (6, 6, 6, 6), (12, 9, 6, 3), (4, 7, 10, 12)], ids=str
)
def test_a_memory_that_grows_or_shrinks_leans_to_no_phase(slots: tuple[int, ...]) -> None:
    """Of four phases of fifteen samples each has a quarter of the slots, on average."""
    rng, counts, repeats = np.random.default_rng(0), np.zeros(60), 3000
    for _ in range(repeats):
        buffer: list[int] = []
        for phase, room in enumerate(slots):
            numbers = [*buffer, *range(15 * phase, 15 * phase + 15)]
            chosen = let_pass(len(buffer), 15, 15 * phase, room, rng)
            assert len(set(chosen)) == len(chosen) == room
            buffer = [numbers[i] for i in chosen]
        counts[buffer] += 1
    of_phases = counts.reshape(4, 15).sum(1) / repeats
    np.testing.assert_allclose(of_phases, slots[-1] / 4, atol=0.15)
    np.testing.assert_allclose(counts / repeats, slots[-1] / 60, atol=0.04)


def learn(build: Build, kind: type[ER], phases: list[PhaseData], memory: ListMemory) -> list[Any]:
    """One fresh object a phase, as the harness has it."""
    state: dict[str, torch.Tensor] = {}
    methods = []
    for phase in phases:
        method = build(kind)
        if state:
            method.load_state(state)
        method.begin_phase(phase, memory)
        method.end_phase(phase, memory)
        state = method.state()
        methods.append(method)
    return methods


@pytest.mark.parametrize("amount", [0.0, 700.0, 9000.0, 20000.0, 1e9])
@pytest.mark.parametrize("kind", [ER, DERpp])
def test_the_total_binds_and_is_used(
    build: Build, phases: list[PhaseData], kind: type[ER], amount: float
) -> None:
    memory = ListMemory(amount, shared=True)
    learn(build, kind, phases, memory)
    assert memory.total() <= amount
    dearest = max(s.image.__len__() for phase in phases for s in phase.train) + 200
    everything = len(memory.exemplars()) == sum(len(phase.train) for phase in phases)
    assert everything or memory.total() > amount - 4 * dearest
    if amount == 20000:
        assert len({exemplar.label for exemplar in memory.exemplars()}) > 3


def test_exemplars_are_whole_samples_in_their_native_bytes(
    build: Build, phases: list[PhaseData]
) -> None:
    memory = ListMemory(9000, shared=True)
    learn(build, ER, phases[:2], memory)
    samples = {s.file_name: s for phase in phases for s in phase.train}
    assert memory.exemplars()
    for label, stored in memory.stored.items():
        for one in stored:
            sample, exemplar = samples[one.file_name], one.exemplar
            assert (exemplar.image, exemplar.text) == (sample.image, sample.caption.encode())
            assert (exemplar.label, exemplar.extra, exemplar.pixel_fraction) == (label, b"", 1)


@pytest.mark.parametrize("kind", [ER, DERpp])
def test_the_count_goes_on(build: Build, phases: list[PhaseData], kind: type[ER]) -> None:
    methods = learn(build, kind, phases[:2], ListMemory(9000, shared=True))
    state = methods[-1].state()
    assert int(state["samples_seen"]) == len(phases[0].train) + len(phases[1].train)
    fresh = build(kind)
    fresh.load_state(state)
    assert all(torch.equal(fresh.state()[name], value) for name, value in state.items())


@pytest.mark.parametrize("kind", [ER, ERACE])
def test_half_of_a_batch_is_drawn_from_the_reservoir(
    build: Build, phases: list[PhaseData], kind: type[ER]
) -> None:
    assert list(build(kind).stages(phases[1], ListMemory(0))) == [Stage(replay_share=0.5)]
    with pytest.raises(UserError, match="selection=herding: choose one of random"):
        build(kind, selection="herding")


def test_new_samples_compete_among_the_new_classes_of_their_batch() -> None:
    """Two new samples of classes 3 and 4 of 2..4, two exemplars of classes 0 and 1."""
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(4, 5))).requires_grad_()
    labels = torch.tensor([3, 0, 4, 1])
    loss = asymmetric_loss(logits, labels, 2)
    among = F.cross_entropy(logits[[0, 2]][:, [3, 4]], torch.tensor([0, 1]))
    torch.testing.assert_close(loss, among + F.cross_entropy(logits[[1, 3]], labels[[1, 3]]))
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[[0, 2]][:, [0, 1, 2]].any()  # old and absent classes are not pushed
    assert (logits.grad[[1, 3]] != 0).all()  # exemplars compete among all
    plain = F.cross_entropy(logits, labels)
    assert not torch.isclose(plain, loss)


def test_er_ace_uses_it_from_the_second_phase_on(
    build: Build, phases: list[PhaseData], samples: Samples
) -> None:
    method = build(ERACE)
    batch = method.collate(list(samples.of_classes([0, 1])[:4]), None)
    method.begin_phase(phases[0], ListMemory())
    logits = method.model(batch.inputs)
    torch.testing.assert_close(method.loss(batch), asymmetric_loss(logits, batch.labels, 0))
    method.begin_phase(phases[1], ListMemory())
    mixed = method.collate(list(samples.of_classes([0, 3])[:12]), None)
    assert {0, 3} == set(mixed.labels.tolist())
    logits = method.model(mixed.inputs)
    torch.testing.assert_close(method.loss(mixed), asymmetric_loss(logits, mixed.labels, 2))


def test_er_ace_distils_where_it_is_asked_to(
    build: Build, phases: list[PhaseData], samples: Samples
) -> None:
    plain, distilling = build(ERACE), build(ERACE, distillation=0.7)
    mixed = plain.collate(list(samples.of_classes([0, 3])[:12]), None)
    losses = []
    for method in (plain, distilling):
        for phase in phases[:2]:
            method.begin_phase(phase, ListMemory())
        logits = method.model(mixed.inputs)
        losses.append(method.loss_of(logits, mixed.labels, method.former_logits(mixed)))
    kept = distilling.former_logits(mixed).div(2).softmax(1)
    logits = distilling.model(mixed.inputs)[:, :2]
    wanted = -(kept * logits.div(2).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(losses[1] - losses[0], 0.7 * wanted, atol=1e-5, rtol=1e-5)
