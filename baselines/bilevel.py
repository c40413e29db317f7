"""The mask network of CIM: activations of its own (phi) for the network that draws the boxes.

Every activation of the classifier has a twin, a rational function with learned coefficients; the
mask network is the classifier with its activations replaced by the twins. They are learned such
that training on the masked pictures makes a good classifier (Luo et al., CVPR 2023): one virtual
step of the classifier on softly masked pictures, and the gradient through it of the loss on another
batch. In ViLT the activations are the GELUs of the feed-forward networks, and the virtual step
changes what is trained besides the head: scales and shifts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from baselines.evidence import class_evidence, heat_map
from baselines.exemplars.boxes import coarse_patches
from baselines.learner import Classifier, Labelled
from baselines.vilt import Vilt
from mm_imagenet_r.errors import UserError

# A rational function fitted to GELU: six coefficients of the numerator, four of the denominator.
_GELU_TOP = (-0.001242, 0.50805, 0.415864, 0.130227, 0.024356, 0.002903)
_GELU_BOTTOM = (-0.06675, 0.179276, 0.037467, 0.0)
_DIVERGENCE, _REGULARITY = 0.2, 0.1  # weights in the outer loss
_INNER = 0.1  # the virtual step, as a share of the learning rate
_RATE, _DECAY, _LONGEST = 0.01, 5e-4, 1.0  # of phi: learning rate, weight decay, gradient's norm


class Rational(nn.Module):
    """P(x) / Q(x) with P of degree 5 and Q = 1 + |b1 x| + ... + |b4 x^4|, which has no zero.

    >>> gelu = Rational(rational_gelu(1)[0])
    >>> [round(float(gelu(torch.tensor(x))), 5) for x in (0.0, 1.0)]
    [-0.00124, 0.84158]
    """

    def __init__(self, coefficients: Tensor) -> None:
        """Ten coefficients: a0 to a5, b1 to b4; not copied."""
        super().__init__()
        self.coefficients = coefficients

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each entry."""
        numerator, denominator = torch.split(self.coefficients, [6, 4])
        top = torch.zeros_like(x)
        for coefficient in numerator.flip(0):
            top = top * x + coefficient
        bottom = torch.zeros_like(x)
        for coefficient in denominator.abs().flip(0):
            bottom = (bottom + coefficient) * x.abs()
        return top / (1 + bottom)


def rational_gelu(layers: int) -> Tensor:
    """Coefficients (layers, 10) of twins that nearly equal GELU: 120 for a ViLT of 12 layers."""
    return torch.tensor(_GELU_TOP + _GELU_BOTTOM).repeat(layers, 1)


@contextlib.contextmanager
def twins(vilt: Vilt, phi: Tensor | None) -> Iterator[None]:
    """Within it, activations are rational functions with coefficients `phi` (layers, 10)."""
    feed_forwards = [layer.intermediate for layer in vilt.model.encoder.layer]
    plain = [module.intermediate_act_fn for module in feed_forwards]
    rows = plain if phi is None else [Rational(row) for row in phi]
    try:
        for module, activation in zip(feed_forwards, rows, strict=True):
            module.intermediate_act_fn = activation
        yield
    finally:
        for module, activation in zip(feed_forwards, plain, strict=True):
            module.intermediate_act_fn = activation


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within it, no gradient is computed for the model's parameters."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


