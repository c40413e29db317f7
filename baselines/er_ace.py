"""ER-ACE: New Insights on Reducing Abrupt Representation Change (Caccia et al., ICLR 2022).

Replay from a reservoir with asymmetric losses: new samples compete only among the classes in the
batch, so they do not push old classes away; exemplars compete among all classes seen. The
asymmetric loss is used in the first phase as well, where all classes are new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.er import ER
from benchmark.memory import Memory
from benchmark.method import PhaseData


class ERACE(ER):
    """Experience replay with asymmetric cross entropy."""

    about: ClassVar[Mapping[str, str]] = {
        "name": "ER-ACE", "paper": "Caccia et al. 2022", "link": "https://arxiv.org/abs/2104.05025",
    }  # fmt: skip
    _num_old = 0

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Note which classes are old."""
        super().begin_phase(phase, memory)
        self._num_old = phase.new.start

    def loss_of(self, logits: Tensor, labels: Tensor, old: Tensor | None) -> Tensor:
        """The two losses (eq. 5), and distillation if it is set."""
        plain = super().loss_of(logits, labels, old)
        loss = asymmetric_loss(logits, labels, self._num_old)
        return loss + (plain - F.cross_entropy(logits, labels) if old is not None else 0)


def asymmetric_loss(logits: Tensor, labels: Tensor, num_old: int) -> Tensor:
    """Cross entropy of new samples among the batch's new classes, plus that of exemplars.

    Of logits (B, C) and labels (B,); exemplars are the samples with labels below `num_old`.

    >>> logits = torch.tensor([[9.0, 1.0, 1.0], [2.0, 0.0, 0.0]])
    >>> round(float(asymmetric_loss(logits[:1], torch.tensor([2]), 1)), 6)  # 9.0 does no harm
    0.0
    >>> both = asymmetric_loss(logits, torch.tensor([2, 0]), 1)
    >>> bool(torch.isclose(both, F.cross_entropy(logits[1:], torch.tensor([0]))))
    True
    """
    new = labels >= num_old
    losses = []
    if bool(new.any()):
        present = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
        present[labels[new]] = True
        losses.append(F.cross_entropy(logits[new].masked_fill(~present, -torch.inf), labels[new]))
    if not bool(new.all()):
        losses.append(F.cross_entropy(logits[~new], labels[~new]))
    return torch.stack(losses).sum()
