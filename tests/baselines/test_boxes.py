"""CIM's operator: figures worked out by hand, Pillow as the reference, and what is stored of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from baselines.evidence import heat_map
from baselines.exemplars.boxes import (
    Box,
    box_around,
    coarse_patches,
    coarsen_around,
    decode_boxed,
    encode_boxed,
    inside,
    nearest,
    rate,
)
from baselines.exemplars.pictures import available, psnr
from baselines.vilt.pixels import Pixels, from_pixels
from benchmark.budget import fill

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8)
#: What CIM's own code makes of the ramp with the box (2, 6, 1, 5).
RAMP_BOXED = [
    *[[9, 9, 11, 11, 13, 13, 15, 15]] * 2,
    [25, 17, 18, 19, 20, 29, 31, 31],
    [25, 25, 26, 27, 28, 29, 31, 31],
    [41, 33, 34, 35, 36, 45, 47, 47],
    [41, 41, 42, 43, 44, 45, 47, 47],
    *[[57, 57, 59, 59, 61, 61, 63, 63]] * 2,
]


def photograph(height: int, width: int) -> Pixels:
    """Smooth colours with noise."""
    y, x = np.mgrid[:height, :width] / 20
    smooth = np.stack([np.sin(y + x), np.cos(y), np.sin(x)], axis=-1)
    noise = np.random.default_rng(0).normal(0, 4, (height, width, 3))
    return np.clip(128 + 90 * smooth + noise, 0, 255).astype(np.uint8)


def test_the_operator_by_hand() -> None:
    assert coarsen_around(RAMP, (2, 6, 1, 5), 4).tolist() == RAMP_BOXED
    assert rate((2, 6, 1, 5), 8, 8, 4) == 0.4375
    assert rate((50, 300, 100, 400), 375, 500, 4) == pytest.approx(0.55)
    assert rate((0, 0, 0, 0), 375, 500, 4) == 0.25
    assert rate((0, 8, 0, 8), 8, 8, 4) == 1


def test_the_box_by_hand() -> None:
    evidence = torch.full((3, 3), -1.0)
    evidence[1, 1], evidence[1, 2] = 3, 1
    assert heat_map(evidence.flatten(), (3, 3), 1).tolist() == [[0, 0, 0], [0, 1, 0.5], [0, 0, 0]]
    heat = heat_map(evidence.flatten(), (3, 3), 2).numpy()
    box = box_around(heat, 0.6)
    assert box == (2, 4, 3, 4)
    assert rate(box, 6, 6, 4) == pytest.approx(0.2916667, abs=1e-7)
    assert box_around(heat, 0.6, side=2) == (2, 4, 2, 4)
    assert box_around(heat, 0.6, side=3) == (0, 6, 3, 6)


def test_a_map_without_a_peak_has_no_box() -> None:
    heat = heat_map(torch.full((4,), 0.3), (2, 2), 4).numpy()
    assert not heat.any()
    assert box_around(heat, 0.0) == (0, 0, 0, 0)


def test_memory_is_filled_by_rates() -> None:
    kept = fill([0.5, 0.4375, 0.3, 0.6, 0.25], cost=float, room=2.0)
    assert (len(kept), sum(kept)) == (4, 1.8375)


@pytest.mark.parametrize(("height", "width", "eta"), [(8, 12, 4), (27, 33, 9), (32, 64, 16)])
def test_reducing_and_blowing_up_are_pillows(height: int, width: int, eta: int) -> None:
    pixels, side = photograph(height, width), round(eta**0.5)
    small = Image.fromarray(pixels).resize(
        (width // side, height // side), Image.Resampling.NEAREST
    )
    large = np.asarray(small.resize((width, height), Image.Resampling.NEAREST))
    assert np.array_equal(coarsen_around(pixels, (0, 0, 0, 0), eta), large)


def test_nearest_is_pillows_where_sizes_do_not_divide() -> None:
    for length, smaller in ((375, 187), (7, 3), (500, 250)):
        patch_indices = Image.fromarray(np.arange(length, dtype=np.int32)[None])
        seen = patch_indices.resize((smaller, 1), Image.Resampling.NEAREST)
        assert nearest(length, smaller).tolist() == np.asarray(seen)[0].tolist()


@pytest.mark.parametrize("box", [(4, 20, 6, 30), (0, 0, 0, 0), (0, 24, 0, 36), (0, 2, 34, 36)])
@pytest.mark.parametrize("eta", [4, 36])
def test_patches_are_coarsened_as_pictures_are(box: Box, eta: int) -> None:
    pixels = photograph(24, 36)
    patches = torch.from_numpy(from_pixels(pixels, 12))
    patch_indices, grids = torch.arange(6), torch.tensor([[2, 3]]).expand(6, 2)
    boxes = torch.tensor([box]).expand(6, 4)
    sharp = inside(boxes, patch_indices, grids, 12)[..., None]
    found = torch.where(sharp, patches, coarse_patches(patches, eta)).numpy()
    assert np.array_equal(found, from_pixels(coarsen_around(pixels, box, eta), 12))


@pytest.mark.parametrize(("shape", "box"), [
    ((24, 36), (4, 20, 6, 30)), ((24, 36), (0, 0, 0, 0)), ((24, 36), (0, 24, 0, 36)),
    ((24, 36), (22, 24, 0, 36)), ((96, 640), (2, 96, 300, 640)),
])  # fmt: skip
def test_what_is_stored_is_what_comes_back(shape: tuple[int, int], box: Box) -> None:
    pixels = photograph(*shape)
    wanted = coarsen_around(pixels, box, 4)
    raw = encode_boxed(pixels, box, 4, "raw")
    assert np.array_equal(decode_boxed(raw, 4), wanted)
    kept = round(3 * rate(box, *shape, 4) * shape[0] * shape[1])
    assert len(raw) == kept + (13 if shape[1] > 510 else 7)
    for codec in set(available()) - {"raw"}:
        payload = encode_boxed(pixels, box, 4, codec, 90)
        found = decode_boxed(payload, 4)
        assert psnr(found, wanted) > (24 if codec in ("jpeg", "webp", "avif") else 28)
        if codec == "webp_lossless":
            assert np.array_equal(found, wanted)


def test_box_and_thumbnail_take_fewer_bytes_than_the_composite() -> None:
    pixels = photograph(96, 128)
    box = (20, 76, 30, 110)
    composite = io.BytesIO()
    picture = Image.fromarray(coarsen_around(pixels, box, 4))
    picture.save(composite, "WEBP", quality=70, method=6)
    assert len(encode_boxed(pixels, box, 4, "webp", 70)) < 0.9 * len(composite.getvalue())


@pytest.mark.parametrize(("change", "message"), [
    (lambda data: b"", "header"),
    (lambda data: b"\x09" + data[1:], "header"),
    (lambda data: data[:5], "header"),
    (lambda data: data[:3] + b"\xff" + data[4:], "box"),
    (lambda data: data[:-1], "bytes are not its box"),
    (lambda data: b"\x01" + data[1:], "cannot be decoded"),
])  # fmt: skip
def test_damage_is_found(change: object, message: str) -> None:
    payload = encode_boxed(photograph(24, 36), (4, 20, 6, 30), 4, "raw")
    with pytest.raises(ValueError, match=message):
        decode_boxed(change(payload), 4)  # type: ignore[operator]


def test_a_picture_of_another_box_is_found() -> None:
    payload = encode_boxed(photograph(24, 36), (4, 20, 6, 30), 4, "webp", 80)
    with pytest.raises(ValueError, match="is not one of 16x48 pixels"):
        decode_boxed(payload[:6] + b"\x12" + payload[7:], 4)
    with pytest.raises(ValueError, match="not made of squares of 2"):
        encode_boxed(photograph(24, 36), (3, 20, 6, 30), 4, "raw")
