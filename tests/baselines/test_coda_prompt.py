"""CODA-Prompt: weights, prompts, penalties, schedule and orthogonal components by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from teaching import begun, taught, train

from baselines.coda_prompt import (
    CODAPrompt,
    assemble,
    distance_from_orthogonal,
    orthogonal_to,
    weights,
)
from benchmark.load_method import make_settings
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]
KEYS = torch.tensor([[1.0, 0], [0, 2]])
ATTENTION = torch.tensor([[1.0, 1], [0.5, 2]])
PROMPTS = torch.tensor([[[1.0, 1], [2, 2]], [[10, 10], [20, 20]]])


def test_a_prompt_by_hand() -> None:
    alpha = weights(torch.tensor([[3.0, 4]]), ATTENTION, KEYS)
    torch.testing.assert_close(alpha, torch.tensor([[0.6, 0.982872]]), atol=1e-6, rtol=0)
    keys, values = assemble(alpha, PROMPTS)
    torch.testing.assert_close(keys, torch.full((1, 1, 2), 10.428722), atol=1e-5, rtol=0)
    torch.testing.assert_close(values, torch.full((1, 1, 2), 20.857444), atol=1e-5, rtol=0)


def test_penalties_by_hand() -> None:
    found = [float(distance_from_orthogonal(x)) for x in (KEYS, ATTENTION, PROMPTS.flatten(1))]
    assert found == pytest.approx([2.25, 6.015625, 254520.5])
    assert 0.5 * sum(found) == pytest.approx(127264.38, abs=0.01)


def test_schedule_by_hand(build: Build) -> None:
    method = build(CODAPrompt)
    rates = [1e-3 * method.schedule(step, 50) for step in (0, 25, 49)]
    assert rates == pytest.approx([1e-3, 0.000701417, 1.5707e-5], rel=1e-4)
    assert method.schedule(0, 1) == 1.0


def test_components_are_orthogonal() -> None:
    """Two phases of two components in four dimensions, and the second beside trained ones."""
    generator = torch.Generator().manual_seed(0)
    first = orthogonal_to(torch.zeros(0, 4), 2, generator)
    rows = torch.cat([first, orthogonal_to(first, 2, generator)])
    torch.testing.assert_close(rows @ rows.T, torch.eye(4), atol=1e-4, rtol=0)
    trained = first * 3 + torch.tensor(
        [0.1, 0.0, 0.2, 0.0]
    )  # neither of unit length nor orthogonal
    new = orthogonal_to(trained, 2, generator)
    torch.testing.assert_close(new @ new.T, torch.eye(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(new @ trained.T, torch.zeros(2, 2), atol=1e-4, rtol=0)


def test_new_components_are_orthogonal_to_old(build: Build, phases: list[PhaseData]) -> None:
    first = begun(partial(build, CODAPrompt), phases[0])
    train(first, phases[0])
    second = begun(partial(build, CODAPrompt), phases[1], first.state())
    for name in ("keys", "attention", "prompts"):
        rows = second.model.components(name).detach().flatten(2)
        assert rows.shape[:2] == (3, 20)  # three layers; 32 components at most, 10 for each phase
        for layer in rows:
            products = layer @ layer[10:].T
            torch.testing.assert_close(products[10:], torch.eye(10), atol=1e-4, rtol=0)
            torch.testing.assert_close(products[:10], torch.zeros(10, 10), atol=1e-3, rtol=0)


@pytest.mark.parametrize("penalty", [0.0, 0.2])
def test_loss_by_hand(build: Build, phases: list[PhaseData], penalty: float) -> None:
    former = begun(partial(build, CODAPrompt, length=4), phases[0]).state()
    former = {name: tensor + 0.01 for name, tensor in former.items()}
    method = begun(partial(build, CODAPrompt, length=4, penalty=penalty), phases[1], former)
    batch = method.collate(list(phases[1].train[:4]), np.random.default_rng(0))
    old, new = method.model.parts
    prefixes, added = {}, 0.0
    for layer in range(3):
        prompts = torch.cat([old.prompts[layer], new.prompts[layer]])
        keys = torch.cat([old.keys[layer], new.keys[layer]])
        attention = torch.cat([old.attention[layer], new.attention[layer]])
        rows = []
        for query in batch.queries:
            alpha = [
                F.cosine_similarity(query * a, k, dim=0)
                for a, k in zip(attention, keys, strict=True)
            ]
            rows.append(sum(x * p for x, p in zip(alpha, prompts, strict=True)))
        made = torch.stack(rows)
        prefixes[layer] = made[:, :2], made[:, 2:]
        for matrix in (keys, attention, prompts.flatten(1)):
            unit = torch.eye(len(matrix))
            added = added + penalty * ((matrix @ matrix.T - unit) ** 2).mean()
    logits = method.model.classify(method.vilt.class_token(batch.inputs, prefixes=prefixes))
    wanted = F.cross_entropy(logits[:, 2:4], batch.labels - 2) + added
    torch.testing.assert_close(method.loss(batch), wanted)


def test_who_learns_what(build: Build, phases: list[PhaseData]) -> None:
    first = begun(partial(build, CODAPrompt), phases[0])
    head = {"head.weight", "head.bias"}
    parts = {f"parts.0.{name}" for name in ("prompts", "keys", "attention")}
    assert train(first, phases[0]) == head | parts
    second = begun(partial(build, CODAPrompt), phases[1], first.state())
    assert train(second, phases[1]) == head | {name.replace("0", "1") for name in parts}


@torch.no_grad()
def test_all_components_so_far_take_part_at_test(build: Build, phases: list[PhaseData]) -> None:
    method = taught(partial(build, CODAPrompt), phases)
    assert len(method.model.parts) == 3
    batch = method.collate(list(phases[0].train[:3]), None)
    before = method.predict(batch)
    for part in method.model.parts:
        part.prompts.add_(1.0)
        after = method.predict(batch)
        assert not torch.allclose(after, before)
        before = after


def test_components_that_cannot_be_orthogonal_are_refused(
    build: Build, phases: list[PhaseData]
) -> None:
    for count in (2, 33):
        with pytest.raises(UserError, match=f"components={count}: choose from 3, .* to 32"):
            begun(partial(build, CODAPrompt, components=count), phases[0])
    assert (
        begun(partial(build, CODAPrompt, components=7), phases[0]).model.parts[0].keys.shape[1] == 2
    )


def test_settings() -> None:
    for wrong in ("components=-1", "length=3", "length=0", "layers=0", "penalty=-1"):
        name, value = wrong.split("=")
        with pytest.raises(UserError, match=wrong):
            make_settings(CODAPrompt, "", {name: value})
