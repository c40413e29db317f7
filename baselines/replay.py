"""Replay of whole samples in their native bytes: the row "SSF" of the paper's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from baselines.replay_learner import ReplayLearner
from benchmark.exemplar import StoredExemplar
from benchmark.memory import Memory
from benchmark.method import PhaseData


class Replay(ReplayLearner):
    """Keeps as many whole samples per class as fit and trains on them with the new ones."""

    about: ClassVar[Mapping[str, str]] = {
        "name": "Replay (SSF)",
        "paper": "Lian et al. 2022",
        "link": "https://arxiv.org/abs/2210.08823",
    }

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Rank the samples of each new class and keep the first that fit."""
        features = self.features(self.inputs(phase.train))
        self.keep_ranked(phase, memory, features, lambda i: StoredExemplar.whole(phase.train[i]))
