"""All data at once: the upper bound, no class-incremental method."""

from __future__ import annotations

from typing import ClassVar

from baselines.learner import ViltLearner
from benchmark.method import Kind


class Joint(ViltLearner):
    """Trains on in every phase, on the data of all phases so far, with as many steps as any row."""

    kind: ClassVar[Kind] = "bound"
    sees_all_data: ClassVar[bool] = True
