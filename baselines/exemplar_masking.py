"""Exemplar Masking for Multimodal Incremental Learning (Lee et al., arXiv 2412.09549).

Of an exemplar only those patches are kept that the class token attends to, and those words that the
discarded patches attend to, so that more exemplars fit into the same memory. This follows the
abstract, the figures and their captions; the rest is settings, with defaults chosen on validation
data (docs/ablation.md has the figures). Masking new samples in training as well has a precedent in
CIM (Luo et al., CVPR 2023), whose code (foster.py, der.py) shows new samples compressed at random,
with a chance that grows with the epochs.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from baselines.codec_learner import CodecLearner, PartSettings
from baselines.exemplars import codecs
from baselines.exemplars.selection import Array
from baselines.learner import Lazy
from baselines.settings import require, setting
from baselines.vilt import Batch, Vilt, ViltInput
from baselines.vilt.attention import SOURCES, above_mean, patch_scores, reduce_layers, token_scores
from benchmark.data import Sample
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.memory import Memory
from benchmark.method import PhaseData


@dataclass(frozen=True)
class MaskingSettings(PartSettings):
    """Settings of `ExemplarMasking`."""

    attention: str = setting(
        "last", f"layers of the attention maps: {', '.join(SOURCES)}", choices=SOURCES
    )
    tau_image: float = setting(1.0, "patches with more than this times the mean attention are kept")
    mask_text: bool = setting(False, "drop words too, by the attention of discarded patches")
    tau_text: float = setting(1.0, "words with more than this times the mean attention are kept")
    mask_prob: float = setting(
        1.0, "chance that a new sample is masked in training", within="[0, 1]"
    )
    text_swap_prob: float = setting(
        0.5, "chance that an exemplar gets the text of another one of its class", within="[0, 1]"
    )

    def __post_init__(self) -> None:
        """Refuse a threshold that could not take effect."""
        super().__post_init__()
        alone = self.tau_text != 1.0 and not self.mask_text
        require(not alone, "tau_text has no effect without mask_text=true")


@dataclass(frozen=True)
class Masks:
    """What to keep of one input, and the attention that decides it."""

    patches: Array  # (K,) bool
    words: Array  # (T,) bool
    attention: Array  # (K,) float32, of [CLS] to each patch


def attended(
    model: Vilt, batch: Batch, settings: MaskingSettings, special: tuple[int, int]
) -> list[Masks]:
    """What to keep of each sample of a batch: the patches and words that get attention.

    Args:
        model: On the device of the batch.
        batch: Whole samples.
        settings: Source of attention, and the thresholds.
        special: Ids of [CLS] and [SEP], which are always kept and not counted in the mean.
    """
    out = model(batch, attentions=True)
    attention, first = reduce_layers(out.attentions or [], settings.attention), out.first_patch
    scores = patch_scores(attention, first)
    patches = above_mean(scores, batch.patch_mask, settings.tau_image)
    words = batch.text_mask.clone()
    if settings.mask_text:
        dropped = batch.patch_mask & ~patches
        text = token_scores(attention, dropped, words.shape[1], first)
        inner = words & (batch.token_ids != special[0]) & (batch.token_ids != special[1])
        words = (words & ~inner) | above_mean(text, inner, settings.tau_text)
    rows = zip(patches.cpu(), words.cpu(), scores.float().cpu(), strict=True)
    sizes = zip(batch.patch_mask.sum(1).tolist(), batch.text_mask.sum(1).tolist(), strict=True)
    return [
        Masks(p[:k].numpy(), w[:t].numpy(), s[:k].numpy())
        for (p, w, s), (k, t) in zip(rows, sizes, strict=True)
    ]


class ExemplarMasking(CodecLearner):
    """Masks, selects, stores and replays exemplars."""

    Settings = MaskingSettings
    renamed_settings: ClassVar[Mapping[str, str]] = {
        "swap": "text_swap_prob",
        "masked_training": "mask_prob",
    }
    about: ClassVar[Mapping[str, str]] = {
        "name": "Exemplar masking",
        "paper": "Lee et al. 2024",
        "link": "https://arxiv.org/abs/2412.09549",
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The control for the gain by the codec alone, without masking: every patch is kept.
        "whole": {"tau_image": 0.0, "mask_prob": 0.0},
        # What the captions of the paper's Fig. 2 and 3 and the maps of its Fig. 4 show: new data
        # beside exemplars, masks made after training, a threshold at a sample's own mean (all 516
        # cells of Fig. 4), words by the attention of discarded patches, cosine selection. Ours are
        # the layer (the last) and what augmentation exchanges (texts within a class).
        "figures": {
            "attention": "last",
            "tau_image": 1.0,
            "mask_text": True,
            "tau_text": 1.0,
            "mask_prob": 0.0,
            "text_swap_prob": 0.5,
            "selection": "cosine",
        },
    }

    measured: ClassVar[int] = 6

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Mask the new samples as exemplars will be, for training on masked samples."""
        super().begin_phase(phase, memory)
        self._masks: dict[str, Masks] = {}
        if self.settings.mask_prob:
            found = self.masks(self.inputs(phase.train))
            self._masks = dict(zip(phase.train.file_names, found, strict=True))
        self._texts: dict[int, list[ViltInput]] = {}
        for exemplar in memory.exemplars():
            self._texts.setdefault(exemplar.label, []).append(self.input(exemplar))

    def decode(self, exemplar: Exemplar) -> ViltInput:
        """The kept patches and words."""
        size = self.preprocessor.patch_size
        patches, indices, grid = codecs.decode_patches(exemplar.image, size)
        return ViltInput(patches, indices, grid, *codecs.decode_text(exemplar.text))

    def augment(
        self, items: Sequence[Sample | Exemplar], rng: np.random.Generator
    ) -> list[ViltInput]:
        """Mask some new samples; give some exemplars the text of another of their class."""
        inputs = []
        for item, draw in zip(items, rng.random(len(items)), strict=True):
            input = self.input(item)
            if isinstance(item, Exemplar):
                if draw < self.settings.text_swap_prob:
                    partners = self._texts[item.label]
                    input = input.with_text_of(partners[int(rng.integers(len(partners)))])
            elif draw < self.settings.mask_prob:
                masks = self._masks[item.file_name]
                input = input.keep(masks.patches, masks.words)
            inputs.append(input)
        return inputs

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Mask all samples, rank those of each new class, keep the first that fit."""
        whole = self.inputs(phase.train)
        masks = self.masks(whole)
        masked = Lazy(lambda i: whole[i].keep(masks[i].patches, masks[i].words), len(whole))
        features = self.features(masked)
        # The class mean is that of untouched samples; only cosine uses it.
        centers = self.features(whole) if self.settings.selection == "cosine" else features
        choice = self.choose(masked, codecs.measure, memory.currency)
        names = phase.train.file_names

        def make(number: int) -> StoredExemplar:
            input, label = masked[number], int(phase.train.labels[number])
            exemplar = codecs.encode(input, label, choice.codec, choice.quality)
            return StoredExemplar(exemplar, names[number], choice.codec)

        self.keep_ranked(phase, memory, features, make, centers)

    def masks(self, inputs: Sequence[ViltInput]) -> list[Masks]:
        """Which patches and words of each input are kept."""
        special = self.preprocessor.cls_token_id, self.preprocessor.sep_token_id
        model, settings = self.model.vilt, self.settings
        return self.encode(inputs, lambda batch: attended(model, batch, settings, special))

    def gallery(self, phase: PhaseData, memory: Memory) -> list[dict[str, Any]]:
        """The best exemplars of two new classes: image, attention, what is kept, what it costs."""
        first = {row["file_name"]: row for row in memory.selected() if row["rank"] == 0}
        names = phase.train.file_names
        chosen = phase.train.select([i for i, name in enumerate(names) if name in first][:2])
        inputs = [self.input(sample) for sample in chosen]
        pictures = []
        for sample, input, masks in zip(chosen, inputs, self.masks(inputs), strict=True):
            tokens = self.preprocessor.tokenizer.convert_ids_to_tokens(input.token_ids.tolist())
            words = [
                {"text": token, "kept": bool(kept)}
                for token, kept in zip(tokens, masks.words, strict=True)
                if token not in ("[CLS]", "[SEP]")
            ]
            stored = first[sample.file_name]
            pictures.append(
                {
                    "file_name": sample.file_name,
                    "label": sample.label,
                    "image": base64.b64encode(input.png()).decode(),
                    "grid": list(input.grid),
                    "attention": [round(float(score), 5) for score in masks.attention],
                    "kept": masks.patches.tolist(),
                    "words": words,
                    "bytes": stored["bytes"],
                    "native_bytes": len(sample.image) + len(sample.caption.encode()),
                    "codec": stored["codec"],
                }
            )
        return pictures
