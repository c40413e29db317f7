"""Exemplar masking: what is kept of a sample, what training sees, what lies in the memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from memories import ListMemory

from baselines.exemplar_masking import ExemplarMasking, MaskingSettings
from baselines.exemplars import codecs, selection
from baselines.exemplars.pictures import available
from baselines.random_patches import RandomPatches
from baselines.vilt import ViltInput, collate
from benchmark.data import Samples
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.load_method import make_settings
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError

Make = Callable[..., ExemplarMasking]


@pytest.fixture
def make(build: Callable[..., ExemplarMasking]) -> Make:
    def method(
        kind: type[ExemplarMasking] = ExemplarMasking, preset: str = "", **settings: object
    ) -> ExemplarMasking:
        return build(kind, preset, **{"codec": "raw"} | settings)

    return method


@pytest.fixture
def phase(phases: list[PhaseData]) -> PhaseData:
    return phases[0]


@pytest.fixture
def memory() -> ListMemory:
    return ListMemory()


def same(one: ViltInput, other: ViltInput) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(ViltInput)
    )


def test_patches_above_their_own_mean_stay(make: Make, samples: Samples) -> None:
    method = make()
    inputs = [method.input(sample) for sample in samples[:9]]
    for input, masks in zip(inputs, method.masks(inputs), strict=True):
        assert masks.patches.tolist() == (masks.attention > masks.attention.mean()).tolist()
        assert 0 < masks.patches.sum() < len(input.patches)
        assert masks.words.all()  # the text stays whole by default
    tight, loose = (make(tau_image=tau).masks(inputs) for tau in (1.3, 0.7))
    for few, many in zip(tight, loose, strict=True):
        assert (few.patches <= many.patches).all()


def test_words_go_by_what_the_discarded_patches_attend_to(make: Make, samples: Samples) -> None:
    method = make(mask_text=True, attention="mean")
    inputs = [method.input(sample) for sample in samples[:5]]
    for input, masks in zip(inputs, method.masks(inputs), strict=True):
        special = np.isin(
            input.token_ids, [method.preprocessor.cls_token_id, method.preprocessor.sep_token_id]
        )
        assert masks.words[special].all()
        assert 0 < masks.words[~special].sum() < (~special).sum()
        # By hand, on the sample alone: mean over discarded patches, layers and heads.
        out = method.model.vilt(collate([input]), attentions=True)
        attention = torch.stack([layer.mean(1) for layer in out.attentions]).mean(0)[0]
        rows = attention[out.first_patch :][~torch.from_numpy(masks.patches)]
        scores = rows[:, : len(input.token_ids)].mean(0).detach().numpy()
        own = scores[~special]
        assert masks.words[~special].tolist() == (own > own.mean()).tolist()


def test_masks_do_not_depend_on_batch_mates(make: Make, samples: Samples) -> None:
    for kind in (ExemplarMasking, RandomPatches):
        method = make(kind, mask_text=True)
        inputs = [method.input(sample) for sample in samples[:7]]
        for input, masks in zip(inputs, method.masks(inputs), strict=True):
            (alone,) = method.masks([input])
            assert np.array_equal(alone.patches, masks.patches)
            assert np.array_equal(alone.words, masks.words)


def test_random_patches_keep_as_many_as_attention_does(make: Make, samples: Samples) -> None:
    attended, drawn = make(), make(RandomPatches)
    inputs = [attended.input(sample) for sample in samples[:12]]
    pairs = list(zip(attended.masks(inputs), drawn.masks(inputs), strict=True))
    assert all(a.patches.sum() == b.patches.sum() for a, b in pairs)
    assert any((a.patches != b.patches).any() for a, b in pairs)


@pytest.mark.parametrize("kind", ["cosine", "herding", "random"])
def test_the_memory_holds_masked_samples_best_first(
    make: Make, phase: PhaseData, memory: ListMemory, kind: str
) -> None:
    method = make(selection=kind, mask_text=True)
    method.begin_phase(phase, memory)
    method.end_phase(phase, memory)
    for label in phase.new:
        own = phase.train.of_classes([label])
        whole = [method.input(sample) for sample in own]
        masked = [
            input.keep(masks.patches, masks.words)
            for input, masks in zip(whole, method.masks(whole), strict=True)
        ]
        center = selection.unit(method.features(whole)).mean(0)
        order = {
            "cosine": selection.by_cosine(method.features(masked), center),
            "herding": selection.herding(method.features(masked)),
            "random": selection.at_random(len(own), method.context.rng("selection", 0, label)),
        }[kind]
        kept = memory.stored[label]
        assert [one.file_name for one in kept] == [own.file_names[i] for i in order]
        for one, i in zip(kept, order, strict=True):
            assert same(method.input(one.exemplar), masked[i])
            share = len(masked[i].patch_indices) / (masked[i].grid[0] * masked[i].grid[1])
            assert one.exemplar.pixel_fraction == pytest.approx(share, abs=1 / 65535)


def test_what_is_stored_is_what_training_gets_back(
    make: Make, phase: PhaseData, memory: ListMemory
) -> None:
    """Compressed pixels, not the originals: the decoded record and nothing else."""
    method = make(codec="jpeg", quality=30)
    method.end_phase(phase, memory)
    (one, *_) = memory.stored[0]
    assert one.codec == "jpeg"
    seen = make(codec="jpeg", quality=30).input(one.exemplar)
    patches, patch_indices, grid = codecs.decode_patches(one.exemplar.image, 16)
    assert np.array_equal(seen.patches, patches)
    assert (np.array_equal(seen.patch_indices, patch_indices), seen.grid) == (True, grid)
    (sample,) = [s for s in phase.train if s.file_name == one.file_name]
    original = method.input(sample).patches[
        np.isin(method.input(sample).patch_indices, patch_indices)
    ]
    assert not np.array_equal(original, patches)
    assert np.abs(original.astype(int) - patches).mean() < 40


def test_the_codec_is_the_smallest_that_is_true_enough(
    make: Make, phase: PhaseData, memory: ListMemory
) -> None:
    make(codec="auto", min_psnr=20).end_phase(phase, memory)
    auto = memory.total()
    codec = memory.stored[0][0].codec
    assert codec in available()
    for named in ({"codec": "raw"}, {"codec": "jpeg", "min_psnr": 20}):
        make(**named).end_phase(phase, memory)
        assert memory.total() >= auto


@pytest.mark.parametrize(("chance", "masked"), [(0.0, 0), (1.0, 12)])
def test_new_samples_are_masked_by_chance(
    make: Make, phase: PhaseData, memory: ListMemory, chance: float, masked: int
) -> None:
    method = make(mask_prob=chance)
    method.begin_phase(phase, memory)
    inputs = method.augment(list(phase.train), np.random.default_rng(0))
    assert sum(len(v.patch_indices) < v.grid[0] * v.grid[1] for v in inputs) == masked
    whole = method.collate(list(phase.train), None)
    assert len(whole.inputs.patches) == sum(v.grid[0] * v.grid[1] for v in inputs)


@pytest.mark.parametrize("text_swap_prob", [0.0, 0.5, 1.0])
def test_exemplars_swap_texts_within_their_class(
    make: Make, phase: PhaseData, memory: ListMemory, text_swap_prob: float
) -> None:
    for label in phase.new:
        ids = [4 + label * 3 + n for n in range(3)]
        memory.keep(label, [_kept(make(), phase, label, n, ids[n]) for n in range(3)])
    method = make(text_swap_prob=text_swap_prob, mask_prob=0)
    method.begin_phase(phase, memory)
    exemplars = memory.exemplars() * 8
    inputs = method.augment(exemplars, np.random.default_rng(1))
    again = method.augment(exemplars, np.random.default_rng(1))
    swapped = 0
    for exemplar, input, twin in zip(exemplars, inputs, again, strict=True):
        assert same(input, twin)
        own = method.input(exemplar)
        assert np.array_equal(input.patches, own.patches)
        assert int(input.token_ids[0]) in [4 + exemplar.label * 3 + n for n in range(3)]
        swapped += not np.array_equal(input.token_ids, own.token_ids)
    assert (swapped > 0) == (text_swap_prob > 0)
    assert swapped < len(exemplars)


def _kept(method: ExemplarMasking, phase: PhaseData, label: int, number: int, word: int) -> Any:
    input = method.input(phase.train.of_classes([label])[number])
    input = dataclasses.replace(
        input, token_ids=np.array([word]), positions=np.array([0]), text_length=1
    )
    image = codecs.encode_patches(input, "raw")
    return StoredExemplar(Exemplar(label, image, codecs.encode_text(input)), f"{label}/{number}")


def test_pictures_for_the_report_show_what_is_stored(
    make: Make, phase: PhaseData, memory: ListMemory
) -> None:
    for kind in (ExemplarMasking, RandomPatches):
        method = make(kind)
        method.begin_phase(phase, memory)
        method.end_phase(phase, memory)
        pictures = method.gallery(phase, memory)
        assert len(pictures) == 2
        for picture in pictures:
            first = memory.stored[picture["label"]][0]
            assert first.file_name == picture["file_name"]
            stored = method.input(first.exemplar)
            assert np.flatnonzero(picture["kept"]).tolist() == stored.patch_indices.tolist()
            assert picture["bytes"] == first.exemplar.nbytes


def test_the_papers_settings_have_a_name(make: Make) -> None:
    settings = make(preset="figures").settings
    assert (settings.attention, settings.mask_text, settings.mask_prob) == ("last", True, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "first"}, "attention=first: choose one of last, mean, rollout"),
        ({"selection": "best"}, "selection=best: choose one of herding, cosine, random"),
        ({"codec": "gif"}, "codec=gif: choose one of auto, raw"),
        ({"mask_prob": "1.5"}, "mask_prob=1.5: choose a number in"),
        ({"text_swap_prob": "-1"}, "text_swap_prob=-1.0: choose a number in"),
        ({"tau_text": "2"}, "tau_text has no effect without mask_text=true"),
        ({"temperature": "3"}, "temperature has no effect without distillation"),
        ({"tau_image": "-1"}, "tau_image=-1.0: choose a number in"),
        ({"codec": "jpeg", "quality": "101"}, "quality=101: choose a number in"),
        ({"quality": "50"}, "quality=50: codec=auto has none; name another"),
        ({"codec": "raw", "quality": "50"}, "quality=50: codec=raw has none; name another"),
        ({"codec": "raw", "min_psnr": "40"}, "min_psnr has no effect with a quality or a lossless"),
        ({"codec": "jpeg", "quality": "50", "min_psnr": "40"}, "min_psnr has no effect"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_settings(ExemplarMasking, "", settings)
    assert MaskingSettings().codec == "auto"
