"""All data at once: the upper bound, no class-incremental method."""

from __future__ import annotations

from baselines.learner import ViltLearner


class Joint(ViltLearner):
    """Starts anew from the pretrained model in every phase, on the data of all phases so far."""

    sees_all_data = True
