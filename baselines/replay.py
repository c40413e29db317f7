"""Replay of whole samples, chosen by herding, stored in their native bytes: "SSF" in the paper."""

from __future__ import annotations

from dataclasses import dataclass

from baselines import selection
from baselines.distillation import DistillationSettings, DistillingLearner
from baselines.learner import check_choice, setting
from baselines.selection import Array
from benchmark.exemplar import StoredExemplar
from benchmark.memory import Memory
from benchmark.method import PhaseData


@dataclass(frozen=True)
class ReplaySettings(DistillationSettings):
    """Settings of `Replay`."""

    selection: str = setting("herding", "herding, cosine (to the class mean) or random")

    def __post_init__(self) -> None:
        """Refuse an unknown selection."""
        super().__post_init__()
        check_choice("selection", self.selection, selection.RANKINGS)


class Replay(DistillingLearner):
    """Keeps as many whole samples of a class as fit and trains on them beside the new ones."""

    Settings = ReplaySettings

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Rank the samples of each new class and keep the first that fit."""
        features = self.features(self.views(phase.train))
        for label in phase.new:
            own = phase.train.labels == label
            samples = phase.train.of_classes([label]).select(self.rank(features[own], phase, label))
            memory.keep(label, (StoredExemplar.whole(sample) for sample in samples))

    def rank(self, features: Array, phase: PhaseData, label: int) -> list[int]:
        """Order of preference of one class's samples, given their features (N, D)."""
        center = selection.unit(features).mean(0)
        rng = self.context.rng("selection", phase.index, label)
        return selection.rank(self.settings.selection, features, center, rng)
