"""A picture that is sharp within a box and coarse around it: CIM's operator, and its bytes.

Around the box the picture is reduced by eta in area and enlarged again, both by nearest neighbors
(Luo et al., CVPR 2023). Box and thumbnail are stored side by side in one picture, with the
thumbnail flat where the box is: on small and large photographs, in WebP and in AVIF, that took
fewer bytes at equal fidelity than the composite, whose enlarged pixels cost a codec as much as
sharp ones (a tenth to a fifth fewer than even a composite that is smooth around the box).
"""

from __future__ import annotations

import math
import struct
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from baselines.exemplars.pictures import damaged, decode_picture, encode_picture, psnr
from baselines.exemplars.selection import Array
from baselines.vilt.pixels import Pixels

#: Top, bottom, left, right; half-open, in pixels. All zero: there is none.
Box: TypeAlias = tuple[int, int, int, int]

_RAW, _FILE, _WIDE = 0, 1, 2  # the flag: how pixels are written, and that the box takes two bytes


def box_around(heat: Array, tau: float, side: int = 1) -> Box:
    """The smallest box around all of a map (H, W) above `tau`, widened to multiples of `side`.

    >>> box_around(np.array([[0, 0.7, 0.1], [0, 0.9, 0], [0, 0, 0.6]]), 0.6)
    (0, 2, 1, 2)
    """
    ends: list[int] = []
    for axis in (1, 0):
        above = np.flatnonzero((heat > tau).any(axis))
        if not len(above):
            return 0, 0, 0, 0
        ends += [int(above[0]) // side * side, -(-int(above[-1] + 1) // side) * side]
    top, bottom, left, right = ends
    return top, bottom, left, right


def rate(box: Box, height: int, width: int, eta: int) -> float:
    """Share of the pixels that is kept: all within the box, one of `eta` around it.

    >>> round(rate((50, 300, 100, 400), 375, 500, 4), 9)
    0.55
    """
    top, bottom, left, right = box
    inside = (bottom - top) * (right - left) / (height * width)
    return inside + (1 - inside) / eta


def reduce(pixels: Pixels, eta: int) -> Pixels:
    """A thumbnail with the root of `eta` fewer rows and columns, by nearest neighbors."""
    side = math.isqrt(eta)
    rows, columns = (nearest(length, length // side) for length in pixels.shape[:2])
    return pixels[rows][:, columns]


def nearest(length: int, smaller: int) -> Array:
    """The indices below `length` at the centers of `smaller` cells, as Pillow has it.

    >>> nearest(8, 4)
    array([1, 3, 5, 7])
    """
    return ((np.arange(smaller) + 0.5) * length / smaller).astype(np.int64)


def compose(thumbnail: Pixels, crop: Pixels, box: Box, height: int, width: int) -> Pixels:
    """The thumbnail enlarged to (height, width), with the sharp crop in the box."""
    rows, columns = thumbnail.shape[:2]
    picture = thumbnail[nearest(rows, height)][:, nearest(columns, width)]
    picture[slice(*box[:2]), slice(*box[2:])] = crop
    return picture


def coarsen_around(pixels: Pixels, box: Box, eta: int) -> Pixels:
    """Pixels (H, W, C) with all around the box at a resolution lower by `eta` in area."""
    crop = pixels[slice(*box[:2]), slice(*box[2:])]
    return compose(reduce(pixels, eta), crop, box, *pixels.shape[:2])


def coarse_patches(patches: Tensor, eta: int) -> Tensor:
    """Patches (N, P, P, 3) at that resolution; the root of eta divides P, so each stands alone."""
    side, size = math.isqrt(eta), patches.shape[1]
    at = torch.arange(size, device=patches.device) // side * side + side // 2
    return patches[:, at][:, :, at]


def inside(boxes: Tensor, indices: Tensor, grids: Tensor, size: int) -> Tensor:
    """Which pixels of patches lie in their picture's box, (N, P, P) bool.

    Of each patch: the box of its picture (N, 4), its index (N,) in the grid, and the grid (N, 2).
    """
    columns, within = grids[:, 1], torch.arange(size, device=boxes.device)
    y, x = (at[:, None] * size + within for at in (indices // columns, indices % columns))
    top, bottom, left, right = boxes[..., None].unbind(1)
    return ((top <= y) & (y < bottom))[:, :, None] & ((left <= x) & (x < right))[:, None, :]


def measure(
    pixels: Pixels, box: Box, eta: int, codec: str, quality: int = 100
) -> tuple[int, float]:
    """Bytes that a picture with a box needs, and the PSNR in dB to the composite without loss."""
    payload = encode_boxed(pixels, box, eta, codec, quality)
    return len(payload), psnr(coarsen_around(pixels, box, eta), decode_boxed(payload, eta))


def encode_boxed(pixels: Pixels, box: Box, eta: int, codec: str, quality: int = 100) -> bytes:
    """What is kept of pixels (H, W, 3) with a box: flag, box and size, then box and thumbnail.

    Args:
        pixels: Their sides are multiples of the root of eta.
        box: Its sides are, too.
        eta: How many pixels become one around the box.
        codec: One of `pictures.available()`. `raw` is as long as `rate` says.
        quality: 1 to 100.

    Raises:
        UserError: The codec is unknown here, or the quality out of range.
        ValueError: A side is not a multiple.
    """
    side, shape = math.isqrt(eta), pixels.shape[:2]
    if any(length % side for length in (*box, *shape)):
        raise ValueError(f"a box {box} in {shape} pixels is not made of squares of {side}")
    units = [length // side for length in (*shape, *box)]
    wide = max(units) > 255
    head = struct.pack("<6H" if wide else "<6B", *units)
    crop, thumbnail = pixels[slice(*box[:2]), slice(*box[2:])], reduce(pixels, eta)
    around = _around(thumbnail, box, side)
    flag = (_RAW if codec == "raw" else _FILE) | (_WIDE if wide else 0)
    if codec == "raw":
        return bytes([flag]) + head + crop.tobytes() + thumbnail[around].tobytes()
    if around.any():
        thumbnail[~around] = thumbnail[around].mean(0).astype(np.uint8)
    else:
        thumbnail = thumbnail[:0, :0]
    return bytes([flag]) + head + encode_picture(_beside(crop, thumbnail), codec, quality)


def decode_boxed(payload: bytes, eta: int) -> Pixels:
    """The composite (H, W, 3) of what `encode_boxed` returned.

    Raises:
        ValueError: The payload is damaged, or was made with another eta.
    """
    flag = payload[0] if payload else 255
    form = "<6H" if flag & _WIDE else "<6B"
    if flag > (_FILE | _WIDE) or len(payload) <= struct.calcsize(form):
        raise damaged("image", "its header is invalid")
    side, rest = math.isqrt(eta), payload[1 + struct.calcsize(form) :]
    units = struct.unpack_from(form, payload, 1)
    rows, columns, top, bottom, left, right = units
    if not (top <= bottom <= rows and left <= right <= columns and rows and columns):
        raise damaged("image", "its box is invalid")
    box = (top * side, bottom * side, left * side, right * side)
    height, width = box[1] - box[0], box[3] - box[2]
    thumbnail = np.zeros((rows, columns, 3), dtype=np.uint8)
    around = _around(thumbnail, box, side)
    if flag & _FILE:
        together = decode_picture(rest)
        fits = _beside_shape((height, width), (rows, columns) if around.any() else (0, 0))
        if together.shape[:2] != fits:
            raise damaged("image", f"its picture is not one of {fits[0]}x{fits[1]} pixels")
        crop = together[:height, :width]
        if around.any():
            thumbnail = together[:rows, width:]
    else:
        if len(rest) != 3 * (height * width + int(around.sum())):
            raise damaged("image", f"{len(rest)} bytes are not its box and what is around it")
        pixels = np.frombuffer(rest, dtype=np.uint8).reshape(-1, 3)
        crop = pixels[: height * width].reshape(height, width, 3)
        thumbnail[around] = pixels[height * width :]
    return compose(thumbnail, crop, box, rows * side, columns * side)


def _around(thumbnail: Pixels, box: Box, side: int) -> Array:
    """Which pixels of a thumbnail lie around the box, (h, w) bool."""
    around = np.ones(thumbnail.shape[:2], dtype=np.bool_)
    top, bottom, left, right = (length // side for length in box)
    around[top:bottom, left:right] = False
    return around


def _beside_shape(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    return max(first[0], second[0]), first[1] + second[1]


def _beside(first: Pixels, second: Pixels) -> Pixels:
    """Two pictures side by side; the last row of the lower one is repeated."""
    height, _ = _beside_shape(first.shape[:2], second.shape[:2])
    parts = [p for p in (first, second) if p.size]
    grown = (np.pad(p, ((0, height - len(p)), (0, 0), (0, 0)), mode="edge") for p in parts)
    return np.concatenate(list(grown), axis=1)
