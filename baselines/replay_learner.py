"""What replay methods share: how exemplars enter a batch, and how samples are classified at test.

Derive from `ReplayLearner`, define in `end_phase` what is kept and in `decode` how it is read back,
and every setting that a fair comparison needs is there: the balance of old and new in a batch, the
selection and the classifier.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.classifiers import READINGS, aligned, balanced, class_means, nearest_mean
from baselines.distillation import DistillationSettings, DistillingLearner
from baselines.exemplars import selection
from baselines.exemplars.selection import Array
from baselines.settings import setting
from benchmark.exemplar import StoredExemplar
from benchmark.memory import Memory
from benchmark.method import PhaseData, Stage

#: Help text of `replay_share`.
SHARE = "share of exemplars in a batch; 0: in proportion to their number"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplaySettings(DistillationSettings):
    """Settings of all replay methods."""

    classifier: str = setting(
        "linear",
        "linear (the head as trained), balanced (re-fitted on exemplars, every class weighted the "
        "same), nme (nearest mean of exemplars), aligned (new rows scaled as in WA), or all",
        choices=(*READINGS, "all"),
    )
    replay_share: float = setting(0.0, SHARE, search=(0.0, 0.5, 0.75), within="[0, 1)")
    selection: str = setting(
        "herding",
        "herding, cosine (to the class mean), facility_location (CRAIG) or random",
        choices=selection.RANKINGS,
    )


class ReplayLearner(DistillingLearner):
    """Trains on new samples and exemplars, and predicts by the chosen classifier."""

    Settings = ReplaySettings

    def stages(self, phase: PhaseData, memory: Memory) -> Iterator[Stage]:
        """One training, with the balance that is set."""
        yield Stage(replay_share=self.settings.replay_share or None)

    def keep_ranked(
        self,
        phase: PhaseData,
        memory: Memory,
        features: Array,
        make: Callable[[int], StoredExemplar],
        centers: Array | None = None,
    ) -> None:
        """Keep, of each new class, the samples that rank first by `settings.selection`.

        Args:
            phase: Its samples are those that may be kept.
            memory: Takes them as long as they fit.
            features: (N, D) of the phase's samples as they will be stored.
            make: Number of a sample -> what is stored of it; called on demand.
            centers: (N, D) of the same samples, whose class means `cosine` compares with; the
                features themselves if not given.
        """
        centers = features if centers is None else centers
        for label in phase.new:
            own = np.flatnonzero(phase.train.labels == label)
            if not len(own):
                continue
            center = selection.unit(centers[own]).mean(0)
            rng = self.context.rng("selection", phase.index, label)
            order = selection.rank(self.settings.selection, features[own], center, rng)
            memory.keep(label, map(make, own[order].tolist()))

    def begin_test(self, num_seen: int, memory: Memory) -> None:
        """Fit the chosen classifiers to the exemplars, with the current network."""
        super().begin_test(num_seen, memory)
        chosen = self.settings.classifier
        self._wanted = READINGS if chosen == "all" else tuple(dict.fromkeys((chosen, "linear")))
        weight, bias = super().linear_head()
        self._heads: dict[str, tuple[Tensor, Tensor]] = {"linear": (weight, bias)}
        self._means: Tensor | None = None
        if "aligned" in self._wanted:
            self._heads["aligned"] = (aligned(weight, num_seen - self._newest(num_seen)), bias)
        if {"nme", "balanced"} & set(self._wanted):
            self._fit(memory, weight, bias, num_seen)

    def _newest(self, num_seen: int) -> int:
        """Number of new classes of the phase after which `num_seen` are seen."""
        ends = np.cumsum(self.context.phase_sizes)
        return int(self.context.phase_sizes[int(np.searchsorted(ends, num_seen))])

    def _fit(self, memory: Memory, weight: Tensor, bias: Tensor, num_seen: int) -> None:
        """The two classifiers that need exemplars; without any they are the linear head."""
        self._heads["balanced"] = (weight, bias)
        if not (exemplars := memory.exemplars()):
            if not self.context.rank:
                _log.warning("note: there are no exemplars, so the linear head classifies instead")
            return
        labels = np.array([exemplar.label for exemplar in exemplars])
        features = self.features([self.decode(exemplar) for exemplar in exemplars])
        if "nme" in self._wanted:
            self._means = class_means(features, labels, num_seen).to(self.context.device)
        if "balanced" in self._wanted:
            self._heads["balanced"] = balanced(features, labels, weight, bias)

    def predict(self, batch: Any) -> Mapping[str, Tensor]:
        """Scores (B, num_seen) of each chosen classifier, and of the head as trained."""
        features = self.vilt.pool(batch.inputs)
        return {name: self._read(name, features) for name in self._wanted}

    def _read(self, name: str, features: Tensor) -> Tensor:
        if name == "nme" and self._means is not None:
            return nearest_mean(features, self._means)
        return torch.nn.functional.linear(features, *self._heads.get(name, self._heads["linear"]))

    def linear_head(self) -> tuple[Tensor, Tensor]:
        """The chosen classifier as a linear map of pooled features."""
        name = self._wanted[0]
        if name == "nme" and self._means is not None:
            # Of unit vectors the nearest has the largest product.
            absent = ~self._means.any(dim=1)
            bias = torch.where(absent, -2 * self.vilt.hidden_size**0.5, 0.0)  # below any product
            return self._means, bias
        return self._heads.get(name, self._heads["linear"])
