"""Replay of whole samples, chosen by herding, stored in their native bytes: "SSF" in the paper."""

from __future__ import annotations

from dataclasses import dataclass

from baselines import selection
from baselines.learner import Array, LearnerSettings, ViltLearner, setting
from benchmark.memory import Exemplar, Kept, Memory
from benchmark.method import Phase


@dataclass(frozen=True)
class ReplaySettings(LearnerSettings):
    """Settings of `Replay`."""

    selection: str = setting("herding", "herding, cosine (to the class mean) or random")

    def __post_init__(self) -> None:
        """Refuse an unknown selection."""
        check_choice("selection", self.selection, ("herding", "cosine", "random"))


class Replay(ViltLearner):
    """Keeps as many whole samples of a class as fit and trains on them beside the new ones."""

    Settings = ReplaySettings

    def end_phase(self, phase: Phase, memory: Memory) -> None:
        """Rank the samples of each new class and keep the first that fit."""
        features = self.features([self.view(sample) for sample in phase.train])
        for label in phase.new:
            own = phase.train.labels == label
            samples = phase.train.of_classes([label]).select(self.rank(features[own], phase, label))
            memory.keep(
                label,
                (
                    Kept(Exemplar(label, one.image, one.caption.encode()), one.file_name)
                    for one in samples
                ),
            )

    def rank(self, features: Array, phase: Phase, label: int) -> list[int]:
        """Order of preference of one class's samples, given their features (N, D)."""
        if self.settings.selection == "random":
            return selection.at_random(len(features), self.task.rng(3, phase.index, label))
        if self.settings.selection == "cosine":
            return selection.by_cosine(features, selection.unit(features).mean(0))
        return selection.herding(features)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError if a setting has none of its possible values."""
    if value not in choices:
        raise ValueError(f"{name}={value}: choose one of {', '.join(choices)}")
