from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from baselines.exemplars.codecs import (
    decode_patches,
    decode_text,
    encode_patches,
    encode_text,
    measure,
)
from baselines.exemplars.pictures import QUALITIES, available, fewest_bytes, psnr
from baselines.vilt import ViltInput
from baselines.vilt.pixels import from_pixels
from mm_imagenet_r.errors import UserError

LOSSLESS = [name for name in available() if name in ("raw", "webp_lossless")]
LOSSY = [name for name in available() if name not in LOSSLESS]


def undamaged(decode: Callable[[], Any]) -> Any:
    """What a payload decodes to, or None if the decoder calls it damaged."""
    try:
        return decode()
    except ValueError as error:
        message = str(error)
    assert "of an exemplar is damaged" in message
    return None


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    channels = [128 + 90 * np.sin(x / 9 + y / 17 + phase) for phase in (0, 1, 2)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def input_of(pixels: np.ndarray, size: int, words: int = 6) -> ViltInput:
    patches = from_pixels(pixels, size)
    return ViltInput(
        patches=patches,
        patch_indices=np.arange(len(patches)),
        grid=(pixels.shape[0] // size, pixels.shape[1] // size),
        token_ids=np.arange(words) * 7 + 2,
        positions=np.arange(words),
        text_length=words,
    )


@st.composite
def masked_views(draw: st.DrawFn) -> ViltInput:
    size = draw(st.sampled_from([12, 32]))
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 19))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    input = input_of(rng.integers(0, 256, (rows * size, columns * size, 3), dtype=np.uint8), size)
    count = draw(st.sampled_from([0, 1, rows * columns]) | st.integers(0, rows * columns))
    mask = np.zeros(rows * columns, dtype=bool)
    mask[rng.permutation(len(mask))[:count]] = True
    return input.keep(patches=mask)


