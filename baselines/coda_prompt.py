"""CODA-Prompt: COntinual Decomposed Attention-based Prompting (Smith et al., CVPR 2023).

The backbone is frozen. The prompt of a sample is a weighted sum of components: component m has a
prompt p_m, a key k_m and an attention a_m, and q is the feature of the sample without prompts:

    alpha_m = cos(q * a_m, k_m),   prompt = sum of alpha_m p_m

In the first layers, half of the prompt is prepended to the keys and half to the values. Each phase
owns an equal part of the components. It trains these within the sum of all so far; those of earlier
phases are frozen. New ones start orthogonal to the old and to each other.

    loss = CE(logits of the phase's classes) + penalty * sum of O(k) + O(a) + O(p),
    O(X) = mean of (X X^T - I)^2
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.prompts import GrowingPrompts, Prompted
from baselines.settings import Settings, require, setting
from baselines.vilt import Batch
from baselines.vilt.blocks import Prefix
from mm_imagenet_r.errors import UserError


@dataclass(frozen=True)
class CODAPromptSettings(Settings):
    """Settings of `CODAPrompt`; the defaults are those of its code for ImageNet-R."""

    components: int = setting(0, "of all phases together; 0: 100, at most the backbone's width")
    length: int = setting(
        8, "vectors of a prompt, half of them keys, half values", search=(4, 8, 16)
    )
    layers: int = setting(5, "first layers, with prompts; as many as there are", within="[1, inf)")
    penalty: float = setting(0.0, "weight of the distance from orthogonal components", (0.0, 0.1))

    def __post_init__(self) -> None:
        """Refuse a length that cannot be halved."""
        super().__post_init__()
        fits = self.length >= 2 and self.length % 2 == 0
        require(fits, f"length={self.length}: it is halved, so an even number from 2 on")


class Components(nn.Module):
    """Those of one or more phases: prompts (layers, M, length, D), keys and attention like them."""

    def __init__(self, prompts: Tensor, keys: Tensor, attention: Tensor) -> None:
        """Take prompts, keys (layers, M, D) and attention (layers, M, D)."""
        super().__init__()
        self.prompts = nn.Parameter(prompts)
        self.keys = nn.Parameter(keys)
        self.attention = nn.Parameter(attention)


class Decomposed(Prompted):
    """ViLT with prompts put together from components, and a linear head on the class token."""

    penalty: float = 0.0

    def components(self, name: str) -> Tensor:
        """Prompts, keys or attention of all phases so far, (layers, M, ...)."""
        return torch.cat([getattr(part, name) for part in self.parts], dim=1)

    def answer(self, batch: Batch, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, num_seen), and the penalty."""
        prompts, keys, attention = map(self.components, ("prompts", "keys", "attention"))
        prefixes = {
            layer: assemble(weights(queries, attention[layer], keys[layer]), prompts[layer])
            for layer in range(len(prompts))
        }
        logits = self.classify(self.vilt.class_token(batch, prefixes=prefixes))
        added = logits.new_zeros(())
        if self.penalty:
            for rows in (*keys, *attention, *prompts.flatten(2)):
                added = added + self.penalty * distance_from_orthogonal(rows)
        return logits, added


class CODAPrompt(GrowingPrompts):
    """Learns components of prompts, some for each phase, and a head; keeps no sample."""

    Settings = CODAPromptSettings
    recipe: ClassVar[Mapping[str, Any]] = {
        "tuning": "head",
        "learning_rate": 0.01,  # .001 in the official code, which has fifty epochs
        "weight_decay": 0.0,
    }
    about: ClassVar[Mapping[str, str]] = {
        "name": "CODA-Prompt",
        "paper": "Smith et al. 2023",
        "link": "https://arxiv.org/abs/2211.13218",
    }
    model: Decomposed

    def build(self) -> Decomposed:
        """ViLT and head."""
        model = Decomposed(self.vilt, self.context.num_classes, self.generator)
        model.penalty = self.settings.penalty
        return model

    def part(self, generator: torch.Generator) -> Components:
        """New components, orthogonal to all there are.

        Raises:
            UserError: There are more than can be orthogonal, or fewer than phases.
        """
        size, length = self.vilt.hidden_size, self.settings.length
        phases, given = self.context.num_phases, self.settings.components
        count = given or min(100, size)
        if not phases <= count <= size:
            raise UserError(
                f"components={count}: choose from {phases}, one for each phase, to {size}, as many "
                "as can be orthogonal in this backbone"
            )
        layers = min(self.settings.layers, len(self.vilt.model.encoder.layer))

        def grown(name: str, width: int) -> Tensor:
            old = [torch.zeros(0, width)] * layers
            if len(self.model.parts):
                old = [rows.detach().cpu() for rows in self.model.components(name).flatten(2)]
            return torch.stack([orthogonal_to(rows, count // phases, generator) for rows in old])

        prompts = grown("prompts", length * size).view(layers, -1, length, size)
        return Components(prompts, grown("keys", size), grown("attention", size))

    def before_step(self) -> None:
        """The official code does not clip."""

    def schedule(self, step: int, steps: int) -> float:
        """The cosine of the official code, by steps and not by epochs: it ends at 1.6 %."""
        return math.cos(99 * math.pi * step / (200 * max(1, steps - 1)))


def weights(queries: Tensor, attention: Tensor, keys: Tensor) -> Tensor:
    """Weights alpha (B, M) of components with attention (M, D) and keys (M, D) for queries (B, D).

    >>> attention, keys = torch.tensor([[1.0, 1], [0.5, 2]]), torch.tensor([[1.0, 0], [0, 2]])
    >>> weights(torch.tensor([[3.0, 4]]), attention, keys)
    tensor([[0.6000, 0.9829]])
    """
    attended = queries[:, None] * attention
    return F.cosine_similarity(attended, keys, dim=2)


def assemble(alpha: Tensor, prompts: Tensor) -> Prefix:
    """Keys and values, each (B, length / 2, D): the sum of prompts (M, length, D) by alpha (B, M).

    >>> prompts = torch.tensor([[[1.0], [2]], [[10], [20]]])
    >>> [half.flatten().tolist() for half in assemble(torch.tensor([[0.5, 1]]), prompts)]
    [[10.5], [21.0]]
    """
    keys, values = torch.einsum("bm,mld->bld", alpha, prompts).chunk(2, dim=1)
    return keys, values


def distance_from_orthogonal(rows: Tensor) -> Tensor:
    """Mean over the entries of (X X^T - I)^2 for rows X (M, D).

    >>> float(distance_from_orthogonal(torch.tensor([[1.0, 0], [0, 2]])))
    2.25
    """
    unit = torch.eye(len(rows), device=rows.device, dtype=rows.dtype)
    return (rows @ rows.T - unit).square().mean()


def orthogonal_to(old: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random unit rows (count, D), orthogonal to rows `old` (M, D) and to each other.

    The QR decomposition is Gram-Schmidt, in double precision and up to signs.

    >>> rows = orthogonal_to(torch.eye(3)[:2], 1, torch.Generator().manual_seed(0))
    >>> [round(abs(x), 4) for x in rows[0].tolist()]
    [0.0, 0.0, 1.0]
    """
    fresh = torch.randn(count, old.shape[1], generator=generator, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(torch.cat([old.double(), fresh]).T).Q
    return basis.T[len(old) :].float()
