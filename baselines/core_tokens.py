"""Core Tokensets for data-efficient replay (Paul et al., arXiv 2410.05800).

A coreset of samples, and of each the patches with the highest attribution. The paper tries several
ways of both. Here they are CRAIG's facility location (Mirzasoleiman et al., ICML 2020) on pooled
features, without its weights, and attention rollout weighted by gradients (Chefer et al., ICCV
2021), the relative of GradLRP that is sound for ViLT, whose class is read from one token. The same
share of patches is kept of all samples. The class the model itself predicts is attributed.

All else is as in exemplar masking, the closest method, so a comparison shows what the two choices
are worth: attribution instead of attention, and coverage instead of herding. That includes masking
new samples in training (`mask_prob`) and the codec, neither of which the paper has. Masks of new
samples in training are for the class that the model predicts before the phase is learned, when it
does not know their classes yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from baselines.evidence import attention_and_gradients, relevance
from baselines.exemplar_masking import ExemplarMasking, MaskingSettings, Masks
from baselines.exemplars.selection import Array
from baselines.settings import require, setting
from baselines.vilt import Batch, ViltInput


@dataclass(frozen=True)
class CoreTokensSettings(MaskingSettings):
    """Settings of `CoreTokens`."""

    keep: float = setting(
        0.36, "share of the patches that is kept", (0.18, 0.36, 0.54), within="(0, 1]"
    )
    selection: str = setting(
        "facility_location", "facility_location (CRAIG), herding, cosine (to the mean) or random"
    )

    def __post_init__(self) -> None:
        """Refuse settings of masking by attention."""
        super().__post_init__()
        same = (self.attention, self.tau_image) == ("last", 1.0)
        require(same, "attention and tau_image have no effect on core_tokens: set keep")
        require(not self.mask_text, "core_tokens keeps the words: mask_text has no effect on it")


class CoreTokens(ExemplarMasking):
    """Exemplar masking with attribution for attention, and a coreset for herding."""

    Settings = CoreTokensSettings
    renamed_settings: ClassVar[Mapping[str, str]] = {}
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    about: ClassVar[Mapping[str, str]] = {
        "name": "Core Tokensets",
        "paper": "Paul et al. 2024",
        "link": "https://arxiv.org/abs/2410.05800",
    }

    def masks(self, inputs: Sequence[ViltInput]) -> list[Masks]:
        """The patches with the highest attribution, and all words, of each input."""
        layers, share = len(self.vilt.model.encoder.layer), self.settings.keep

        def read(batch: Batch) -> list[Masks]:
            found = attention_and_gradients(self.model, batch, None, layers=layers)
            scores = relevance(*found[:2])[:, 0, batch.token_ids.shape[1] + 1 :]
            rows = scores.detach().float().cpu().numpy()
            counts = zip(batch.patch_mask.sum(1).tolist(), batch.text_mask.sum(1), strict=True)
            return [
                Masks(highest(row[:patches], share), np.ones(int(words), dtype=bool), row[:patches])
                for row, (patches, words) in zip(rows, counts, strict=True)
            ]

        return self.encode(inputs, read)


def highest(scores: Array, share: float) -> Array:
    """Where the highest of scores (K,) are, (K,) bool: a share of them, at least one.

    >>> highest(np.array([0.1, 0.4, 0.3, 0.4]), 0.5)
    array([False,  True, False,  True])
    """
    count = max(1, round(share * len(scores)))
    kept = np.zeros(len(scores), dtype=np.bool_)
    kept[np.argsort(-scores, kind="stable")[:count]] = True
    return kept
