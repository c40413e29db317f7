"""All data at once: the upper bound, not a class-incremental method."""

from __future__ import annotations

from typing import ClassVar

from baselines.learner import ViltLearner
from benchmark.method import Kind


class Joint(ViltLearner):
    """Restarts from the pretrained model in every phase, on the data of all phases so far.

    It takes as many steps as any method has taken by then. There is no former model, so there are
    no settings of distillation.
    """

    kind: ClassVar[Kind] = "bound"
    sees_all_data: ClassVar[bool] = True
