"""iCaRL: Incremental Classifier and Representation Learning (Rebuffi et al., CVPR 2017).

Exemplars are chosen by herding, the network is trained with distillation, and a sample belongs to
the class whose exemplars' mean feature is nearest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.replay import Replay
from baselines.replay_learner import ReplaySettings
from baselines.settings import require, setting


@dataclass(frozen=True)
class ICaRLSettings(ReplaySettings):
    """Settings of `ICaRL`."""

    classifier: str = setting("nme", "nme (nearest mean, iCaRL's), linear, balanced, aligned, all")
    distillation: float = setting(1.0, "weight of distillation from the model before the phase")
    loss: str = setting(
        "ce", "ce (softmax, as in PyCIL) or bce (sigmoids, as in the paper)", choices=("ce", "bce")
    )

    def __post_init__(self) -> None:
        """Refuse what has no effect on binary cross entropy."""
        super().__post_init__()
        changed = (self.distillation, self.temperature) != (1.0, 2.0)
        require(self.loss == "ce" or not changed, "distillation is a part of loss=bce: set neither")


class ICaRL(Replay):
    """Replay chosen by herding (Algorithm 4), with distillation and the nearest mean."""

    Settings = ICaRLSettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "iCaRL", "paper": "Rebuffi et al. 2017", "link": "https://arxiv.org/abs/1611.07725",
    }  # fmt: skip

    def loss_of(self, logits: Tensor, labels: Tensor, old: Tensor | None) -> Tensor:
        """Softmax and distillation in PyCIL's form, or the paper's sigmoids."""
        if self.settings.loss == "bce":
            return icarl_bce(logits, labels, old)
        return super().loss_of(logits, labels, old)


def icarl_bce(logits: Tensor, labels: Tensor, old: Tensor | None) -> Tensor:
    """Binary cross entropy of all heads (B, C), mean over batch and heads (Algorithm 3).

    Targets are one for the label and zero elsewhere, but for the old classes the sigmoids of the
    former model's logits (B, O), for exemplars too.

    >>> new, old = torch.tensor([[2.0, 0, 1], [0, 1, 3]]), torch.tensor([[1.0, 0], [0, 2]])
    >>> round(float(icarl_bce(new, torch.tensor([0, 2]), old)), 6)
    0.640903
    """
    targets = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    if old is not None:
        targets = torch.cat([old.sigmoid().to(logits.dtype), targets[:, old.shape[1] :]], dim=1)
    return F.binary_cross_entropy_with_logits(logits, targets)
