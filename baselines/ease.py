"""EASE: Expandable Subspace Ensemble (Zhou et al., CVPR 2024).

Each phase trains its own set of adapters, and so spans its own subspace of features. A class is
represented by its mean feature in every subspace. Old classes were never seen in newer subspaces:
their means there are mixed from those of newer classes, weighted by similarity in the older one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.adapters import AdapterMethod, AdapterSettings
from baselines.settings import setting
from benchmark.memory import Memory
from benchmark.method import MethodContext, PhaseData

_MEANS = "means."


@dataclass(frozen=True)
class EASESettings(AdapterSettings):
    """Settings of `EASE`; the defaults are those of its code for ImageNet-R."""

    alpha: float = setting(
        0.1,
        "weight of subspaces other than the class's own",
        search=(0.03, 0.1, 0.3),
    )
    divide: bool = setting(True, "divide alpha by their number, as the code and not the paper does")


class EASE(AdapterMethod):
    """A set of adapters for each phase, prototypes in all of them; keeps no sample."""

    Settings = EASESettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "EASE", "paper": "Zhou et al. 2024", "link": "https://arxiv.org/abs/2403.12030",
    }  # fmt: skip

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self._means: dict[int, Tensor] = {}

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Add adapters and a head for the new classes; freeze all earlier ones."""
        super().begin_phase(phase, memory)
        self.model.sets.requires_grad_(False)
        self.add_set(phase.index)
        self.add_head(phase)

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Means of the new classes in all subspaces: (classes, subspaces, D)."""
        inputs = self.inputs(phase.train)
        means = []
        for number in range(len(self.model.sets)):
            features = self.features(inputs, partial(self.model.feature, number=number))
            own = [features[phase.train.labels == label].mean(0) for label in phase.new]
            means.append(np.stack(own))
        self._means[phase.index] = torch.from_numpy(np.stack(means, axis=1))

    def state(self) -> dict[str, Tensor]:
        """Adapters and means; they grow with every phase."""
        means = {f"{_MEANS}{phase}": mean.clone() for phase, mean in self._means.items()}
        return {**super().state(), **means}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        super().load_state(state)
        found = {name.removeprefix(_MEANS): v for name, v in state.items() if _MEANS in name}
        self._means = {int(phase): mean.clone() for phase, mean in sorted(found.items())}

    def begin_test(self, num_seen: int, memory: Memory) -> None:
        """Fill in the means of old classes in newer subspaces."""
        count = len(self._means)
        rows = [F.pad(self._means[i], (0, 0, 0, count - 1 - i)) for i in range(count)]
        own = torch.cat([torch.full((len(row),), i) for i, row in enumerate(rows)])
        device = self.context.device
        self._prototypes = complement(torch.cat(rows), own).to(device)
        self._own = own.to(device)

    def predict(self, batch: Any) -> Tensor:
        """Scores (B, num_seen); one pass through ViLT for each phase so far."""
        features = [self.model.feature(batch.inputs, i) for i in range(len(self._means))]
        settings = self.settings
        return reweighted(
            torch.stack(features, dim=1), self._prototypes, self._own,
            alpha=settings.alpha, divide=settings.divide,
        )  # fmt: skip


def complement(means: Tensor, own: Tensor) -> Tensor:
    """Means (C, T, D) of all classes in all subspaces (semantic-guided complement).

    A class of phase i has a mean in the subspaces up to i. In a newer one, a, it gets those of the
    classes of phases from a on, weighted by the softmax of the cosines in subspace i. (The formula
    of the paper takes the newest classes alone, the code all these.)

    Args:
        means: (C, T, D); entries beyond the phase of a class are not read.
        own: (C,) phase of each class.
    """
    filled = means.clone()
    for old in range(means.shape[1] - 1):
        rows = own == old
        for newer in range(old + 1, means.shape[1]):
            others = own >= newer
            one = F.normalize(means[rows, old], dim=1)
            two = F.normalize(means[others, old], dim=1)
            filled[rows, newer] = (one @ two.T).softmax(1) @ means[others, newer]
    return filled


def reweighted(
    features: Tensor, prototypes: Tensor, own: Tensor, *, alpha: float, divide: bool = True
) -> Tensor:
    """Scores (B, C): the cosine in a class's own subspace, plus alpha times those in all others.

    Of features (B, T, D) and prototypes (C, T, D) in all T subspaces, and the phase of each class,
    `own` (C,); with `divide`, alpha is divided by T - 1.
    """
    cosines = torch.einsum(
        "btd,ctd->bct", F.normalize(features, dim=2), F.normalize(prototypes, dim=2)
    )
    phases = cosines.shape[2]
    weights = torch.full_like(cosines[0], alpha / max(1, phases - 1 if divide else 1))
    weights[torch.arange(len(own), device=own.device), own] = 1
    return (cosines * weights).sum(2)
