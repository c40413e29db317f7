"""Queries are asked for once a phase, and give the same digits as if they were asked each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from teaching import begun, taught, train

from baselines.coda_prompt import CODAPrompt
from baselines.dualprompt import DualPrompt
from baselines.l2p import L2P
from baselines.prompts import GrowingPrompts, PromptMethod
from baselines.vilt import collate
from benchmark.method import PhaseData

Build = Callable[..., Any]
prompt_methods = pytest.mark.parametrize("kind", [L2P, DualPrompt, CODAPrompt])
growing = pytest.mark.parametrize("kind", [DualPrompt, CODAPrompt])


def counting(method: Any) -> list[int]:
    """Sizes of the batches that queries are asked for."""
    sizes: list[int] = []
    query = method.model.query

    def counted(batch: Any) -> torch.Tensor:
        sizes.append(len(batch))
        found: torch.Tensor = query(batch)
        return found

    method.model.query = counted
    return sizes


@prompt_methods
def test_each_sample_is_queried_once_a_phase(
    build: Build, phases: list[PhaseData], kind: type[PromptMethod]
) -> None:
    method = build(kind)
    sizes = counting(method)
    begun(lambda: method, phases[0])
    assert sum(sizes) == len(phases[0].train)
    assert max(sizes) <= method.context.batch_size
    train(method, phases[0], 9)
    assert sum(sizes) == len(phases[0].train)


@prompt_methods
def test_the_cache_changes_no_digit(
    build: Build, phases: list[PhaseData], kind: type[PromptMethod]
) -> None:
    """Queries asked for again before each step, after training has changed the prompts."""

    class Uncached(kind):  # type: ignore[misc, valid-type]
        def collate(self, items: Sequence[Any], rng: Any) -> Any:
            self.model.eval()
            inputs = self.inputs(phases[0].train)
            again = torch.from_numpy(self.features(inputs, self.model.query))
            self._queries = dict(zip(phases[0].train.file_names, again, strict=True))
            self.model.train()
            return super().collate(items, rng)

    cached, uncached = (begun(partial(build, made), phases[0]) for made in (kind, Uncached))
    sizes = counting(uncached)
    changed = [train(method, phases[0], 4) for method in (cached, uncached)]
    assert sum(sizes) == 4 * len(phases[0].train)
    assert changed[0] == changed[1] != set()
    one, other = cached.state(), uncached.state()
    assert all(torch.equal(one[name], other[name]) for name in one)


@prompt_methods
def test_a_query_is_the_class_token_without_prompts(
    build: Build, phases: list[PhaseData], kind: type[PromptMethod]
) -> None:
    method = begun(partial(build, kind), phases[0])
    items = list(phases[0].train[3:7])
    batch = method.collate(items, torch.Generator())
    plain = method.vilt(collate([method.input(item) for item in items])).hidden[:, 0]
    torch.testing.assert_close(batch.queries, plain, atol=1e-5, rtol=0)
    assert not batch.queries.requires_grad


@growing
def test_what_former_phases_learnt_stays(
    build: Build, phases: list[PhaseData], kind: type[GrowingPrompts]
) -> None:
    first = begun(partial(build, kind), phases[0])
    changed = train(first, phases[0])
    assert any(name.startswith("parts.0.") for name in changed)
    second = begun(partial(build, kind), phases[1], first.state())
    changed = train(second, phases[1])
    assert any(name.startswith("parts.1.") for name in changed)
    assert not any(name.startswith(("parts.0.", "vilt.")) for name in changed)
    before, after = first.state(), second.state()
    old = [name for name in before if name.startswith("parts.")]
    assert old
    assert all(torch.equal(before[name], after[name]) for name in old)
    assert torch.equal(before["head.weight"][:2], after["head.weight"][:2])


@prompt_methods
def test_only_prompts_of_phases_seen_are_carried_on(
    build: Build, phases: list[PhaseData], kind: type[PromptMethod]
) -> None:
    for count in (1, 3):
        method = taught(partial(build, kind), phases[:count])
        state = method.state()
        assert not any(name.startswith("vilt.") for name in state)
        parts = {name.split(".")[1] for name in state if name.startswith("parts.")}
        assert len(parts) == (0 if kind is L2P else count)
        trained = dict(method.model.named_parameters())
        assert all(name in trained for name in state)


@growing
def test_a_state_of_other_shapes_is_refused(
    build: Build, phases: list[PhaseData], kind: type[GrowingPrompts]
) -> None:
    state = begun(partial(build, kind), phases[0]).state()
    with pytest.raises(ValueError, match="does not fit: nonsense"):
        build(kind).load_state({**state, "nonsense": torch.zeros(1)})
    del state["head.bias"]
    with pytest.raises(ValueError, match=r"does not fit: head\.bias"):
        build(kind).load_state(state)
