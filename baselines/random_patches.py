"""The control for *which* patches are kept: as many as exemplar masking keeps, drawn at random.

In bytes random patches cost another amount, so the number of exemplars differs too: it is a control
for which patches are kept where samples are counted (`--currency samples`).
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from baselines.exemplar_masking import ExemplarMasking, Masks
from baselines.views import View


class RandomPatches(ExemplarMasking):
    """Exemplar masking with each sample's mask shuffled over its patches; all else is equal."""

    about: ClassVar[Mapping[str, str]] = {"name": "Random patches"}  # a control, of no paper

    def masks(self, views: Sequence[View]) -> list[Masks]:
        """The attention's own masks, shuffled; one view is always shuffled in the same way."""
        return [
            dataclasses.replace(masks, patches=self._rng(view).permutation(masks.patches))
            for view, masks in zip(views, super().masks(views), strict=True)
        ]

    def _rng(self, view: View) -> np.random.Generator:
        content = view.patches.tobytes() + view.words.tobytes()
        return self.context.rng("shuffle", zlib.crc32(content))
