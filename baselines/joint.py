"""All data at once: the upper bound, no class-incremental method."""

from __future__ import annotations

from dataclasses import dataclass

from baselines.learner import LearnerSettings, ViltLearner, require


@dataclass(frozen=True)
class JointSettings(LearnerSettings):
    """Settings of `Joint`: there is no former model it could distil from."""

    def __post_init__(self) -> None:
        """Refuse distillation."""
        super().__post_init__()
        require(not self.distillation, "joint starts anew in every phase: no distillation")


class Joint(ViltLearner):
    """Starts anew from the pretrained model in every phase, on the data of all phases so far."""

    Settings = JointSettings
    sees_all_data = True
