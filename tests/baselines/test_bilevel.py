"""What CIM learns: twins of activations, and the gradient of the outer loss by finite changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.bilevel import MaskNetwork, Rational, outer_loss, rational_gelu, twins
from baselines.finetune import Finetune
from baselines.learner import Labelled
from baselines.vilt import collate
from benchmark.data import Sample, Samples
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]


def test_twins_are_nearly_gelu() -> None:
    x = torch.linspace(-3, 3, 61)
    phi = rational_gelu(12)
    assert phi.numel() == 120
    error = (Rational(phi[0])(x) - torch.nn.functional.gelu(x)).abs().max()
    assert float(error) < 0.02
    by_hand = (1 * 2 + 3) / (1 + 1 * 2 + 4 * 2**4)
    coefficients = torch.tensor([3.0, 1, 0, 0, 0, 0, -1, 0, 0, 4])
    assert float(Rational(coefficients)(torch.tensor(2.0))) == pytest.approx(by_hand)
    assert float(Rational(coefficients)(torch.tensor(-2.0))) == pytest.approx(1 / 67)


def labelled(method: Any, samples: Sequence[Sample]) -> Labelled:
    inputs = collate([method.input(sample) for sample in samples])
    return Labelled(inputs, torch.tensor([sample.label for sample in samples]))


@pytest.fixture
def method(build: Build) -> Any:
    """In double precision, for differences."""
    method = build(Finetune)
    method.model.double()
    return method


def test_the_model_is_left_as_it_was(method: Any, samples: Samples) -> None:
    batch = labelled(method, samples[:3])
    before = method.model(batch.inputs)

    def fail() -> None:
        with twins(method.vilt, rational_gelu(3).double() * 2):
            assert not torch.allclose(method.model(batch.inputs), before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(method.model(batch.inputs), before)


@pytest.mark.parametrize("source", ["vcam", "grad_attention"])
def test_the_outer_gradient_is_that_of_finite_changes(
    method: Any, samples: Samples, source: str
) -> None:
    """Through the step on paper, the map and both passes; a large step, so that it matters."""
    first, second = labelled(method, samples[5:8]), labelled(method, samples[20:24])

    def loss(phi: Tensor, learning_rate: float = 5.0) -> Tensor:
        return outer_loss(
            method.model, phi, first, second, source=source, eta=4, learning_rate=learning_rate
        )

    phi = rational_gelu(3).double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(phi), phi)
    assert gradient.isfinite().all()
    (without,) = torch.autograd.grad(loss(phi, 0.0), phi)
    through_step = (gradient - without).abs().max() / gradient.abs().max()
    assert through_step > 1e-3
    for layer, place in [(0, 1), (1, 0), (1, 3), (1, 7), (0, 6)]:
        change = torch.zeros_like(phi)
        change[layer, place] = 1e-5
        ahead, behind = (loss(phi.detach() + sign * change).item() for sign in (1, -1))
        assert gradient[layer, place].item() == pytest.approx((ahead - behind) / 2e-5, rel=1e-4)
    assert all(p.grad is None for p in method.model.parameters())


def test_phi_is_learnt_and_taken_up_again(build: Build, samples: Samples) -> None:
    """Steps lower the outer loss; an object that takes up phi and Adam goes on as the first."""
    method = build(Finetune)
    first, second = labelled(method, samples[5:9]), labelled(method, samples[20:24])
    settings = SimpleNamespace(map="vcam", eta=4)

    def loss(phi: Tensor) -> float:
        return outer_loss(
            method.model, phi, first, second, source="vcam", eta=4, learning_rate=0.01
        ).item()

    network = MaskNetwork(method.model)
    assert torch.equal(network.phi, rational_gelu(3))
    before = loss(network.phi)
    for _ in range(8):
        network.learn(first, second, settings, 0.01, 0.0)
    assert (network.phi - rational_gelu(3)).abs().max().item() > 0.03
    assert loss(network.phi) < before
    other = MaskNetwork(method.model)
    other.load_phi(network.phi.detach())
    other.load_progress({name: value.clone() for name, value in network.progress().items()})
    for one in (network, other):
        one.learn(second, first, settings, 0.01, 0.5)
    assert torch.equal(network.phi, other.phi)
    network.restart()
    assert not any(value.any() for value in network.progress().values())
    with pytest.raises(ValueError, match=r"phi is \(2, 10\)"):
        other.load_phi(rational_gelu(2))


def test_there_has_to_be_something_to_step(build: Build) -> None:
    with pytest.raises(UserError, match="learned=true needs parameters that are trained besides"):
        MaskNetwork(build(Finetune, tuning="head").model)
