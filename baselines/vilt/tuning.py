"""Ways of tuning ViLT: scaling and shifting features (SSF), everything, or the head alone.

SSF (Lian et al., "Scaling & Shifting Your Features", NeurIPS 2022) puts y = scale * x + shift, one
pair for each channel, behind every linear map and layer norm of a frozen transformer; afterwards
the pairs fold into the weights. For ViLT-B/32 they are 205,824 parameters of 111.6 million.

    tune(model, "ssf", torch.Generator().manual_seed(0))
    trained = [p for p in model.parameters() if p.requires_grad]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mm_imagenet_r.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from baselines.vilt.model import Vilt

MODES = ("ssf", "full", "head")


class ScaleShift(nn.Module):
    """A layer followed by scale * y + shift for each of its output channels.

    Attributes:
        base: A linear map, patch projection or layer norm, with C outputs on its last axis.
        scale: (C,) drawn from N(1, 0.02).
        shift: (C,) drawn from N(0, 0.02).
    """

    def __init__(self, base: nn.Module, generator: torch.Generator) -> None:
        """Wrap a layer; `generator` must be on the CPU."""
        super().__init__()
        self.base = base
        weight = next(base.parameters())
        noise = torch.randn(2, len(weight), generator=generator) * 0.02
        self.scale = nn.Parameter((1 + noise[0]).to(weight.device))
        self.shift = nn.Parameter(noise[1].to(weight.device))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, scaled and shifted."""
        return torch.addcmul(self.shift, self.base(x), self.scale)

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """Fold scale and shift into the layer's own weight and bias, and return the layer."""
        weight, bias = self.base.weight, self.base.bias
        assert isinstance(weight, nn.Parameter)
        weight.mul_(self.scale.view(-1, *[1] * (weight.dim() - 1)))
        if isinstance(bias, nn.Parameter):
            bias.mul_(self.scale).add_(self.shift)
        else:
            self.base.bias = nn.Parameter(self.shift.detach().clone(), requires_grad=False)
        return self.base


def tune(
    model: Vilt, mode: str, generator: torch.Generator | None = None, *, ssf_text: bool = False
) -> None:
    """Make the parameters of one way of tuning trainable, and freeze all others.

    Args:
        model: Changed in place.
        mode: `ssf` adds scale and shift behind the patch projection, both norms, query, key, value,
            and the three linear maps of every block, and the final norm, as the paper does in ViT.
            The pooler, which a ViT does not have, stays frozen. `full` trains all weights. `head`
            trains nothing of the model, only what is added to it.
        generator: Draws the first scales and shifts; `ssf` needs one.
        ssf_text: Also scale and shift behind the norm of the text embedding, which has no
            counterpart in the paper (2 * D parameters more).

    Raises:
        UserError: The mode is unknown.
        ValueError: `ssf` without a generator, or for a model that has it already.
    """
    if mode not in MODES:
        raise UserError(f"unknown tuning {mode!r}: {did_you_mean(mode, MODES)}")
    model.requires_grad_(mode == "full")
    if mode != "ssf":
        return
    if generator is None:
        raise ValueError("scales and shifts are drawn at random: pass a torch.Generator")
    if any(isinstance(module, ScaleShift) for module in model.modules()):
        raise ValueError("the model has scales and shifts already: merge them first")
    for parent, name in _places(model.model, ssf_text):
        setattr(parent, name, ScaleShift(getattr(parent, name), generator))


def _places(model: Any, ssf_text: bool) -> Iterator[tuple[nn.Module, str]]:
    """Yield the module and attribute name of every layer that SSF follows."""
    if ssf_text:
        yield model.embeddings.text_embeddings, "LayerNorm"
    yield model.embeddings.patch_embeddings, "projection"
    for layer in model.encoder.layer:
        yield layer, "layernorm_before"
        for name in ("query", "key", "value"):
            yield layer.attention.attention, name
        # The linear maps themselves: the modules around them would scale the residual as well.
        yield layer.attention.output, "dense"
        yield layer, "layernorm_after"
        yield layer.intermediate, "dense"
        yield layer.output, "dense"
    yield model, "layernorm"


def merge(model: nn.Module) -> None:
    """Fold all scales and shifts into the weights: the same function, no added parameter."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ScaleShift):
                setattr(parent, name, child.merged())
