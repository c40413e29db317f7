"""Adapters beside the MLPs of a frozen ViLT, and how EASE and RanPAC train a set of them.

An adapter is a bottleneck, Up(ReLU(Down(h))), on the tokens after attention; its output is scaled
and added to that of the block (AdaptFormer, Chen et al., NeurIPS 2022). With Up at zero it changes
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.learner import ViltMethod
from baselines.settings import Settings, setting
from baselines.vilt import Batch, Vilt
from benchmark.method import Kind, MethodContext, PhaseData


class Adapter(nn.Module):
    """scale * Up(ReLU(Down(h))), from and to (..., D), with dropout after the ReLU in training."""

    def __init__(
        self, size: int, width: int, generator: torch.Generator, scale: float, dropout: float
    ) -> None:
        """Draw Down as a Linear is drawn, uniform within 1 / sqrt(D); Up and biases are zero."""
        super().__init__()
        drawn = torch.rand(width, size, generator=generator)
        self.down = nn.Parameter((2 * drawn - 1) / math.sqrt(size))
        self.down_bias = nn.Parameter(torch.zeros(width))
        self.up = nn.Parameter(torch.zeros(size, width))
        self.up_bias = nn.Parameter(torch.zeros(size))
        self.scale, self.dropout = scale, dropout

    def forward(self, h: Tensor) -> Tensor:
        """What is added to the output of the block."""
        inner = F.relu(F.linear(h, self.down, self.down_bias))
        inner = F.dropout(inner, self.dropout, self.training)
        return F.linear(inner, self.up, self.up_bias) * self.scale


class AdapterSet(nn.ModuleList):
    """One adapter for each block."""

    def mapping(self) -> dict[int, nn.Module]:
        """As `Vilt.forward` takes them."""
        return dict(enumerate(self))


class CosineHead(nn.Module):
    """scale * cosine of features (B, D) and one vector per class; the scale is learned, from 1."""

    def __init__(self, size: int, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        drawn = torch.rand(classes, size, generator=generator)
        self.weight = nn.Parameter((2 * drawn - 1) / math.sqrt(size))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, classes)."""
        return self.scale * F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))


class Adapted(nn.Module):
    """ViLT, sets of adapters (none, one or more), and the temporary head of a phase."""

    def __init__(self, vilt: Vilt) -> None:
        super().__init__()
        self.vilt = vilt
        self.sets = nn.ModuleList()
        self.head: CosineHead | None = None

    def feature(self, batch: Batch, number: int | None) -> Tensor:
        """Class token (B, D) with a set of adapters, or without any."""
        adapters = None if number is None else self.sets[number]
        assert adapters is None or isinstance(adapters, AdapterSet)
        return self.vilt.class_token(batch, adapters=adapters.mapping() if adapters else None)


@dataclass(frozen=True)
class AdapterSettings(Settings):
    """Settings of adapters; the defaults are those of EASE's and PILOT's code for ImageNet-R."""

    width: int = setting(0, "width of an adapter; 0: 64, at most a quarter of the backbone's")
    scale: float = setting(0.1, "factor on the output of an adapter", search=(0.1, 1.0))
    dropout: float = setting(
        0.1, "share of an adapter's inner features dropped in training", within="[0, 1)"
    )


class AdapterMethod(ViltMethod):
    """Trains the newest set of adapters by cross entropy among the classes of a phase.

    The head is discarded after the phase: it is `transient`. The backbone stays frozen.
    """

    Settings = AdapterSettings
    kind: ClassVar[Kind] = "memory-free"
    unused: ClassVar[frozenset[str]] = frozenset({"tuning"})
    #: Of the code of EASE and PILOT for ImageNet-R, where batches have 16 samples.
    recipe: ClassVar[Mapping[str, Any]] = {
        "tuning": "head", "learning_rate": 0.05, "weight_decay": 0.005,
    }  # fmt: skip
    model: Adapted
    _first = 0

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self.model = Adapted(self.vilt).to(context.device)

    def add_set(self, phase: int) -> AdapterSet:
        """A new set of adapters, which changes nothing yet."""
        generator = self.new_generator("adapters", phase)
        size = self.vilt.hidden_size
        width = adapter_width(size, self.settings.width)
        how = width, generator, self.settings.scale, self.settings.dropout
        new = AdapterSet(Adapter(size, *how) for _ in self.vilt.model.encoder.layer)
        self.model.sets.append(new.to(self.context.device))
        return new

    def add_head(self, phase: PhaseData) -> None:
        """A head for the phase's classes."""
        generator = self.new_generator("head", phase.index)
        head = CosineHead(self.vilt.hidden_size, len(phase.new), generator)
        self.model.head = head.to(self.context.device)
        self._first = phase.new.start

    def loss(self, batch: Any) -> Tensor:
        """Cross entropy of the temporary head."""
        assert self.model.head is not None
        logits = self.model.head(self.model.feature(batch.inputs, len(self.model.sets) - 1))
        return F.cross_entropy(logits, batch.labels - self._first)

    def optimizer(
        self, groups: list[dict[str, Any]], learning_rate: float
    ) -> torch.optim.Optimizer:
        """SGD with momentum .9."""
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9)

    def schedule(self, step: int, steps: int) -> float:
        """A cosine from one to zero."""
        return 0.5 * (1 + math.cos(math.pi * step / steps))

    def state(self) -> dict[str, Tensor]:
        """All sets of adapters, trained now or before."""
        tensors = self.model.sets.state_dict(prefix="sets.")
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned, with as many sets as there were.

        Raises:
            ValueError: Names or shapes do not fit.
        """
        own = {name: value for name, value in state.items() if name.startswith("sets.")}
        for number in range(len(self.model.sets), 1 + max(map(_set_number, own), default=-1)):
            self.add_set(number).requires_grad_(False)
        try:
            bare = {name.removeprefix("sets."): value for name, value in own.items()}
            self.model.sets.load_state_dict(bare)
        except RuntimeError as error:
            raise ValueError(f"the saved state does not fit: {error}") from error

    def transient(self) -> dict[str, Tensor]:
        """The head."""
        head = self.model.head
        if head is None:
            return {}
        return {"head.weight": head.weight.detach(), "head.scale": head.scale.detach()}

    def load_transient(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the head back."""
        if (head := self.model.head) is not None:
            head.weight.data.copy_(tensors["head.weight"])
            head.scale.data.copy_(tensors["head.scale"])


def adapter_width(size: int, width: int) -> int:
    """Width of the bottleneck: what is set, or for 0 the usual 64, at most a quarter of D.

    >>> [adapter_width(size, 0) for size in (768, 96)]
    [64, 24]
    """
    return width or min(64, max(1, size // 4))


def _set_number(name: str) -> int:
    return int(name.split(".")[1])
