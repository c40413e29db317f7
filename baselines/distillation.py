"""Distillation from the model before a phase, and the methods that may use it.

Learning without Forgetting (Li & Hoiem, 2016), in the form of iCaRL in PyCIL.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.learner import Classifier, ViltLearner
from baselines.settings import Settings, require, setting
from benchmark.memory import Memory
from benchmark.method import PhaseData


def distillation(new: Tensor, old: Tensor, temperature: float) -> Tensor:
    """Cross entropy between softened outputs (B, C), without the factor T^2 (PyCIL's iCaRL).

    >>> new = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> old = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> round(float(distillation(new, old, 2.0)), 6)
    0.649675
    """
    target = (old / temperature).softmax(1)
    return -(target * (new / temperature).log_softmax(1)).sum(1).mean()


@dataclass(frozen=True)
class DistillationSettings(Settings):
    """Settings of methods that may distill."""

    distillation: float = setting(0.0, "weight of distillation from the model before the phase")
    temperature: float = setting(2.0, "temperature of distillation", within="(0, inf)")

    def __post_init__(self) -> None:
        """Refuse what could not take effect."""
        super().__post_init__()
        alone = self.temperature != 2.0 and not self.distillation
        require(not alone, "temperature has no effect without distillation")


class DistillingLearner(ViltLearner):
    """Cross entropy, and distillation from the former model if it is set.

    Attributes:
        teacher: The model before the phase; None in the first one and without distillation.
    """

    Settings = DistillationSettings
    teacher: Classifier | None = None

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Keep a copy of the model, with the head it had, before the head grows."""
        if self.settings.distillation and phase.index:
            self.teacher = copy.deepcopy(self.model).eval().requires_grad_(False)
            self.teacher.num_seen = phase.new.start
        super().begin_phase(phase, memory)

    def loss(self, batch: Any) -> Tensor:
        """Cross entropy over all classes seen, plus distillation of old ones."""
        logits = self.model(batch.inputs)
        return self.loss_of(logits, batch.labels, self.former_logits(batch))

    def former_logits(self, batch: Any) -> Tensor | None:
        """The teacher's logits (B, old classes), if there is one."""
        if self.teacher is None:
            return None
        with torch.no_grad():
            logits: Tensor = self.teacher(batch.inputs)
        return logits

    def loss_of(self, logits: Tensor, labels: Tensor, old: Tensor | None) -> Tensor:
        """The loss as a function of logits (B, C), labels (B,) and the teacher's logits."""
        loss = F.cross_entropy(logits, labels)
        if old is None:
            return loss
        kept = distillation(logits[:, : old.shape[1]], old, self.settings.temperature)
        return loss + float(self.settings.distillation) * kept
