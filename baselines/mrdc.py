"""MRDC: Memory Replay with Data Compression for Continual Learning (Wang et al., ICLR 2022).

Exemplars are the native pictures as JPEG files of one quality and full resolution, chosen by
herding on the compressed pictures; new samples stay as they are. A lower quality buys more
exemplars. The paper's rule takes the lowest quality that preserves what it calls the feature
volume: for each quality q, as many exemplars as then fit are herded among the compressed samples of
each class and equally many among the originals, and the squared ratio R_q of the volumes that their
features span must be near one. The rule is applied once, after training on the first phase.

Ratio and herding follow the released code (github.com/lywang3081/MRDC), which prints one volume at
a time; the number of exemplars is what really fits, not a ratio of folder sizes. Where samples are
counted, an exemplar is charged the bytes of its file over those of the native one, as in that code
(`codec_learner.relative_size`). A file that JPEG would enlarge is kept as it is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from baselines.codec_learner import CodecChoice, CodecLearner, relative_size
from baselines.exemplars import selection
from baselines.exemplars.codecs import encode_text
from baselines.exemplars.pictures import damaged, encode_picture
from baselines.exemplars.selection import Array
from baselines.learner import Lazy
from baselines.replay_learner import ReplaySettings
from baselines.settings import require, setting
from baselines.vilt.pixels import Pixels, decode
from benchmark.budget import fill
from benchmark.data import Sample
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.memory import Memory
from benchmark.method import PhaseData

_log = logging.getLogger(__name__)
#: JPEG qualities among which the rule chooses.
QUALITIES = (10, 25, 50, 75, 90)
_VANISHED = -500.0  # classes whose volume has no larger logarithm do not count


@dataclass(frozen=True)
class MRDCSettings(ReplaySettings):
    """Settings of `MRDC`."""

    quality: int = setting(0, "JPEG quality, 1 to 100; 0: by the rule", within="[0, 100]")
    epsilon: float = setting(
        0.5,
        "how far the rule's ratio of volumes may be from 1",
        search=(0.5, 0.25, 1.0, 2.0),
        within="(0, inf)",
    )

    def __post_init__(self) -> None:
        """Refuse values that could not take effect."""
        super().__post_init__()
        require(not self.quality or self.epsilon == 0.5, "epsilon has no effect with a quality")


class MRDC(CodecLearner):
    """Stores native pictures as JPEG files of one quality."""

    Settings = MRDCSettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "MRDC", "paper": "Wang et al. 2022", "link": "https://arxiv.org/abs/2202.06592",
    }  # fmt: skip

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Compress all samples, rank those of each new class, keep the first that fit."""
        if self.choice is None:
            quality = self.settings.quality or self.quality_by_rule(phase, memory)
            self.choice = CodecChoice("jpeg", quality)
        make = self.compressed(phase, self.choice.quality)
        self.keep_ranked(phase, memory, self.features_of(phase, make), make)

    def quality_by_rule(self, phase: PhaseData, memory: Memory) -> int:
        """The quality by the rule."""
        quality, kept = choose_quality(self.ratios(phase, memory), self.settings.epsilon)
        if not kept and not self.context.rank:
            _log.warning(
                "note: no JPEG quality preserves the feature volume within "
                f"{self.settings.epsilon}; mrdc uses the highest, {quality}"
            )
        return quality

    def ratios(self, phase: PhaseData, memory: Memory) -> Iterator[tuple[int, float]]:
        """R_q for each of `QUALITIES`, computed on demand."""

        def cost(make: Callable[[int], StoredExemplar], number: int) -> float:
            return memory.cost(make(number).exemplar)

        originals = self.features(self.inputs(phase.train))
        for quality in QUALITIES:
            make = self.compressed(phase, quality)
            features = self.features_of(phase, make)
            volumes = []
            for label in phase.new:
                own = np.flatnonzero(phase.train.labels == label)
                if not len(own):
                    continue
                ranking = own[selection.herding(features[own])].tolist()
                fit = fill(ranking, partial(cost, make), memory.allowance(label))
                fit = fit[: features.shape[1]]  # more vectors would span no volume
                equal = own[selection.herding(originals[own])[: len(fit)]]
                volumes.append((log_volume(features[fit]), log_volume(originals[equal])))
            yield quality, volume_ratio(volumes)

    def features_of(self, phase: PhaseData, make: Callable[[int], StoredExemplar]) -> Array:
        """Features (N, D) of a phase's samples as they would be stored."""
        inputs = Lazy(lambda i: self.decode(make(i).exemplar), len(phase.train))
        return self.features(inputs)

    def compressed(self, phase: PhaseData, quality: int) -> Callable[[int], StoredExemplar]:
        """Samples of a phase by number, as exemplars at a JPEG quality."""
        return lambda i: self.store(phase.train[i], quality)

    def store(self, sample: Sample, quality: int) -> StoredExemplar:
        """Encode a sample."""
        picture = decode(sample.image)
        image, codec = encode_picture(np.asarray(picture), "jpeg", quality), "jpeg"
        if len(image) >= len(sample.image):
            image, codec = sample.image, "native"
        raw = 3 * self.input_pixels(*picture.size)
        exemplar = Exemplar(
            sample.label,
            image,
            encode_text(self.input(sample)),
            pixel_fraction=relative_size(len(image), len(sample.image), raw),
        )
        return StoredExemplar(exemplar, sample.file_name, codec)

    def decode_pixels(self, image: bytes) -> Pixels:
        """The picture, resized for the model as native ones are."""
        try:
            return self.preprocessor.pixels(image)
        except Exception as error:  # Pillow's decoders raise nearly anything
            raise damaged("image", "its file cannot be decoded") from error


def log_volume(features: Array) -> float:
    """Logarithm of the volume that unit features (N, D) span; -inf if they are dependent.

    It is half the logarithm of their Gram matrix's determinant; 0 of none.

    >>> round(log_volume(np.array([[1, 0], [0.5, 3**0.5 / 2]])), 6)
    -0.143841
    >>> log_volume(np.array([[1, 0], [2, 0]]))
    -inf
    """
    rows = selection.unit(features)
    if len(rows) and np.linalg.matrix_rank(rows) < len(rows):
        return -math.inf
    return 0.5 * float(np.linalg.slogdet(rows @ rows.T)[1])


def volume_ratio(volumes: Sequence[tuple[float, float]]) -> float:
    """R_q of each class's log volumes, compressed and original; nan if none of them counts.

    >>> round(volume_ratio([(-0.693147, -0.143841)]), 6)
    0.333333
    >>> round(volume_ratio([(-0.2, -0.1), (-0.5, -0.3), (-math.inf, -0.3)]), 6)
    0.740818
    """
    counted = [own - other for own, other in volumes if min(own, other) > _VANISHED]
    if not counted:
        return math.nan
    exponent = 2 * math.fsum(counted) / len(counted)
    return math.exp(min(exponent, 700.0))  # more overflows, and is as far from 1


def choose_quality(ratios: Iterable[tuple[int, float]], epsilon: float) -> tuple[int, bool]:
    """The first quality whose R_q is near 1, or else the last; and whether there was one.

    >>> choose_quality([(10, 1 / 3), (25, 0.740818), (50, 0.9)], 0.5)
    (25, True)
    >>> choose_quality([(10, 1 / 3), (25, math.nan)], 0.5)
    (25, False)
    """
    for quality, ratio in ratios:
        if abs(ratio - 1) < epsilon:
            return quality, True
    return quality, False
