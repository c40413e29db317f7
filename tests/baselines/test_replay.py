"""Replay of whole samples, and what all methods on ViLT share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from baselines import selection
from baselines.learner import ViltLearner, distillation
from baselines.replay import Replay
from benchmark.budget import Budget
from benchmark.data import Samples, open_data
from benchmark.find_method import make_settings
from benchmark.memory import Exemplar, Memory
from benchmark.method import PhaseData, MethodContext
from mm_imagenet_r.errors import UserError

Make = Callable[..., Replay]


@pytest.fixture(scope="module")
def samples(coloured: Path) -> Samples:
    return open_data(str(coloured)).train


@pytest.fixture
def make(vilt_folder: Path) -> Make:
    def method(seed: int = 0, tuning: str = "ssf", **settings: str) -> Replay:
        context = MethodContext(6, str(vilt_folder), tuning, None, 4, seed, torch.device("cpu"))
        return Replay(context, make_settings(Replay, "", settings))

    return method


def memory_of(tmp_path: Path, room: float = 1e9, seen: int = 2) -> Memory:
    memory = Memory(tmp_path / "memory", Budget(room, "bytes", "per-class", 1.0))
    memory.open_phase(0, seen)
    return memory


def first_phase(samples: Samples) -> PhaseData:
    return PhaseData(0, range(2), 2, samples.of_classes(range(2)))


def test_exemplars_are_the_native_files_and_are_seen_like_the_samples(
    tmp_path: Path, make: Make, samples: Samples
) -> None:
    method, memory, phase = make(), memory_of(tmp_path), first_phase(samples)
    method.end_phase(phase, memory)
    by_name = {sample.file_name: sample for sample in phase.train}
    kept = [one for label in phase.new for one in memory.of_class(label)]
    assert {one.file_name for one in kept} == by_name.keys()
    for one in kept:
        sample, exemplar = by_name[one.file_name], one.exemplar
        assert (exemplar.image, exemplar.text) == (sample.image, sample.caption.encode())
        assert (exemplar.pixel_fraction, exemplar.extra, one.codec) == (1, b"", "native")
        old, new = method.view(exemplar), method.view(sample)
        assert np.array_equal(old.patches, new.patches)
        assert np.array_equal(old.words, new.words)


@pytest.mark.parametrize("kind", ["herding", "cosine", "random"])
def test_the_best_of_each_class_come_first(
    tmp_path: Path, make: Make, samples: Samples, kind: str
) -> None:
    method, memory, phase = make(selection=kind), memory_of(tmp_path), first_phase(samples)
    method.end_phase(phase, memory)
    for label in phase.new:
        own = phase.train.of_classes([label])
        features = method.features([method.view(sample) for sample in own])
        order = {
            "herding": selection.herding(features),
            "cosine": selection.by_cosine(features, selection.unit(features).mean(0)),
            "random": selection.at_random(len(own), method.context.rng(3, 0, label)),
        }[kind]
        names = own.file_names
        assert [one.file_name for one in memory.of_class(label)] == [names[i] for i in order]


def test_unknown_selection_is_refused(make: Make) -> None:
    with pytest.raises(UserError, match="selection=best: choose one of herding, cosine, random"):
        make(selection="best")


def test_the_seed_decides_what_is_drawn(make: Make) -> None:
    one, same, other = make(0).state(), make(0).state(), make(1).state()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    scale = next(name for name in one if name.endswith("scale"))
    assert not torch.equal(one[scale], other[scale])


def test_constructing_draws_from_no_global_generator(make: Make) -> None:
    before = torch.get_rng_state()
    make()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("tuning", ["ssf", "full", "head"])
def test_what_is_trained_is_what_is_carried_on(make: Make, tuning: str) -> None:
    method = make(tuning=tuning)
    trained = {n for n, p in method.model.named_parameters() if p.requires_grad}
    assert method.state().keys() == trained
    assert ("head.weight" in trained, any("query.weight" in n for n in trained)) == (
        True, tuning == "full",
    )  # fmt: skip
    frozen = {n: p.clone() for n, p in method.model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW(method.parameter_groups(0.1), lr=0.1)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    after = dict(method.model.named_parameters())
    assert all(torch.equal(after[name], tensor) for name, tensor in frozen.items())


def test_the_head_grows_by_counting(make: Make, samples: Samples, tmp_path: Path) -> None:
    method = make()
    method.begin_phase(first_phase(samples), memory_of(tmp_path))
    batch = method.collate(list(samples[:3]), None)
    assert method.predict(batch).shape == (3, 2)
    method.begin_phase(PhaseData(1, range(2, 5), 5, samples), memory_of(tmp_path))
    scores = method.predict(batch)
    assert scores.shape == (3, 5)
    method.loss(batch).backward()
    gradient = method.model.head.weight.grad
    assert gradient is not None
    assert gradient[:5].abs().sum(1).min() > 0
    assert gradient[5].abs().sum() == 0


def test_loss_is_cross_entropy_and_distillation_by_the_former_model(
    make: Make, samples: Samples, tmp_path: Path
) -> None:
    method = make(distillation="0.7", temperature="3")
    batch = method.collate(list(samples.of_classes([0, 3])[:4]), None)
    method.begin_phase(first_phase(samples), memory_of(tmp_path))
    assert method.teacher is None
    before = method.predict(batch).detach()
    method.begin_phase(PhaseData(1, range(2, 4), 4, samples), memory_of(tmp_path))
    with torch.no_grad():
        for parameter in method.model.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)
    scores = method.predict(batch)
    wanted = F.cross_entropy(scores, batch.labels)
    wanted = wanted + 0.7 * distillation(scores[:, :2], before, 3.0)
    torch.testing.assert_close(method.loss(batch), wanted)
    method.loss(batch).backward()
    assert all(p.grad is None for p in method.teacher.parameters())  # type: ignore[union-attr]
    assert not any("teacher" in name for name in method.state())


def test_distillation_is_the_cross_entropy_of_softened_outputs() -> None:
    new = torch.tensor([[2.0, 0, 1], [0, 1, 3]])
    old = torch.tensor([[1.0, 0], [0, 2]])
    labels = torch.tensor([0, 2])
    kd = distillation(new[:, :2], old, 2.0)
    assert float(F.cross_entropy(new, labels)) == pytest.approx(0.288726, abs=1e-6)
    assert float(kd) == pytest.approx(0.649675, abs=1e-6)


def test_views_are_decoded_once_and_no_more_than_there_is_room(
    make: Make, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make()
    assert method.view(samples[0]) is method.view(samples[0])
    monkeypatch.setattr(method, "_room", 0)
    assert method.view(samples[1]) is not method.view(samples[1])
    exemplar = Exemplar(0, samples[2].image, b"a cat")
    assert method.view(exemplar) is not method.view(exemplar)


def test_features_do_not_depend_on_batch_mates(make: Make, samples: Samples) -> None:
    method = make()
    views = [method.view(sample) for sample in samples[:7]]
    together = method.features(views)
    alone = np.concatenate([method.features([view]) for view in views])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_provenance_is_of_the_pretrained_weights_alone(make: Make) -> None:
    one, other, full = make(0).provenance(), make(1).provenance(), make(0, "full").provenance()
    assert one == other == full
    count = sum(
        p.numel() for p in ViltLearner(make().context, make().settings).model.vilt.parameters()
    )
    assert one["parameters"] < count  # scales and shifts are not among them


def test_captions_that_lose_their_end_are_counted_once(
    tmp_path: Path, make: Make, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    method, phase = make(), first_phase(samples)
    method.begin_phase(phase, memory_of(tmp_path))
    assert not caplog.messages
    method.preprocessor.max_text_length = 3
    method.begin_phase(phase, memory_of(tmp_path))
    cut = sum(len(caption.split()) > 1 for caption in phase.train.captions)
    assert f"note: {cut} of the {len(phase.train)} captions" in caplog.messages[0]
    method.begin_phase(PhaseData(1, range(2, 4), 4, samples), memory_of(tmp_path))
    assert len(caplog.messages) == 1


def test_a_test_sample_is_never_answered_from_a_training_sample_of_its_name(
    make: Make, samples: Samples
) -> None:
    """Names of test samples are numbers; those of a table without names may be the same ones."""
    method = make()
    one, other = samples[0], samples[7]
    method.view(dataclasses.replace(one, file_name="test/0"))
    unknown = dataclasses.replace(other, file_name="test/0", label=-1)
    seen = method.collate([unknown], None).views
    assert torch.equal(seen.patches, torch.from_numpy(method.see(other).patches))
