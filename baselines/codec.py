"""Replay of whole pictures at the size the model sees, as ordinary image files.

After the abstract of "Probing Image Compression for Class-Incremental Learning" (Yang et al., arXiv
2403.06288): exemplars are compressed so that more of them fit; codec and rate are chosen in
advance, and new samples pass through the same codec, so that old and new ones do not differ by it.
The way of choosing is ours: JPEG, WebP or AVIF, whichever needs the fewest bytes for a wanted
fidelity on a dozen pictures of the first phase; no neural codec, whose weights would have to be
stored too.

Where samples are counted, an exemplar is charged the bytes of its image over those of the native
file (`codec_learner.relative_size`). The caption is kept whole, at two bytes per token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from baselines.codec_learner import CodecLearner, CodecSettings, relative_size
from baselines.exemplars.codecs import encode_text
from baselines.exemplars.pictures import decode_picture, encode_picture, measure
from baselines.learner import Lazy
from baselines.settings import setting
from baselines.vilt import ViltInput
from baselines.vilt.pixels import Pixels
from benchmark.data import Sample
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.memory import Memory
from benchmark.method import PhaseData


@dataclass(frozen=True)
class CodecReplaySettings(CodecSettings):
    """Settings of `CodecReplay`."""

    compress_new: float = setting(
        1.0, "chance that a new sample is compressed in training", (0.0, 1.0), within="[0, 1]"
    )


class CodecReplay(CodecLearner):
    """Stores whole pictures as image files and passes new ones through the same codec."""

    Settings = CodecReplaySettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "Codec replay",
        "paper": "Yang et al. 2024",
        "link": "https://arxiv.org/abs/2403.06288",
    }

    free_codec: ClassVar[str] = ""

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Choose codec and quality, unless that is done."""
        super().begin_phase(phase, memory)
        self._stored: dict[str, Exemplar] = {}
        pixels = self.preprocessor.pixels
        pictures = Lazy(lambda i: self.reduce(pixels(phase.train[i].image)), len(phase.train))
        self.choose(pictures, measure, memory.currency)

    def stored(self, sample: Sample) -> Exemplar:
        """What would be kept of a sample; encoded once per phase."""
        if sample.file_name not in self._stored:
            self._stored[sample.file_name] = self.store(sample)
        return self._stored[sample.file_name]

    def store(self, sample: Sample) -> Exemplar:
        """Encode a sample."""
        assert self.choice is not None, "begin_phase chooses"
        pixels = self.preprocessor.pixels(sample.image)
        words = self.preprocessor.token_ids(sample.caption)
        image = encode_picture(self.reduce(pixels), self.choice.codec, self.choice.quality)
        return Exemplar(
            sample.label,
            image,
            encode_text(self.preprocessor.input_of(pixels, words)),
            pixel_fraction=self.share(pixels, len(image), len(sample.image)),
        )

    def decode_pixels(self, image: bytes) -> Pixels:
        """The picture as it was stored."""
        return self.enlarge(decode_picture(image))

    def reduce(self, pixels: Pixels) -> Pixels:
        """What is encoded of the pixels (H, W, 3) that the model sees; here all."""
        return pixels

    def enlarge(self, pixels: Pixels) -> Pixels:
        """The way back from what `reduce` returned."""
        return pixels

    def share(self, pixels: Pixels, stored: int, native: int) -> float:
        """Share of a whole sample that is charged where samples are counted.

        Args:
            pixels: As the model sees them.
            stored: Bytes that are kept of them.
            native: Bytes of the sample's own file.
        """
        return relative_size(stored, native, pixels.nbytes)

    def augment(
        self, items: Sequence[Sample | Exemplar], rng: np.random.Generator
    ) -> list[ViltInput]:
        """Pass new samples through the codec."""
        return [
            self.input(
                self.stored(item)
                if isinstance(item, Sample) and draw < self.settings.compress_new
                else item
            )
            for item, draw in zip(items, rng.random(len(items)), strict=True)
        ]

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Rank the samples of each new class as they would be stored; keep the first that fit."""
        assert self.choice is not None, "begin_phase chooses"
        samples, names, codec = phase.train, phase.train.file_names, self.choice.codec
        features = self.features(Lazy(lambda i: self.input(self.stored(samples[i])), len(samples)))
        self.keep_ranked(
            phase, memory, features,
            lambda i: StoredExemplar(self.stored(samples[i]), names[i], codec),
        )  # fmt: skip
