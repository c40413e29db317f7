"""The control for *which* patches are kept: as many as exemplar masking keeps, drawn at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from baselines.exemplar_masking import ExemplarMasking, Masks
from baselines.views import View


class RandomPatches(ExemplarMasking):
    """Exemplar masking with each sample's mask shuffled over its patches; all else is equal."""

    def masks(self, views: Sequence[View]) -> list[Masks]:
        """The attention's own masks, shuffled; the same for a view whenever it is asked."""
        return [
            dataclasses.replace(masks, patches=self.task.rng(4, number).permutation(masks.patches))
            for number, masks in enumerate(super().masks(views))
        ]
