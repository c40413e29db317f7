"""Replay of pictures that are sharp within one box, drawn around what speaks for their class.

How training sees new samples is left to the method; this is how boxes are found and kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.codec_learner import CodecChoice, CodecLearner, RawInSamplesSettings
from baselines.evidence import SOURCES, class_evidence, heat_map
from baselines.exemplars.boxes import (
    Box,
    box_around,
    choose_codec,
    coarsen_around,
    decode_boxed,
    encode_boxed,
    rate,
)
from baselines.exemplars.codecs import decode_text, encode_text
from baselines.exemplars.pictures import available, damaged
from baselines.learner import Lazy, check_choice, require, setting
from baselines.vilt.inputs import Batch, ViltInput, collate
from baselines.vilt.pixels import Pixels, to_pixels
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.memory import Memory
from benchmark.method import MethodContext, PhaseData
from benchmark.processes import map_batches
from mm_imagenet_r.errors import UserError

_MEASURED = 12  # pictures that the codec is chosen on


@dataclass(frozen=True)
class BoxSettings(RawInSamplesSettings):
    """Settings of `BoxReplay`."""

    map: str = setting("vcam", f"what speaks for a class: {', '.join(SOURCES)}")
    tau: float = setting(0.6, "the box holds all above this share of the map")
    eta: int = setting(4, "pixels that become one around the box, a square number")

    @classmethod
    def candidates(cls) -> tuple[str, ...]:
        """Any codec: a box and a thumbnail can be stored raw."""
        return available()

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_choice("map", self.map, SOURCES)
        require(0 <= self.tau < 1, f"tau={self.tau}: a share of the map lies from 0 to below 1")
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
        """What of each input speaks for its class (B, K), by the model as it is."""
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
        choice = self.choice or self.settings.fixed
        choice = self.choice = choice or self._choose(whole, boxes, memory.currency)

        def make(number: int) -> StoredExemplar:
            pixels, box = _pixels(whole[number]), boxes[number]
            image = encode_boxed(pixels, box, eta, choice.codec, choice.quality)
            height, width, _ = pixels.shape
            kept, label = rate(box, height, width, eta), int(phase.train.labels[number])
            exemplar = Exemplar(label, image, encode_text(whole[number]), pixel_fraction=kept)
            return StoredExemplar(exemplar, phase.train.file_names[number], choice.codec)

        self.keep_ranked(phase, memory, features, make)

    def _choose(
        self, whole: Sequence[ViltInput], boxes: Sequence[Box], currency: str
    ) -> CodecChoice:
        """Codec and quality, measured on some samples of the first phase."""
        codec = self.settings.codec
        if codec == "auto" and currency != "bytes":
            return CodecChoice("raw", 100)  # bytes cost nothing there, so none are saved at a loss
        some = range(0, len(whole), -(-len(whole) // _MEASURED))
        pictures = [(_pixels(whole[i]), boxes[i]) for i in some]
        candidates = self.settings.candidates() if codec == "auto" else [codec]
        wanted = self.settings.min_psnr
        return CodecChoice(*choose_codec(pictures, self.settings.eta, candidates, wanted))

    def decode(self, exemplar: Exemplar) -> ViltInput:
        """The picture, sharp within its box, and the caption.

        Raises:
            ValueError: The exemplar is damaged.
        """
        pixels = decode_boxed(exemplar.image, self.settings.eta)
        words, _, _ = decode_text(exemplar.text)
        try:
            return self.preprocessor.input_of(pixels, words)
        except ValueError as error:
            raise damaged("image", str(error)) from error


def _pixels(input: ViltInput) -> Pixels:
    return to_pixels(input.patches, input.patch_indices, input.grid)
