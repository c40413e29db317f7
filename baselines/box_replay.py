"""Replay of pictures that are sharp within one box, drawn around the evidence for their class.

This is how boxes are found and kept; how training shows new samples is left to the method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.codec_learner import CodecLearner, PartSettings
from baselines.evidence import SOURCES, class_evidence, heat_map
from baselines.exemplars.boxes import (
    Box,
    box_around,
    coarsen_around,
    decode_boxed,
    encode_boxed,
    measure,
    rate,
)
from baselines.exemplars.codecs import encode_text
from baselines.learner import Lazy
from baselines.settings import require, setting
from baselines.vilt import Batch, ViltInput, collate
from baselines.vilt.pixels import Pixels, to_pixels
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.memory import Memory
from benchmark.method import MethodContext, PhaseData
from benchmark.processes import map_batches
from mm_imagenet_r.errors import UserError


@dataclass(frozen=True)
class BoxSettings(PartSettings):
    """Settings of `BoxReplay`."""

    map: str = setting("vcam", f"evidence for a class: {', '.join(SOURCES)}", choices=SOURCES)
    tau: float = setting(0.6, "the box holds all above this share of the map", within="[0, 1)")
    eta: int = setting(4, "pixels that become one around the box, a square number")

    def __post_init__(self) -> None:
        """Refuse an eta that has no integer root."""
        super().__post_init__()
        square = self.eta > 1 and math.isqrt(self.eta) ** 2 == self.eta
        require(square, f"eta={self.eta}: choose a square number, such as 4, 9 or 16")


class BoxReplay(CodecLearner):
    """Keeps a sharp box of each exemplar, and the rest at a lower resolution."""

    Settings = BoxSettings

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self._side, size = math.isqrt(settings.eta), self.preprocessor.patch_size
        if size % self._side:
            fit = ", ".join(str(n * n) for n in range(2, size + 1) if not size % n)
            raise UserError(
                f"eta={settings.eta}: {self._side} does not divide the {size} pixels of a patch; "
                f"choose one of {fit}"
            )

    def evidence(self, batch: Batch, labels: Tensor) -> Tensor:
        """Evidence of each patch for the class of its input (B, K), by the current model."""
        return class_evidence(self.model, batch, labels, self.settings.map)[0]

    def draw_boxes(self, phase: PhaseData) -> list[Box]:
        """The box of each of the phase's samples for its own class, in pixels."""
        inputs, context, size = self.inputs(phase.train), self.context, self.preprocessor.patch_size
        labels = torch.tensor(np.asarray(phase.train.labels), dtype=torch.long)

        def work(chosen: Sequence[int]) -> list[Box]:
            seen = [inputs[i] for i in chosen]
            batch, own = collate(seen).to(context.device), labels[list(chosen)].to(context.device)
            rows = self.evidence(batch, own).detach().float().cpu()
            heats = [
                heat_map(row[: len(input.patch_indices)], input.grid, size)
                for input, row in zip(seen, rows, strict=True)
            ]
            return [box_around(heat.numpy(), self.settings.tau, self._side) for heat in heats]

        return map_batches(work, len(inputs), context.batch_size, context.rank, context.world)

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Rank the compressed samples of each new class and keep the first that fit."""
        boxes, whole, eta = self.draw_boxes(phase), self.inputs(phase.train), self.settings.eta

        def compressed(number: int) -> ViltInput:
            pixels = coarsen_around(_pixels(whole[number]), boxes[number], eta)
            return self.preprocessor.input_of(pixels, whole[number].token_ids)

        features = self.features(Lazy(compressed, len(whole)))
        boxed = Lazy(lambda i: (_pixels(whole[i]), boxes[i]), len(whole))

        def measured(one: tuple[Pixels, Box], codec: str, quality: int) -> tuple[int, float]:
            return measure(*one, eta, codec, quality)

        choice = self.choose(boxed, measured, memory.currency)

        def make(number: int) -> StoredExemplar:
            pixels, box = _pixels(whole[number]), boxes[number]
            image = encode_boxed(pixels, box, eta, choice.codec, choice.quality)
            height, width, _ = pixels.shape
            kept, label = rate(box, height, width, eta), int(phase.train.labels[number])
            exemplar = Exemplar(label, image, encode_text(whole[number]), pixel_fraction=kept)
            return StoredExemplar(exemplar, phase.train.file_names[number], choice.codec)

        self.keep_ranked(phase, memory, features, make)

    def decode_pixels(self, image: bytes) -> Pixels:
        """The picture, sharp within its box."""
        return decode_boxed(image, self.settings.eta)


def _pixels(input: ViltInput) -> Pixels:
    return to_pixels(input.patches, input.patch_indices, input.grid)
