"""DualPrompt: prefixes and keys by hand, and who learns what when."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from teaching import begun, taught, train

from baselines.dualprompt import DualPrompt, gather, nearest, split_layers
from benchmark.load_method import make_settings
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]


def pool_by_hand() -> torch.Tensor:
    """Three prompts of one layer: keys 10, 11, 12 and values 20, 21, 22."""
    return torch.tensor([[10.0, 20], [11, 21], [12, 22]]).view(3, 1, 2, 1, 1)


def test_each_sample_gets_keys_and_values_of_its_own_prompt() -> None:
    """A reshape in place of a permutation would give (11, 11) to two samples, (21, 21) to two."""
    same = gather(pool_by_hand(), torch.tensor([1, 1, 1, 1]), range(2, 3))[2]
    assert [part.flatten().tolist() for part in same] == [[11] * 4, [21] * 4]
    own = gather(pool_by_hand(), torch.tensor([2, 0]), range(2, 3))[2]
    assert [part.flatten().tolist() for part in own] == [[12, 10], [22, 20]]
    drawn = torch.randn(3, 2, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    found = gather(drawn, torch.tensor([2, 1]), range(1, 3))
    assert set(found) == {1, 2}
    for sample, prompt in enumerate((2, 1)):
        for layer in (1, 2):
            for kind in (0, 1):
                assert torch.equal(found[layer][kind][sample], drawn[prompt, layer - 1, kind])


def test_the_phase_is_inferred_from_keys() -> None:
    keys = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    queries = torch.tensor([[0.6, 0.8], [-2, 0.1]])
    assert nearest(queries, keys).tolist() == [1, 2]
    assert nearest(queries * 7, keys * torch.tensor([[9.0], [0.1], [3]])).tolist() == [1, 2]


def test_layers_of_backbones_of_any_depth() -> None:
    assert split_layers(12, 2, 3) == (range(2), range(2, 5))  # the paper's
    assert split_layers(4, 2, 3) == (range(2), range(2, 4))
    assert split_layers(1, 2, 3) == (range(0), range(1))
    assert split_layers(12, 0, 12) == (range(0), range(12))


def test_parameters_of_the_paper() -> None:
    """For ViT-B: G-prompts of length 5 in two layers, E-prompts of length 20 in three, ten keys."""
    g, e = split_layers(12, 2, 3)
    assert len(g) * 2 * 5 * 768 + 10 * (len(e) * 2 * 20 * 768 + 768) == 944_640


def test_loss_by_hand(build: Build, phases: list[PhaseData]) -> None:
    method = begun(
        partial(build, DualPrompt, pull=0.3),
        phases[1],
        begun(partial(build, DualPrompt), phases[0]).state(),
    )
    batch = method.collate(list(phases[1].train[:4]), np.random.default_rng(0))
    newest = method.model.experts[1]
    prefixes = {0: tuple(method.model.general[0]), 1: tuple(method.model.general[1])}
    prefixes[2] = tuple(newest.prompts[0])
    logits = method.model.classify(method.vilt.class_token(batch.inputs, prefixes=prefixes))
    cosine = F.cosine_similarity(batch.queries, newest.key[None]).mean()
    wanted = F.cross_entropy(logits[:, 2:4], batch.labels - 2) - 0.3 * cosine
    torch.testing.assert_close(method.loss(batch), wanted)


def test_who_learns_what(build: Build, phases: list[PhaseData]) -> None:
    first = begun(partial(build, DualPrompt), phases[0])
    own = {"general", "head.weight", "head.bias"}
    assert train(first, phases[0]) == own | {"parts.0.prompts", "parts.0.key"}
    second = begun(partial(build, DualPrompt), phases[1], first.state())
    former, new = second.model.experts
    assert torch.equal(new.prompts, former.prompts)
    assert not torch.equal(new.key, former.key)
    before = second.state()["head.weight"]
    assert train(second, phases[1]) == own | {"parts.1.prompts", "parts.1.key"}
    changed = (second.state()["head.weight"] != before).any(1).tolist()
    assert changed == [False, False, True, True, False, False]
    for parameter in second.model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(1e6)
    second.before_step()
    squares = [p.grad.square().sum() for p in second.model.parameters() if p.grad is not None]
    assert float(sum(squares)) == pytest.approx(1.0, abs=1e-4)


@torch.no_grad()
def test_a_sample_is_tested_with_the_prompt_of_the_nearest_key(
    build: Build, phases: list[PhaseData]
) -> None:
    method = taught(partial(build, DualPrompt), phases[:2])
    batch = method.collate(list(phases[0].train[:3]) + list(phases[1].train[:3]), None)
    queries = method.model.query(batch.inputs)
    first, second = method.model.experts
    first.key.copy_(queries[1])  # of another length than the others, which does not matter
    second.key.copy_(-queries[1])
    second.prompts.add_(3.0)
    with_first = method.predict(batch)
    second.prompts.add_(3.0)
    assert torch.equal(method.predict(batch)[1], with_first[1])
    second.key.copy_(queries[1] * 9)
    first.key.copy_(-queries[1])
    assert not torch.allclose(method.predict(batch)[1], with_first[1])
    assert method.predict(batch).shape == (6, 4)


def test_settings(build: Build) -> None:
    for wrong in ("g_length=0", "e_length=0", "e_layers=0", "g_layers=-1", "pull=0", "init=0"):
        name, value = wrong.split("=")
        with pytest.raises(UserError, match=wrong):
            make_settings(DualPrompt, "", {name: value})
    assert build(DualPrompt).schedule(7, 10) == 1.0
    assert isinstance(
        build(DualPrompt).optimizer([{"params": [torch.zeros(1)]}], 0.1), torch.optim.Adam
    )
