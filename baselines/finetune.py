"""No memory: the lower bound. Forgets whatever the new classes overwrite."""

from __future__ import annotations

from baselines.learner import ViltLearner


class Finetune(ViltLearner):
    """Trains on each phase's samples alone."""
