"""Replay of low-resolution copies that are enlarged again.

After the abstract of GPS, grid-based patch sampling (Ma et al., arXiv 2504.10409): one pixel of
each cell of a grid is kept, which gives a small picture. There several small pictures are put
together for training; here each is enlarged to its former size, so that all methods train in the
same way. The small picture is stored as `codec` stores whole ones. Where samples are counted it is
charged the share of its pixels, 1/factor^2; bytes are free then, and the codec is lossless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from baselines.codec import CodecReplay, CodecReplaySettings
from baselines.codec_learner import FIDELITIES, FIDELITY
from baselines.settings import setting
from baselines.vilt.pixels import Pixels
from benchmark.method import MethodContext
from mm_imagenet_r.errors import UserError


@dataclass(frozen=True)
class LowResolutionSettings(CodecReplaySettings):
    """Settings of `LowResolution`."""

    codec: str = setting("auto", "auto (fewest bytes; lossless if bytes are free) or a codec")
    compress_new: float = setting(
        0.0, "chance that a new sample is reduced and enlarged in training", search=(0.0, 1.0)
    )
    min_psnr: float = setting(23.0, FIDELITY, search=FIDELITIES, search_in="bytes")
    factor: int = setting(2, "sides of a picture are this many times shorter", within="[2, inf)")
    sampling: str = setting(
        "pixel", "kept of a cell: pixel (one, as in GPS) or mean", choices=("pixel", "mean")
    )


class LowResolution(CodecReplay):
    """Stores small copies of pictures."""

    Settings = LowResolutionSettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "Low resolution (GPS)",
        "paper": "Ma et al. 2025",
        "link": "https://arxiv.org/abs/2504.10409",
    }

    free_codec: ClassVar[str] = "webp_lossless"

    def __init__(self, context: MethodContext, settings: LowResolutionSettings) -> None:
        super().__init__(context, settings)
        size = self.preprocessor.patch_size
        if settings.factor > size:
            raise UserError(
                f"factor={settings.factor}: a patch has {size} pixels a side; at most that many"
            )

    def reduce(self, pixels: Pixels) -> Pixels:
        """One pixel of each cell."""
        return shrink(pixels, self.settings.factor, self.settings.sampling)

    def enlarge(self, pixels: Pixels) -> Pixels:
        """Enlarge (bicubic) and crop what cells had beyond the edge, less than a patch."""
        height, width = (side * self.settings.factor for side in pixels.shape[:2])
        large = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
        size = self.preprocessor.patch_size
        return np.asarray(large)[: height // size * size, : width // size * size]

    def share(self, pixels: Pixels, stored: int, native: int) -> float:
        """The share of the pixels."""
        return self.reduce(pixels).size / pixels.size


def shrink(pixels: Pixels, factor: int, sampling: str = "pixel") -> Pixels:
    """Pixels (H, W, 3) with one for each cell of factor x factor: its middle, or its mean.

    Cells at the right and lower edge may be smaller.

    >>> pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> shrink(pixels, 2)[..., 0]
    array([[15, 21],
           [39, 45]], dtype=uint8)
    >>> shrink(pixels, 2, "mean")[..., 0]
    array([[ 8, 14],
           [32, 38]], dtype=uint8)
    >>> shrink(pixels, 3)[..., 0]
    array([[15, 21],
           [39, 45]], dtype=uint8)
    """
    if sampling == "mean":
        return np.asarray(Image.fromarray(pixels).reduce(factor))
    rows, columns = (
        np.minimum(np.arange(factor // 2, side + factor // 2, factor), side - 1)
        for side in pixels.shape[:2]
    )
    return pixels[np.ix_(rows, columns)]
