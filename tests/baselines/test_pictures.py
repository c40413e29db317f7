"""Whole pictures as image files."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from baselines.exemplars.pictures import (
    CODECS,
    QUALITIES,
    available,
    decode_picture,
    encode_picture,
    fewest_bytes,
    measure,
    psnr,
)
from mm_imagenet_r.errors import UserError

FILES = [name for name in available() if name != "raw"]


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    channels = [128 + 90 * np.sin(x / 9 + y / 17 + phase) for phase in (0, 1, 2)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("codec", FILES)
@pytest.mark.parametrize("sides", [(7, 40), (64, 48)])
def test_any_viewer_opens_what_is_stored(codec: str, sides: tuple[int, int]) -> None:
    pixels = smooth(*sides)
    payload = encode_picture(pixels, codec, 95)
    found = decode_picture(payload)
    assert (found.shape, found.dtype) == (pixels.shape, np.uint8)
    wanted = 30 if CODECS[codec].lossy else math.inf
    assert psnr(pixels, found) >= wanted
    assert np.array_equal(decode_picture(payload, (CODECS[codec].format or "",)), found)


@pytest.mark.parametrize("codec", FILES)
def test_damage_is_told(codec: str) -> None:
    payload = encode_picture(smooth(40, 40), codec, 60)
    for broken in (b"", b"no picture", payload[: len(payload) // 2], b"\xff" * 9 + payload[9:]):
        with pytest.raises(ValueError, match="image of an exemplar is damaged"):
            decode_picture(broken)


def test_no_other_format_is_opened() -> None:
    with pytest.raises(ValueError, match="damaged: its JPEG cannot be decoded"):
        decode_picture(encode_picture(smooth(40, 40), "webp", 60), ("JPEG",))


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'webp'"):
        encode_picture(smooth(8, 8), "wepb", 60)
    with pytest.raises(UserError, match="'raw' does not write image files"):
        encode_picture(smooth(8, 8), "raw")
    with pytest.raises(UserError, match="from 1 to 100"):
        encode_picture(smooth(8, 8), "jpeg", 0)


def test_noise_is_encoded_too() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (384, 384, 3), dtype=np.uint8)
    assert decode_picture(encode_picture(noise, "jpeg", 100)).shape == noise.shape


def test_the_fewest_bytes_for_a_fidelity() -> None:
    pictures = [smooth(64, 64), smooth(64, 96)]

    def tried(codec: str, quality: int) -> tuple[int, float]:
        payloads = [encode_picture(pixels, codec, quality) for pixels in pictures]
        found = [psnr(p, decode_picture(b)) for p, b in zip(pictures, payloads, strict=True)]
        return sum(map(len, payloads)), sum(found) / 2

    codec, quality = fewest_bytes(pictures, measure, FILES, 33.0)
    size, fidelity = tried(codec, quality)
    assert fidelity >= 33
    rivals = [tried(name, q) for name in FILES for q in QUALITIES]
    assert size <= min(other for other, reached in rivals if reached >= 33) * 1.05
    # Where no lossy codec reaches it, the lossless one does; without it that is told.
    assert fewest_bytes(pictures, measure, FILES, 200.0) == ("webp_lossless", 100)
    with pytest.raises(UserError, match=r"none of the codecs jpeg, webp reaches 99.0 dB"):
        fewest_bytes(pictures, measure, ["jpeg", "webp"], 99.0)
    with pytest.raises(ValueError, match="at least one picture"):
        fewest_bytes([], measure, FILES, 30.0)


def test_stored_files_are_those_that_their_names_say() -> None:
    for codec in FILES:
        with Image.open(io.BytesIO(encode_picture(smooth(16, 16), codec, 50))) as image:
            assert image.format == CODECS[codec].format