class MaskNetwork:
    """Phi, and its optimizer, Adam.

    Attributes:
        phi: (layers, 10), the coefficients of the twins.
    """

    def __init__(self, model: Classifier) -> None:
        """Start from twins that nearly equal the activations of ViLT.

        Raises:
            UserError: Nothing besides the head is trained, so there is no virtual step to take.
        """
        if not _stepped(model):
            raise UserError(
                "learned=true needs parameters that are trained besides the head: choose "
                "--tuning ssf or full, or learned=false"
            )
        self._model = model
        layers = len(model.vilt.model.encoder.layer)
        self.phi = rational_gelu(layers).to(model.head.weight.device).requires_grad_(True)
        self.restart()

    def restart(self) -> None:
        """Reset Adam, as before each phase."""
        self._adam = torch.optim.Adam([self.phi], lr=_RATE, weight_decay=_DECAY)
        moments = {name: torch.zeros_like(self.phi) for name in ("exp_avg", "exp_avg_sq")}
        self._adam.state[self.phi] = {"step": torch.tensor(0.0), **moments}

    def learn(
        self, first: Labelled, second: Labelled, settings: Any, learning_rate: float, share: float
    ) -> None:
        """One step of phi.

        Args:
            first: See `outer_loss`.
            second: See `outer_loss`.
            settings: Have `map` and `eta`.
            learning_rate: The classifier's, now.
            share: Of the phase's steps that are done; the rate of phi is a cosine of it.
        """
        loss = outer_loss(
            self._model, self.phi, first, second,
            source=settings.map, eta=settings.eta, learning_rate=learning_rate,
        )  # fmt: skip
        (self.phi.grad,) = torch.autograd.grad(loss, self.phi)
        torch.nn.utils.clip_grad_norm_([self.phi], _LONGEST)
        self._adam.param_groups[0]["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * share))
        self._adam.step()
        self.phi.grad = None

    def load_phi(self, phi: Tensor) -> None:
        """Resume from coefficients that were learned before.

        Raises:
            ValueError: They are not (layers, 10).
        """
        if phi.shape != self.phi.shape:
            raise ValueError(f"the saved state does not fit: phi is {tuple(phi.shape)}")
        with torch.no_grad():
            self.phi.copy_(phi)

    def progress(self) -> dict[str, Tensor]:
        """The state of Adam in this phase."""
        return {f"adam.{name}": value for name, value in self._adam.state[self.phi].items()}

    def load_progress(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `progress` returned."""
        for name, value in self._adam.state[self.phi].items():
            value.copy_(tensors[f"adam.{name}"])


def _stepped(model: Classifier) -> dict[str, nn.Parameter]:
    """What is trained besides the head: scales and shifts."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.startswith("head.")
    }


def outer_loss(
    model: Classifier,
    phi: Tensor,
    first: Labelled,
    second: Labelled,
    *,
    source: str,
    eta: int,
    learning_rate: float,
) -> Tensor:
    """The loss that phi minimizes, differentiable by phi; the model is unchanged.

    CE(f_theta'(second)) + .2 CE(f_phi(first)) + .1 mean(map^2), where theta' is the model after a
    step on `first`, each picture a blend of itself and its coarse version by the map of f_phi.

    Args:
        model: The classifier, theta, with what is trained of it.
        phi: (layers, 10), requires a gradient.
        first: Whole inputs, all of their patches in order.
        second: Any inputs.
        source: How the map is drawn, one of `evidence.SOURCES`.
        eta: Pixels that become one in the coarse version.
        learning_rate: The classifier's, now; a tenth of it is stepped.
    """
    inputs = first.inputs
    # The virtual step takes the blended pictures as given: no gradient reaches the map through it.
    with twins(model.vilt, phi), frozen(model):
        found, logits = class_evidence(model, inputs, first.labels, source, create_graph=True)
    size, ends = inputs.patches.shape[1], inputs.patch_mask.sum(1).cumsum(0).tolist()
    maps = []
    for row, end in enumerate(ends):
        rows, columns = inputs.grids[end - 1].tolist()
        heat = heat_map(found[row, : rows * columns], (rows, columns), size)
        maps.append(heat.view(rows, size, columns, size).transpose(1, 2).flatten(0, 1))
    weight = torch.cat(maps)[..., None]
    sharp = inputs.patches.to(weight.dtype)
    blend = weight * sharp + (1 - weight) * coarse_patches(sharp, eta)
    mixed = dataclasses.replace(inputs, patches=blend)
    theta = _stepped(model)
    with sdpa_kernel(SDPBackend.MATH):  # the others cannot be differentiated twice
        loss = F.cross_entropy(model(mixed), first.labels)
        gradients = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
        step = _INNER * learning_rate
        after = {
            name: parameter - step * gradient
            for (name, parameter), gradient in zip(theta.items(), gradients, strict=True)
        }
        outer = F.cross_entropy(functional_call(model, after, (second.inputs,)), second.labels)
    divergence = F.cross_entropy(logits, first.labels)
    return outer + _DIVERGENCE * divergence + _REGULARITY * weight.square().mean()
