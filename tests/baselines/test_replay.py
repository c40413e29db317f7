"""Replay of whole samples, and what all methods on ViLT share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from memories import ListMemory
from safetensors.torch import load_file
from transformers import AutoTokenizer, ViltModel, ViltProcessor
from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

from baselines.exemplars import selection
from baselines.l2p import L2P
from baselines.replay import Replay
from benchmark.data import Samples
from benchmark.exemplar import Exemplar
from benchmark.method import Method, PhaseData
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.images import rgb

Make = Callable[..., Replay]


@pytest.fixture
def make(build: Callable[..., Replay]) -> Make:
    return functools.partial(build, Replay)


def test_exemplars_are_the_native_files_and_are_seen_like_the_samples(
    make: Make, phases: list[PhaseData]
) -> None:
    method, memory, phase = make(), ListMemory(), phases[0]
    method.end_phase(phase, memory)
    by_name = {sample.file_name: sample for sample in phase.train}
    kept = [one for label in phase.new for one in memory.stored[label]]
    assert {one.file_name for one in kept} == by_name.keys()
    for one in kept:
        sample, exemplar = by_name[one.file_name], one.exemplar
        assert (exemplar.image, exemplar.text) == (sample.image, sample.caption.encode())
        assert (exemplar.pixel_fraction, exemplar.extra, one.codec) == (1, b"", "native")
        old, new = method.input(exemplar), method.input(sample)
        assert np.array_equal(old.patches, new.patches)
        assert np.array_equal(old.token_ids, new.token_ids)


@pytest.mark.parametrize("kind", ["herding", "cosine", "random"])
def test_the_best_of_each_class_come_first(make: Make, phases: list[PhaseData], kind: str) -> None:
    method, memory, phase = make(selection=kind), ListMemory(), phases[0]
    method.end_phase(phase, memory)
    for label in phase.new:
        own = phase.train.of_classes([label])
        features = method.features([method.input(sample) for sample in own])
        order = {
            "herding": selection.herding(features),
            "cosine": selection.by_cosine(features, selection.unit(features).mean(0)),
            "random": selection.at_random(len(own), method.context.rng("selection", 0, label)),
        }[kind]
        names = own.file_names
        assert memory.names(label) == [names[i] for i in order]


def test_unknown_selection_is_refused(make: Make) -> None:
    with pytest.raises(UserError, match="selection=best: choose one of herding, cosine, random"):
        make(selection="best")


def test_the_seed_decides_what_is_drawn(make: Make) -> None:
    one, same, other = make().state(), make().state(), make(seed=1).state()
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


def test_the_head_grows_by_counting(make: Make, phases: list[PhaseData]) -> None:
    method = make()
    method.begin_phase(phases[0], ListMemory())
    batch = method.collate(list(phases[0].train[:3]), None)
    assert method.model(batch.inputs).shape == (3, 2)
    method.begin_phase(PhaseData(1, range(2, 5), 5, phases[0].train), ListMemory())
    scores = method.model(batch.inputs)
    assert scores.shape == (3, 5)
    method.loss(batch).backward()
    gradient = method.model.head.weight.grad
    assert gradient is not None
    assert gradient[:5].abs().sum(1).min() > 0
    assert gradient[5].abs().sum() == 0


def test_views_are_decoded_once_and_no_more_than_there_is_room(
    make: Make, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make()
    assert method.input(samples[0]) is method.input(samples[0])
    monkeypatch.setattr(method, "_room", 0)
    assert method.input(samples[1]) is not method.input(samples[1])
    exemplar = Exemplar(0, samples[2].image, b"a cat")
    assert method.input(exemplar) is not method.input(exemplar)


def test_features_do_not_depend_on_batch_mates(make: Make, samples: Samples) -> None:
    method = make()
    inputs = [method.input(sample) for sample in samples[:7]]
    together = method.features(inputs)
    alone = np.concatenate([method.features([input]) for input in inputs])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_provenance_is_of_the_pretrained_weights_alone(make: Make) -> None:
    one, other, full = (
        make().provenance(),
        make(seed=1).provenance(),
        make(tuning="full").provenance(),
    )
    assert one == other == full
    count = sum(p.numel() for p in make().vilt.parameters())
    assert one["parameters"] < count  # scales and shifts are not among them


def test_captions_that_lose_their_end_are_counted_once(
    make: Make, phases: list[PhaseData], caplog: pytest.LogCaptureFixture
) -> None:
    method, phase = make(), phases[0]
    method.begin_phase(phase, ListMemory())
    assert not caplog.messages
    method.preprocessor.max_text_length = 3
    method.begin_phase(phase, ListMemory())
    cut = sum(len(caption.split()) > 1 for caption in phase.train.captions)
    assert f"note: {cut} of the {len(phase.train)} captions" in caplog.messages[0]
    method.begin_phase(phases[1], ListMemory())
    assert len(caplog.messages) == 1


def test_a_test_sample_is_never_answered_from_a_training_sample_of_its_name(
    make: Make, samples: Samples
) -> None:
    """Names of test samples are numbers; those of a table without names may be the same ones."""
    method = make()
    one, other = samples[0], samples[7]
    method.input(dataclasses.replace(one, file_name="test/0"))
    unknown = dataclasses.replace(other, file_name="test/0", label=-1)
    seen = method.collate([unknown], None).inputs
    assert torch.equal(seen.patches, torch.from_numpy(method.see(other).patches))


def test_transformers_reads_what_is_saved(make: Make, samples: Samples, tmp_path: Path) -> None:
    method = make()
    method.begin_test(4, ListMemory())
    before = method.state()
    method.save_pretrained(tmp_path, ["ant", "bee", "cat", "dog"])
    model = ViltModel.from_pretrained(tmp_path)
    processor = ViltProcessor(
        ViltImageProcessorPil.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    )
    head = load_file(tmp_path / "classifier.safetensors")
    assert model.config.id2label[2] == "cat"
    for sample in samples[:3]:
        inputs = processor(rgb(sample.image), sample.caption, return_tensors="pt")
        with torch.no_grad():
            pooled = model(**inputs).pooler_output
            own = method.predict(method.collate([sample], None))["linear"]
        theirs = pooled @ head["weight"].T + head["bias"]
        torch.testing.assert_close(theirs, own, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in method.state().items())


@pytest.mark.parametrize("kind", [L2P])
def test_who_is_no_vilt_with_a_linear_head(
    build: Callable[..., Method], kind: type[Method], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="cannot be saved as a model"):
        build(kind).save_pretrained(tmp_path, ["ant"])
