"""No memory: the lower bound. Forgets whatever new classes overwrite."""

from __future__ import annotations

from typing import ClassVar

from baselines.distillation import DistillingLearner
from benchmark.method import Kind


class Finetune(DistillingLearner):
    """Trains on each phase's samples alone; with distillation it is LwF."""

    kind: ClassVar[Kind] = "bound"
