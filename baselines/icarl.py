"""iCaRL: Incremental Classifier and Representation Learning (Rebuffi et al., CVPR 2017).

Exemplars are chosen by herding, the network is trained with distillation, and a sample belongs to
the class whose exemplars' mean feature is nearest. Both classifiers of one training are returned:
nearest mean (`nme`, iCaRL's own) and the linear head (`linear`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines import selection
from baselines.distillation import DistillationSettings, DistillingLearner
from baselines.learner import check_choice, require, setting
from baselines.selection import Array
from benchmark.exemplar import StoredExemplar
from benchmark.memory import Memory
from benchmark.method import PhaseData

_log = logging.getLogger(__name__)
#: Score of a class without exemplars: below that of any other, which is at least -4.
_ABSENT = -5.0


@dataclass(frozen=True)
class ICaRLSettings(DistillationSettings):
    """Settings of `ICaRL`."""

    distillation: float = setting(1.0, "weight of distillation from the model before the phase")
    loss: str = setting("ce", "ce (softmax, as in PyCIL) or bce (sigmoids, as in the paper)")

    def __post_init__(self) -> None:
        """Refuse an unknown loss, and what has no effect on binary cross entropy."""
        super().__post_init__()
        check_choice("loss", self.loss, ("ce", "bce"))
        changed = (self.distillation, self.temperature) != (1.0, 2.0)
        require(self.loss == "ce" or not changed, "distillation is a part of loss=bce: set neither")


class ICaRL(DistillingLearner):
    """Herding, distillation, nearest mean of exemplars."""

    Settings = ICaRLSettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "iCaRL",
        "paper": "Rebuffi et al. 2017",
        "link": "https://arxiv.org/abs/1611.07725",
    }

    def loss_of(self, logits: Tensor, labels: Tensor, old: Tensor | None) -> Tensor:
        """Softmax and distillation in PyCIL's form, or the paper's sigmoids."""
        if self.settings.loss == "bce":
            return icarl_bce(logits, labels, old)
        return super().loss_of(logits, labels, old)

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Keep whole samples of each new class in herding order (Algorithm 4)."""
        features = self.features(self.views(phase.train))
        for label in phase.new:
            own = np.flatnonzero(phase.train.labels == label)
            order = own[selection.herding(features[own])]
            memory.keep(label, (StoredExemplar.whole(phase.train[int(i)]) for i in order))

    def begin_test(self, num_seen: int, memory: Memory) -> None:
        """Make the class means of the exemplars, with the network as it is now (Algorithm 1)."""
        super().begin_test(num_seen, memory)
        means = torch.zeros(num_seen, self.vilt.hidden_size)
        for label in range(num_seen):
            if exemplars := memory.of_class(label):
                views = [self.decode(exemplar) for exemplar in exemplars]
                means[label] = torch.from_numpy(class_mean(self.features(views)))
        self._means = means.to(self.context.device)
        if not memory.exemplars() and not self.context.rank:
            _log.warning("note: there are no exemplars; what icarl calls nme is its linear head")

    def predict(self, batch: Any) -> Mapping[str, Tensor]:
        """Scores (B, num_seen) of both; without any exemplar those of the head for both."""
        features = self.vilt.pool(batch.views)
        linear = self.model.classify(features)
        nearest = nearest_mean(features, self._means) if bool(self._means.any()) else linear
        return {"nme": nearest, "linear": linear}

    def linear_head(self) -> tuple[Tensor, Tensor]:
        """The nearest mean as a linear map: of unit vectors the nearest has the largest product."""
        if not self._means.any():
            return super().linear_head()
        absent = ~self._means.any(dim=1)
        bias = torch.where(absent, -2 * self.vilt.hidden_size**0.5, 0.0)  # below any product
        return self._means, bias


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


def class_mean(features: Array) -> Array:
    """Mean (D,) of features (N, D) of unit length, itself scaled to unit length.

    >>> class_mean(np.array([[1, 1], [2, 1]])).round(6)
    array([0.811242, 0.58471 ])
    """
    return selection.unit(selection.unit(features).mean(0))


def nearest_mean(features: Tensor, means: Tensor) -> Tensor:
    """Minus the squared distances (B, C) of unit features (B, D) to the class means (C, D).

    A class whose mean is zero has no exemplars and scores lowest.

    >>> means = torch.tensor([[0.811242, 0.584710], [-0.447214, 0.894427], [0.0, 0.0]])
    >>> [round(float(score), 4) for score in nearest_mean(torch.tensor([[0.2, 1.0]]), means)[0]]
    [-0.5351, -0.4213, -5.0]
    """
    distances = (F.normalize(features.float())[:, None] - means).square().sum(-1)
    return torch.where(means.any(dim=1), -distances, _ABSENT)
