"""Whole pictures as image files: JPEG, WebP or AVIF, and which of them needs the fewest bytes."""

from __future__ import annotations

import bisect
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image, features

from baselines.vilt.pixels import Pixels
from mm_imagenet_r.errors import UserError, did_you_mean

#: Qualities that are tried.
QUALITIES = (1, 3, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100)

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Codec:
    """How pixels are written: Pillow's name of the format (None: as they are) and its options."""

    format: str | None
    options: dict[str, Any]
    lossy: bool = True


_FULL_COLOR = {"subsampling": "4:4:4"}
_AVIF = {"speed": 6, "max_threads": 1}
#: By name; the order is part of what is stored, so new ones go to the end.
CODECS = {
    "raw": Codec(None, {}, lossy=False),
    "jpeg": Codec("JPEG", {"optimize": True}),
    "jpeg444": Codec("JPEG", {"optimize": True, **_FULL_COLOR}),
    "webp": Codec("WEBP", {"method": 6}),
    # Its quality is effort: more than this takes up to a hundred times as long and gains nothing.
    "webp_lossless": Codec("WEBP", {"method": 4, "lossless": True, "quality": 75}, lossy=False),
    "avif": Codec("AVIF", _AVIF),
    "avif444": Codec("AVIF", {**_AVIF, **_FULL_COLOR}),
}


def available() -> tuple[str, ...]:
    """Return the pixel codecs that this installation of Pillow has.

    `raw` and `webp_lossless` are lossless and ignore the quality; `444` keeps color at full
    resolution. All but `raw` make image files.
    """
    missing = {name for name in ("WEBP", "AVIF") if not features.check(name.lower())}
    return tuple(name for name, codec in CODECS.items() if codec.format not in missing)


def find_codec(name: str, quality: int) -> Codec:
    """Look up a codec that will be used at a quality.

    Raises:
        UserError: The codec is unknown here, or the quality out of range.
    """
    if name not in available():
        raise UserError(f"unknown image codec {name!r}: {did_you_mean(name, available())}")
    if not 1 <= quality <= 100:
        raise UserError(f"quality {quality} is out of range: choose one from 1 to 100")
    return CODECS[name]


def encode_picture(pixels: Pixels, codec: str, quality: int = 100) -> bytes:
    """Encode pixels (H, W, 3) as an image file.

    Args:
        pixels: uint8.
        codec: One of `available()`, but not `raw`.
        quality: 1 to 100.

    Raises:
        UserError: The codec is unknown here or makes no file, or the quality is out of range.
    """
    found = find_codec(codec, quality)
    if found.format is None:
        raise UserError(
            f"{codec!r} does not write image files: for lossless ones use 'webp_lossless'"
        )
    image, options = Image.fromarray(pixels), {"quality": quality, **found.options}
    try:
        return _save(image, found.format, options)
    except OSError:
        # Optimized JPEG must fit into a buffer that Pillow sizes for photographs; noise exceeds it.
        return _save(image, found.format, options | {"optimize": False})


def _save(image: Image.Image, format: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decode_picture(payload: bytes, formats: tuple[str, ...] = ()) -> Pixels:
    """Decode what `encode_picture` returned: pixels (H, W, 3) uint8.

    Args:
        payload: The file.
        formats: Pillow's names of those it may have; none for all that are available.

    Raises:
        ValueError: The payload is damaged.
    """
    formats = formats or tuple({CODECS[name].format or "" for name in available()} - {""})
    try:
        with Image.open(io.BytesIO(payload), formats=formats) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow's decoders raise nearly anything
        raise damaged(
            "image", f"its {'/'.join(sorted(formats))} cannot be decoded ({error})"
        ) from error


def damaged(part: str, why: str) -> ValueError:
    """The error for a part of an exemplar that cannot be read."""
    return ValueError(f"the {part} of an exemplar is damaged: {why}")


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio of 8-bit pixels in dB; infinite where nothing differs.

    >>> a = np.zeros((2, 2), dtype=np.uint8)
    >>> round(psnr(a, a + np.uint8(1)), 2)
    48.13
    >>> psnr(a, a)
    inf
    """
    difference = a.astype(np.float64) - b.astype(np.float64)
    error = float(np.mean(difference**2)) if difference.size else 0.0
    return 10 * math.log10(255**2 / error) if error else math.inf


def measure(pixels: Pixels, codec: str, quality: int) -> tuple[int, float]:
    """Bytes that pixels (H, W, 3) need as a file, and the PSNR in dB of what is read back."""
    payload = encode_picture(pixels, codec, quality)
    return len(payload), psnr(pixels, decode_picture(payload))


def fewest_bytes(
    items: Sequence[_Item],
    measure: Callable[[_Item, str, int], tuple[int, float]],
    candidates: Sequence[str],
    min_psnr: float,
) -> tuple[str, int]:
    """Return the codec and quality that need the fewest bytes for a wanted mean fidelity.

    For each codec, the lowest of `QUALITIES` whose mean PSNR suffices is found by bisection; of
    ties the earlier candidate wins.

    Args:
        items: Some of what will be stored.
        measure: Of an item, a codec and a quality: length in bytes and PSNR in dB.
        candidates: Names of codecs.
        min_psnr: In dB.

    Raises:
        UserError: No candidate reaches the fidelity.
        ValueError: There are no items.
    """
    if not items:
        raise ValueError("choosing a codec needs at least one picture to measure")
    best: tuple[float, str, int] = (math.inf, "", 0)
    for codec in candidates:
        ladder = QUALITIES if codec in CODECS and CODECS[codec].lossy else (100,)
        sizes: dict[int, float] = {}

        def enough(
            quality: int,
            codec: str = codec,
            sizes: dict[int, float] = sizes,
            most: float = best[0],
        ) -> bool:
            """Whether a quality suffices, or is too long, as then all above it are."""
            size, fidelity = 0, 0.0
            for item in items:
                length, reached = measure(item, codec, quality)
                size, fidelity = size + length, fidelity + reached
                if size >= most:
                    sizes[quality] = math.inf
                    return True
            sizes[quality] = size
            return fidelity / len(items) >= min_psnr

        at = bisect.bisect_left(ladder, True, key=enough)
        if at < len(ladder) and sizes[ladder[at]] < best[0]:
            best = (sizes[ladder[at]], codec, ladder[at])
    if not best[1]:
        raise UserError(
            f"none of the codecs {', '.join(candidates)} reaches {min_psnr} dB: lower the wanted "
            "fidelity, or allow a lossless codec"
        )
    return best[1:]
