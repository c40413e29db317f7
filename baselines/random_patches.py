"""The control for *which* patches are kept: as many as exemplar masking keeps, drawn at random.

In bytes, random patches have a different cost, so the number of exemplars differs too: use this
control where samples are counted (`--currency samples`).
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from baselines.exemplar_masking import ExemplarMasking, Masks
from baselines.vilt import ViltInput


class RandomPatches(ExemplarMasking):
    """Exemplar masking with each sample's mask shuffled over its patches; all else is equal."""

    about: ClassVar[Mapping[str, str]] = {"name": "Random patches"}  # a control, of no paper

    def masks(self, inputs: Sequence[ViltInput]) -> list[Masks]:
        """The attention's own masks, shuffled; one input is always shuffled in the same way."""
        return [
            dataclasses.replace(masks, patches=self._rng(input).permutation(masks.patches))
            for input, masks in zip(inputs, super().masks(inputs), strict=True)
        ]

    def _rng(self, input: ViltInput) -> np.random.Generator:
        content = input.patches.tobytes() + input.token_ids.tobytes()
        return self.context.rng("shuffle", zlib.crc32(content))
