"""WA: Maintaining Discrimination and Fairness in Class Incremental Learning (Zhao et al., 2020).

Distillation with a weight that grows with the share of old classes; after each phase the head's
rows of new classes are scaled to the mean length of the old ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.classifiers import aligned
from baselines.distillation import distillation
from baselines.replay import Replay
from baselines.replay_learner import ReplaySettings
from baselines.settings import require, setting
from benchmark.memory import Memory
from benchmark.method import PhaseData


@dataclass(frozen=True)
class WASettings(ReplaySettings):
    """Settings of `WA`."""

    distillation: float = setting(1.0, "1: weighted by the share of old classes; 0: none")

    def __post_init__(self) -> None:
        """Refuse a weight: it follows from the classes."""
        super().__post_init__()
        weight = self.distillation
        require(weight in (0, 1), f"distillation={weight}: its weight follows from the classes")


class WA(Replay):
    """Replay with distillation and an aligned head."""

    Settings = WASettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "WA", "paper": "Zhao et al. 2020", "link": "https://arxiv.org/abs/1911.07053",
    }  # fmt: skip

    def loss_of(self, logits: Tensor, labels: Tensor, old: Tensor | None) -> Tensor:
        """Cross entropy and distillation, weighted by the shares of new and old classes (eq. 2)."""
        return wa_loss(logits, labels, old, self.settings.temperature)

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Align the head, for good, and choose exemplars."""
        with torch.no_grad():
            head = self.model.head.weight
            head[: phase.num_seen] = aligned(head[: phase.num_seen], phase.new.start)
        super().end_phase(phase, memory)


def wa_loss(logits: Tensor, labels: Tensor, old: Tensor | None, temperature: float) -> Tensor:
    """Cross entropy of logits (B, C) and distillation from those of the old classes (B, O).

    >>> new, old = torch.tensor([[2.0, 0, 1], [0, 1, 3]]), torch.tensor([[1.0, 0], [0, 2]])
    >>> round(float(wa_loss(new, torch.tensor([0, 2]), old, 2.0)), 6)
    0.529359
    """
    loss = F.cross_entropy(logits, labels)
    if old is None:
        return loss
    share = old.shape[1] / logits.shape[1]
    kept = distillation(logits[:, : old.shape[1]], old, temperature)
    return (1 - share) * loss + share * kept