@given(masked_views())
@settings(max_examples=60, deadline=None)
def test_raw_loses_nothing(input: ViltInput) -> None:
    payload = encode_patches(input, "raw")
    patches, patch_indices, grid = decode_patches(payload, input.patches.shape[1])
    assert np.array_equal(patches, input.patches)
    assert patches.dtype == np.uint8
    assert np.array_equal(patch_indices, input.patch_indices)
    assert patch_indices.dtype == np.int64
    assert grid == input.grid
    cells = input.grid[0] * input.grid[1]
    listed = (len(patch_indices) + 1) * (2 if cells > 256 else 1)
    kept = 0 if len(patch_indices) == cells else min(-(-cells // 8), listed)
    assert len(payload) == 3 + kept + input.patches.nbytes


@pytest.mark.skipif("webp_lossless" not in LOSSLESS, reason="this Pillow has no WebP")
@pytest.mark.parametrize("size", [12, 32])
def test_lossless_webp_loses_nothing(size: int) -> None:
    input = input_of(smooth(5 * size, 4 * size), size).keep(patches=np.arange(20) % 4 != 1)
    payload = encode_patches(input, "webp_lossless")
    assert np.array_equal(decode_patches(payload, size)[0], input.patches)
    assert len(payload) < input.patches.nbytes / 2


@given(masked_views(), st.sampled_from(LOSSY), st.integers(1, 100))
@settings(max_examples=25, deadline=None)
def test_lossy_codecs_keep_places_and_shape(input: ViltInput, codec: str, quality: int) -> None:
    payload = encode_patches(input, codec, quality)
    assert payload == encode_patches(input, codec, quality)
    patches, patch_indices, grid = decode_patches(payload, input.patches.shape[1])
    assert patches.shape == input.patches.shape
    assert np.array_equal(patch_indices, input.patch_indices)
    assert grid == input.grid


@pytest.mark.parametrize("codec", LOSSY)
@pytest.mark.parametrize("size", [12, 32])
def test_lossy_codecs_are_faithful(codec: str, size: int) -> None:
    """Every patch comes back in its own place, better at a higher quality, for more bytes."""
    input = input_of(smooth(8 * size, 9 * size), size).keep(patches=np.arange(72) % 7 < 3)
    low, high = (encode_patches(input, codec, quality) for quality in (30, 95))
    assert len(low) < len(high) < input.patches.nbytes / 2
    by_patch = [
        [psnr(a, b) for a, b in zip(input.patches, decode_patches(p, size)[0], strict=True)]
        for p in (low, high)
    ]
    assert min(by_patch[1]) > 28
    assert np.mean(by_patch[1]) > np.mean(by_patch[0]) + 2


def test_overhead_is_small() -> None:
    input = input_of(np.zeros((64, 64, 3), dtype=np.uint8), 16)
    nothing = encode_patches(input.keep(patches=np.zeros(16, dtype=bool)), "raw")
    assert len(nothing) == 4
    sizes = {codec: len(encode_patches(input, codec, 50)) for codec in available()}
    assert sizes["raw"] == 3 + 64 * 64 * 3
    assert sizes["jpeg"] < 700
    assert sizes.get("webp", 0) < 100


def test_patches_in_another_order_are_sorted() -> None:
    input = input_of(smooth(36, 36), 12)
    order = np.array([5, 0, 8, 3])
    shuffled = ViltInput(
        input.patches[order], order, input.grid, input.token_ids, input.positions, 6
    )
    patches, patch_indices, _ = decode_patches(encode_patches(shuffled, "raw"), 12)
    assert patch_indices.tolist() == [0, 3, 5, 8]
    assert np.array_equal(patches, input.patches[patch_indices])


def test_views_that_cannot_be_stored() -> None:
    input = input_of(smooth(36, 36), 12)
    with pytest.raises(UserError, match="did you mean 'webp'"):
        encode_patches(input, "web")
    with pytest.raises(UserError, match="from 1 to 100"):
        encode_patches(input, "raw", 0)
    twice = ViltInput(
        input.patches[:2], np.array([4, 4]), input.grid, input.token_ids, input.positions, 6
    )
    with pytest.raises(ValueError, match="twice"):
        encode_patches(twice, "raw")
    outside = ViltInput(
        input.patches[:1], np.array([9]), input.grid, input.token_ids, input.positions, 6
    )
    with pytest.raises(ValueError, match="outside"):
        encode_patches(outside, "raw")
    wide = ViltInput(
        input.patches[:1], np.array([9]), (1, 300), input.token_ids, input.positions, 6
    )
    with pytest.raises(ValueError, match="1x300"):
        encode_patches(wide, "raw")


@given(
    st.lists(st.booleans(), max_size=700),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_words_come_back(kept: list[bool], seed: int) -> None:
    mask = np.array([True, *kept])
    ids = np.random.default_rng(seed).integers(0, 65536, len(mask))
    none = np.zeros((0, 12, 12, 3), dtype=np.uint8)
    whole = ViltInput(none, np.arange(0), (1, 1), ids, np.arange(len(ids)), len(ids))
    input = whole.keep(words=mask)
    payload = encode_text(input)
    words, positions, length = decode_text(payload)
    assert np.array_equal(words, input.token_ids)
    assert np.array_equal(positions, input.positions)
    assert length == len(mask)
    if mask.all():
        assert len(payload) == 1 + 2 * len(mask)
    else:
        assert len(payload) <= 3 + 2 * mask.sum() + math.ceil(len(mask) / 8)


def test_words_beyond_two_bytes() -> None:
    input = input_of(smooth(12, 12), 12)
    for ids in ([2, 65536], [2, -1]):
        large = ViltInput(
            input.patches, input.patch_indices, (1, 1), np.array(ids), np.arange(2), 2
        )
        with pytest.raises(ValueError, match="65,535"):
            encode_text(large)


@given(st.sampled_from(available()), st.data())
@settings(max_examples=80, deadline=None)
def test_damage_is_told_or_harmless(codec: str, data: st.DataObject) -> None:
    input = input_of(smooth(48, 60), 12).keep(patches=np.arange(20) % 3 == 0)
    payload = bytearray(encode_patches(input, codec, 80))
    if data.draw(st.booleans()):
        del payload[data.draw(st.integers(0, len(payload) - 1)) :]
    else:
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    decoded = undamaged(lambda: decode_patches(bytes(payload), 12))
    if decoded is not None:
        patches, patch_indices, grid = decoded
        assert patches.shape == (len(patch_indices), 12, 12, 3)
        assert (np.diff(patch_indices, append=grid[0] * grid[1]) > 0).all()


@given(st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
def test_noise_is_told_or_harmless(noise: bytes) -> None:
    undamaged(lambda: decode_patches(noise, 12))
    decoded = undamaged(lambda: decode_text(noise))
    if decoded is not None:
        words, positions, length = decoded
        assert len(words) == len(positions) <= length
        assert (np.diff(positions, append=length) > 0).all()


def test_truncated_payloads_are_refused() -> None:
    input = input_of(smooth(48, 60), 12).keep(np.arange(20) % 3 == 0, np.arange(6) != 3)
    for codec in available():
        payload = encode_patches(input, codec, 80)
        for length in (0, 2, 4, len(payload) // 2):
            with pytest.raises(ValueError, match="image of an exemplar is damaged"):
                decode_patches(payload[:length], 12)
        with pytest.raises(ValueError, match="image of an exemplar is damaged"):
            decode_patches(payload, 16)
    payload = encode_text(input)
    for length in range(len(payload)):
        with pytest.raises(ValueError, match="text of an exemplar is damaged"):
            decode_text(payload[:length])


def test_psnr_by_hand() -> None:
    a = np.zeros((2, 2, 3), dtype=np.uint8)
    b = a.copy()
    b[0, 0, 0] = 255
    assert psnr(a, b) == pytest.approx(10 * math.log10(12))
    assert psnr(b, a) == psnr(a, b)


def test_choice_reaches_the_fidelity_with_fewest_bytes(
    shared_data: Callable[[str], Path],
) -> None:
    files = sorted(shared_data("caltech101_mini").glob("*/*.jpg"))[::700]
    inputs = []
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB").resize((96, 96)))
        inputs.append(input_of(pixels, 12).keep(patches=np.arange(64) % 3 != 0))

    def tried(codec: str, quality: int) -> tuple[float, int]:
        payloads = [encode_patches(input, codec, quality) for input in inputs]
        fidelities = [
            psnr(input.patches, decode_patches(payload, 12)[0])
            for input, payload in zip(inputs, payloads, strict=True)
        ]
        return float(np.mean(fidelities)), sum(map(len, payloads))

    candidates = [name for name in ("raw", "jpeg", "webp", "avif") if name in available()]
    codec, quality = fewest_bytes(inputs, measure, candidates, 30.0)
    assert (codec, quality) == fewest_bytes(inputs, measure, candidates, 30.0)
    fidelity, size = tried(codec, quality)
    assert fidelity >= 30
    for other in candidates[1:]:
        reached = [q for q in QUALITIES if tried(other, q)[0] >= 30]
        if reached:
            assert tried(other, min(reached))[1] >= size
    assert quality == min(q for q in QUALITIES if tried(codec, q)[0] >= 30)
    assert size < sum(input.patches.nbytes for input in inputs) / 4
    assert fewest_bytes(inputs, measure, ["raw"], 99.0) == ("raw", 100)
    with pytest.raises(UserError, match=r"none of the codecs jpeg reaches 99.0 dB"):
        fewest_bytes(inputs, measure, ["jpeg"], 99.0)
    with pytest.raises(ValueError, match="at least one picture"):
        fewest_bytes([], measure, ["raw"], 30.0)
