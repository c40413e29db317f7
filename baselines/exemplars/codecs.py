"""An exemplar as bytes and back: these bytes are all that is kept of a sample.

An untouched exemplar is its native file, unchanged. A masked one is a payload of

* one flag byte (pixel codec and how indices are written), rows and columns of the grid,
* the kept indices: nothing if all are kept, else a bit mask or a list, whichever is shorter,
* the kept patches, raw or packed into a compact mosaic and compressed as JPEG, WebP or AVIF.

Patches and words keep the order of the picture and the text. Training sees `decode(encode(...))`.
Numbers are little-endian.
"""

from __future__ import annotations

import math

import numpy as np

from baselines.exemplars.pictures import (
    damaged,
    decode_picture,
    encode_picture,
    find_codec,
    psnr,
)
from baselines.vilt import ViltInput
from baselines.vilt.pixels import Integers, Pixels, from_pixels, to_pixels
from benchmark.exemplar import Exemplar

_FORMATS = (None, "JPEG", "WEBP", "AVIF")  # the flag's two low bits
_ALL, _MASK, _LIST = 0, 1, 2  # how indices are written: the next two bits
_WIDE = 16  # indices take two bytes


def encode(input: ViltInput, label: int, codec: str, quality: int) -> Exemplar:
    """The exemplar of an input: its patches and words, charged by its share of the patches."""
    kept = len(input.patch_indices) / (input.grid[0] * input.grid[1])
    image = encode_patches(input, codec, quality)
    return Exemplar(label, image, encode_text(input), pixel_fraction=kept)


def encode_patches(input: ViltInput, codec: str, quality: int = 100) -> bytes:
    """Encode the patches of an input, with their indices and the grid.

    Args:
        input: Its patches are stored in the order of the picture.
        codec: One of `pictures.available()`.
        quality: 1 to 100.

    Raises:
        UserError: The codec is unknown here, or the quality out of range.
        ValueError: An index occurs twice or is not in the grid, or the grid exceeds 255 x 255.
    """
    format = find_codec(codec, quality).format
    rows, columns = input.grid
    if not (1 <= rows <= 255 and 1 <= columns <= 255):
        raise ValueError(f"a grid of {rows}x{columns} patches exceeds what the codec stores")
    kind, patch_indices = _encode_indices(input.patch_indices, rows * columns)
    flag = _FORMATS.index(format) | kind << 2 | (_WIDE if _wide(input.grid) else 0)
    patches = input.patches[np.argsort(input.patch_indices)]
    as_picture = format is not None and len(patches)
    pixels = encode_picture(_mosaic(patches), codec, quality) if as_picture else patches.tobytes()
    return bytes([flag, rows, columns]) + patch_indices + pixels


def decode_patches(payload: bytes, patch_size: int) -> tuple[Pixels, Integers, tuple[int, int]]:
    """Decode what `encode_patches` returned.

    Returns:
        Patches (K, P, P, 3) uint8, their ascending indices (K,), and the grid.

    Raises:
        ValueError: The payload is damaged or was made with another patch size.
    """
    if len(payload) < 3:
        raise damaged("image", "it is shorter than its header")
    flag, rows, columns = payload[:3]
    grid = (rows, columns)
    if flag >> 5 or not rows * columns or bool(flag & _WIDE) != _wide(grid):
        raise damaged("image", "its header is invalid")
    patch_indices, rest = _decode_indices(flag >> 2 & 3, payload[3:], rows * columns)
    return (
        _decode_pixels(rest, _FORMATS[flag & 3], len(patch_indices), patch_size),
        patch_indices,
        grid,
    )


def encode_text(input: ViltInput) -> bytes:
    """Encode the words of an input: two bytes per token, and the positions if some were dropped.

    Raises:
        ValueError: A token id exceeds 65,535, a position occurs twice or exceeds the text, or the
            text exceeds 65,535 tokens.
    """
    length = input.text_length
    if length > 65535 or (input.token_ids < 0).any() or (input.token_ids > 65535).any():
        raise ValueError("two bytes per token hold no id or text length beyond 65,535")
    kind, positions = _encode_indices(input.positions, length)
    ids = input.token_ids[np.argsort(input.positions)].astype("<u2").tobytes()
    if kind == _ALL:
        return bytes([kind]) + ids
    wide = length > 256
    return bytes([kind | (_WIDE if wide else 0)]) + length.to_bytes(2, "little") + positions + ids


