"""An image file as RGB pixels of ViLT's input size, and pixels as patches.

The resizing rule and the pixels equal those of transformers' image processor for ViLT (Kim et al.,
ICML 2021), except for images so narrow that they would vanish: of these one patch is kept.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.images import rgb

Pixels: TypeAlias = npt.NDArray[np.uint8]
Integers: TypeAlias = npt.NDArray[np.int64]


def decode(image: bytes) -> Image.Image:
    """Decode an image file as `mm_imagenet_r.images.rgb` does.

    Raises:
        UserError: The bytes are not an image, or damaged.
    """
    try:
        return rgb(image)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(
            f"an image file of {len(image)} bytes cannot be decoded ({error}): "
            "it is damaged or not an image: replace it or remove it from the data"
        ) from error


def target_size(height: int, width: int, *, shorter: int, divisor: int) -> tuple[int, int]:
    """Return the (height, width) an image is resized to.

    The shorter side becomes `shorter`; if the longer one then exceeds 1333/800 of that, both are
    scaled down; both are rounded and then floored to multiples of `divisor`.

    >>> target_size(480, 640, shorter=384, divisor=32)
    (384, 512)
    >>> target_size(500, 1000, shorter=384, divisor=32)
    (320, 608)
    >>> target_size(1, 500, shorter=384, divisor=32)
    (32, 608)
    """
    longest = int(1333 / 800 * shorter)
    scale = shorter / min(height, width)
    new_height = float(shorter) if height < width else scale * height
    new_width = scale * width if height < width else float(shorter)
    if max(new_height, new_width) > longest:
        scale = longest / max(new_height, new_width)
        new_height, new_width = scale * new_height, scale * new_width
    rows, columns = (int(side + 0.5) // divisor for side in (new_height, new_width))
    return max(rows, 1) * divisor, max(columns, 1) * divisor


def from_pixels(pixels: Pixels, patch_size: int) -> Pixels:
    """Split pixels (H, W, 3) into patches (H/P * W/P, P, P, 3), row by row.

    Raises:
        ValueError: A side is not a multiple of the patch size.
    """
    height, width, _ = pixels.shape
    if height % patch_size or width % patch_size:
        raise ValueError(f"{height}x{width} pixels do not divide into patches of {patch_size}")
    rows, columns = height // patch_size, width // patch_size
    split = pixels.reshape(rows, patch_size, columns, patch_size, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(split).reshape(-1, patch_size, patch_size, 3)


def to_pixels(patches: Pixels, indices: Integers, grid: tuple[int, int], fill: int = 127) -> Pixels:
    """Put patches (K, P, P, 3) back into a picture (H, W, 3) that is otherwise gray `fill`.

    >>> pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    >>> bool((to_pixels(from_pixels(pixels, 2), np.arange(6), (2, 3)) == pixels).all())
    True
    """
    rows, columns = grid
    size = patches.shape[1]
    whole = np.full((rows * columns, size, size, 3), fill, dtype=np.uint8)
    whole[indices] = patches
    rearranged = whole.reshape(rows, columns, size, size, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(rearranged).reshape(rows * size, columns * size, 3)
