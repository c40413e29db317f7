"""Evidence per patch: by hand, and against what the last block computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.evidence import (
    SOURCES,
    attention_and_gradients,
    class_evidence,
    contributions,
    grad_attention,
    relevance,
)
from baselines.finetune import Finetune
from baselines.vilt import ViltInput, collate
from benchmark.data import Samples

Build = Callable[..., Any]


def test_contributions_by_hand() -> None:
    """One head, three tokens: the gradient by attention is g^T W_O v_j = (1, 2, 2)."""
    attention = torch.tensor([0.2, 0.5, 0.3], requires_grad=True)
    values = torch.tensor([[1.0, 0], [0, 2], [1, 1]])
    output = torch.tensor([[1.0, 2], [0, 1]])
    read = torch.tensor([1.0, -1]) @ (output @ (attention @ values))
    (gradient,) = torch.autograd.grad(read, attention)
    found = contributions(attention.view(1, 1, 3), gradient.view(1, 1, 3))[0]
    torch.testing.assert_close(found, torch.tensor([0.2, 1.0, 0.6]))
    assert found.sum().item() == pytest.approx(1.8)
    assert read.item() == pytest.approx(1.8)


def test_positive_parts_by_hand() -> None:
    attention = torch.tensor([[[0.2, 0.5, 0.3]]])
    found = grad_attention(attention, torch.tensor([[[0.1, -0.4, 0.6]]]))
    torch.testing.assert_close(found, torch.tensor([[0.02, 0, 0.18]]))


def test_relevance_by_hand() -> None:
    """Two tokens, two layers of one head: R = (1 + A2)(1 + A1), negative gradients dropped."""
    first = torch.tensor([[[[0.5, 0.5], [0.25, 0.75]]]])
    second = torch.tensor([[[[0.2, 0.8], [0.0, 1.0]]]])
    found = relevance([first, second], [torch.tensor([[[[1.0, 2], [4, -1]]]]), torch.ones(2, 2)])
    torch.testing.assert_close(found, torch.tensor([[[2.6, 2.0], [2.0, 2.0]]]))


@pytest.fixture
def model(build: Build) -> Any:
    """A classifier whose scales, shifts and head are far from where they start."""
    model = build(Finetune).model
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


@pytest.fixture
def inputs(build: Build, samples: Samples) -> list[ViltInput]:
    """Three inputs of three sizes."""
    method = build(Finetune)
    inputs = [method.input(sample) for sample in samples[:3]]
    assert len({input.grid for input in inputs}) == 3
    return inputs


@pytest.mark.parametrize("label", [0, 5])
def test_contributions_are_complete(model: Any, inputs: list[ViltInput], label: int) -> None:
    """All tokens and the bias together are g^T times what the last attention adds to [CLS]."""
    dense = model.vilt.model.encoder.layer[-1].attention.output.dense
    added: list[Tensor] = []
    handle = dense.register_forward_hook(lambda module, given, out: added.append(out))
    maps, gradients, logits = attention_and_gradients(
        model, collate(inputs[:1]), torch.tensor([label]), layers=1, create_graph=True
    )
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[0, label], added[0])
    bias = dense.base.bias * dense.scale + dense.shift
    tokens = contributions(maps[0][:, :, 0], gradients[0][:, :, 0])
    whole = (gradient[0, 0] @ added[0][0, 0]).item()
    assert (tokens.sum() + gradient[0, 0] @ bias).item() == pytest.approx(whole, abs=1e-5)
    assert abs(whole) > 0.01


@pytest.mark.parametrize("source", SOURCES)
def test_batch_mates_and_other_logits_do_not_matter(
    model: Any, inputs: list[ViltInput], source: str
) -> None:
    labels = torch.tensor([0, 3, 5])
    together, logits = class_evidence(model, collate(inputs), labels, source)
    torch.testing.assert_close(logits, model(collate(inputs)), atol=1e-5, rtol=1e-5)
    for row, input in enumerate(inputs):
        alone, _ = class_evidence(model, collate([input]), labels[row : row + 1], source)
        torch.testing.assert_close(together[row, : len(input.patch_indices)], alone[0])
        assert not together[row, len(input.patch_indices) :].any()
    others, _ = class_evidence(model, collate(inputs), (labels + 1) % 6, source)
    assert torch.equal(others, together) == (source == "attention")


def test_relevance_does_not_depend_on_batch_mates(model: Any, inputs: list[ViltInput]) -> None:
    def first_row(chosen: list[ViltInput]) -> Tensor:
        maps, gradients, _ = attention_and_gradients(model, collate(chosen), None, layers=3)
        assert len(maps) == len(gradients) == 3
        return relevance(maps, gradients)[:, 0]

    together = first_row(inputs)
    for row, input in enumerate(inputs):
        alone = first_row([input])[0]
        torch.testing.assert_close(together[row, : len(alone)], alone)
        assert not together[row, len(alone) :].any()


def test_a_frozen_backbone_has_evidence_too(build: Build, inputs: list[ViltInput]) -> None:
    model = build(Finetune, tuning="head").model
    found, _ = class_evidence(model, collate(inputs), torch.tensor([0, 1, 2]), "vcam")
    assert found.any()
    assert not any(p.requires_grad or p.grad is not None for p in model.vilt.parameters())


def test_no_gradient_is_left_behind(model: Any, inputs: list[ViltInput]) -> None:
    class_evidence(model, collate(inputs), torch.tensor([0, 1, 2]), "grad_attention")
    assert all(p.grad is None for p in model.parameters())