def decode_text(payload: bytes) -> tuple[Integers, Integers, int]:
    """Decode what `encode_text` returned.

    Returns:
        Token ids (T,), their ascending positions (T,), and the length of the whole text.

    Raises:
        ValueError: The payload is damaged.
    """
    if not payload:
        raise damaged("text", "it is empty")
    kind = payload[0] & ~_WIDE
    if kind == _ALL and payload[0] == _ALL:
        ids = _numbers(payload[1:], "<u2", "text")
        return ids, np.arange(len(ids)), len(ids)
    length = int.from_bytes(payload[1:3], "little")
    if len(payload) < 3 or bool(payload[0] & _WIDE) != (length > 256):
        raise damaged("text", "its header is invalid")
    positions, rest = _decode_indices(kind, payload[3:], length, "text")
    ids = _numbers(rest, "<u2", "text")
    if len(ids) != len(positions):
        raise damaged("text", f"it has {len(ids)} words for {len(positions)} positions")
    return ids, positions, length


def measure(input: ViltInput, codec: str, quality: int) -> tuple[int, float]:
    """Bytes that the patches of an input need, and the PSNR in dB of what is read back."""
    payload = encode_patches(input, codec, quality)
    patches, _, _ = decode_patches(payload, input.patches.shape[1])
    return len(payload), psnr(input.patches[np.argsort(input.patch_indices)], patches)


def _wide(grid: tuple[int, int]) -> bool:
    return grid[0] * grid[1] > 256


def _encode_indices(patch_indices: Integers, length: int) -> tuple[int, bytes]:
    """Write a set of indices below `length` in the shortest way."""
    kept = np.zeros(length, dtype=np.bool_)
    if len(patch_indices) and not 0 <= patch_indices.min() <= patch_indices.max() < length:
        raise ValueError(f"an index lies outside of the {length} there are")
    kept[patch_indices] = True
    if kept.sum() != len(patch_indices):
        raise ValueError("an index occurs twice")
    if kept.all():
        return _ALL, b""
    mask = np.packbits(kept).tobytes()
    unit = "<u2" if length > 256 else "u1"
    listed = np.array([len(patch_indices), *np.flatnonzero(kept)]).astype(unit).tobytes()
    return (_LIST, listed) if len(listed) < len(mask) else (_MASK, mask)


def _decode_indices(
    kind: int, data: bytes, length: int, part: str = "image"
) -> tuple[Integers, bytes]:
    """Read the indices and return them with the bytes that follow."""
    if kind == _ALL:
        return np.arange(length), data
    if kind == _MASK:
        end = -(-length // 8)
        bits = np.unpackbits(np.frombuffer(data[:end], dtype=np.uint8))
        if len(bits) < length or bits[length:].any():
            raise damaged(part, "its mask of kept indices is invalid")
        return np.flatnonzero(bits[:length]).astype(np.int64), data[end:]
    unit, width = ("<u2", 2) if length > 256 else ("u1", 1)
    count = int.from_bytes(data[:width], "little")
    end = width * (count + 1)
    patch_indices = _numbers(data[width:end], unit, part)
    if kind != _LIST or len(data) < end or (np.diff(patch_indices, append=length) <= 0).any():
        raise damaged(part, "its list of kept indices is invalid")
    return patch_indices, data[end:]


def _numbers(data: bytes, unit: str, part: str) -> Integers:
    if len(data) % np.dtype(unit).itemsize:
        raise damaged(part, "it ends within a number")
    return np.frombuffer(data, dtype=unit).astype(np.int64)


def _mosaic_shape(count: int) -> tuple[int, int]:
    """Rows and columns of the near-square mosaic for a number of patches.

    >>> [_mosaic_shape(count) for count in (1, 3, 6, 17)]
    [(1, 1), (2, 2), (2, 3), (4, 5)]
    """
    columns = math.isqrt(count - 1) + 1
    return -(-count // columns), columns


def _mosaic(patches: Pixels) -> Pixels:
    """Patches (K, P, P, 3) as one near-square picture."""
    rows, columns = _mosaic_shape(len(patches))
    # Empty cells of the last row repeat the right edge of the last patch, which costs few bytes.
    edge = np.broadcast_to(patches[-1, :, -1:], patches[-1].shape)
    spare = np.broadcast_to(edge, (rows * columns - len(patches), *edge.shape))
    tiles = np.concatenate([patches, spare])
    return to_pixels(tiles, np.arange(len(tiles)), (rows, columns))


def _decode_pixels(data: bytes, format: str | None, count: int, size: int) -> Pixels:
    if format is None or not count:
        if len(data) != count * size * size * 3:
            raise damaged("image", f"{len(data)} bytes are not {count} patches of {size} pixels")
        return np.frombuffer(data, dtype=np.uint8).reshape(count, size, size, 3).copy()
    rows, columns = _mosaic_shape(count)
    pixels = decode_picture(data, (format,))
    if pixels.shape[:2] != (rows * size, columns * size):
        raise damaged("image", f"its mosaic is not one of {count} {size}-pixel patches")
    return from_pixels(pixels, size)[:count].copy()
