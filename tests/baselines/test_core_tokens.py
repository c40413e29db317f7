"""Core Tokensets: the patches with the highest attribution, and a coreset by brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from memories import ListMemory

from baselines.core_tokens import CoreTokens, highest
from baselines.evidence import attention_and_gradients, relevance
from baselines.exemplars import selection
from baselines.vilt import collate
from benchmark.load_method import make_settings
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]


def test_a_share_is_kept() -> None:
    scores = np.array([3.0, 1, 2, 2])
    assert highest(scores, 0.1).tolist() == [True, False, False, False]
    assert highest(scores, 0.5).tolist() == [True, False, True, False]
    assert highest(scores, 1.0).all()
    rng = np.random.default_rng(0)
    for count in (16, 24, 144):
        assert highest(rng.random(count), 0.36).sum() == round(0.36 * count)


def test_the_highest_attribution_of_the_predicted_class_stays(
    build: Build, phases: list[PhaseData]
) -> None:
    method = build(CoreTokens)
    method.begin_phase(phases[1], ListMemory())
    with torch.no_grad():
        method.model.head.weight.mul_(20)
    inputs = [method.input(sample) for sample in phases[1].train]
    predicted = set()
    for input, masks in zip(inputs, method.masks(inputs), strict=True):
        batch = collate([input])
        label = method.model(batch).argmax(1)
        predicted.add(int(label))
        maps, gradients, _ = attention_and_gradients(method.model, batch, label, layers=3)
        scores = relevance(maps, gradients)[0, 0, len(input.token_ids) + 1 :].detach()
        assert np.allclose(masks.attention, scores, atol=1e-5)
        assert masks.words.all()
        assert masks.patches.sum() == round(0.36 * len(input.patch_indices))
        assert masks.attention[masks.patches].min() >= masks.attention[~masks.patches].max()
    assert len(predicted) > 1


def test_the_memory_holds_a_coreset(build: Build, phases: list[PhaseData]) -> None:
    memory = ListMemory(currency="samples")
    method = build(CoreTokens)
    method.begin_phase(phases[0], memory)
    method.end_phase(phases[0], memory)
    for label in phases[0].new:
        own = phases[0].train.of_classes([label])
        kept = {one.file_name: one.exemplar for one in memory.stored[label]}
        features = method.features([method.input(kept[name]) for name in own.file_names])
        order = [own.file_names[i] for i in selection.facility_location(features)]
        assert [one.file_name for one in memory.stored[label]] == order
        for exemplar in kept.values():
            input = method.input(exemplar)
            share = len(input.patch_indices) / (input.grid[0] * input.grid[1])
            assert exemplar.pixel_fraction == pytest.approx(share, abs=1 / 65535)
            assert share == pytest.approx(0.36, abs=0.03)


def test_greedy_facility_location_by_brute_force() -> None:
    rows = np.random.default_rng(1).normal(size=(9, 4))
    order = selection.facility_location(rows)
    assert sorted(order) == list(range(9))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def cover(chosen: list[int]) -> float:
        return sum(max(float(row @ units[i]) for i in chosen) for row in units)

    for count in range(9):
        best = max(cover([*order[:count], i]) for i in range(9) if i not in order[:count])
        assert cover(order[: count + 1]) == pytest.approx(best)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": "0"}, "keep=0.0: choose a number in"),
        ({"tau_image": "2"}, "attention and tau_image have no effect on core_tokens: set keep"),
        ({"attention": "mean"}, "attention and tau_image have no effect"),
        ({"mask_text": "true"}, "mask_text has no effect"),
        ({"selection": "craig"}, "selection=craig: choose one of herding, cosine, random, facil"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_settings(CoreTokens, "", settings)
