"""From the bytes of any image file to plain RGB, the same way everywhere.

Images in the wild are CMYK, palette, 16-bit, transparent, rotated by an EXIF tag, or have a color
profile larger than the picture. `rgb` gives the pixels; `check` finds a broken file before a run.
"""

from __future__ import annotations

import base64
import functools
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

_FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM", ".avif": "AVIF",
}  # fmt: skip

#: Suffixes (lower case) of the files that count as images in a folder.
SUFFIXES = frozenset(_FORMATS)

#: Below this many pixels on a side nothing can be seen, and resizing may divide by zero.
MIN_SIDE = 2


def rgb(data: bytes) -> Image.Image:
    """Decode an image file into 8-bit RGB, upright, without profile or transparency.

    The EXIF orientation is applied; transparency is put on white; values of 16 bits are scaled by
    their full range (65535 becomes 255), not clipped; a color profile is ignored; of an animation
    the first frame is taken. The image has mode "RGB" and empty `info`.

    Raises:
        OSError: The bytes are not an image, truncated or broken (`check` says which).
        ValueError: The image has a mode that has no meaning as RGB.

    >>> buffer = io.BytesIO()
    >>> Image.new("I;16", (4, 3), 65535).save(buffer, "png")
    >>> rgb(buffer.getvalue()).getpixel((0, 0))
    (255, 255, 255)
    """
    with Image.open(io.BytesIO(data), formats=_formats()) as opened:
        return _plain(opened)


def rgb_or_fault(data: bytes) -> Image.Image | str:
    """Return the image as `rgb` does, or say what is wrong with its file."""
    opened = _opened(data)
    if isinstance(opened, str):
        return opened
    with opened:
        try:
            return _plain(opened)
        except Exception as error:
            return f"does not decode ({error})"


def check(data: bytes) -> str | None:
    """Say what is wrong with an image file, decoded completely, or None if it can be used.

    >>> check(b"")
    'is empty (0 bytes)'
    >>> check(b"not an image")
    'is not an image that Pillow can read'
    """
    found = rgb_or_fault(data)
    return found if isinstance(found, str) else None


def check_header(data: bytes) -> str | None:
    """Say what is wrong with the header of an image file, or None; no pixel is decoded."""
    opened = _opened(data)
    if isinstance(opened, str):
        return opened
    opened.close()
    return None


def jpeg_url(image: Image.Image, quality: int) -> str:
    """Encode an image as a JPEG in a data: address."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _opened(data: bytes) -> Image.Image | str:
    """An image of which the header is read, or what is wrong with that."""
    if not data:
        return "is empty (0 bytes)"
    try:
        opened = Image.open(io.BytesIO(data), formats=_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return _bomb(str(error))
    except UnidentifiedImageError:
        return "is not an image that Pillow can read"
    except Exception as error:  # plugins raise SyntaxError, struct.error, ... on broken headers
        return f"has a broken header ({error})"
    # Between one and two times its limit Pillow only warns, and whether a warning is raised,
    # printed or swallowed is not ours to decide: the limit is looked at directly.
    limit, (width, height) = Image.MAX_IMAGE_PIXELS, opened.size
    if limit is not None and width * height > limit:
        return _bomb(f"{width} x {height} pixels, limit {limit}")
    if min(width, height) < MIN_SIDE:
        return f"is {width} x {height} pixels, too small to show anything"
    return opened


def _plain(opened: Image.Image) -> Image.Image:
    opened.load()
    image = _eight_bit(_upright(opened))
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        image = Image.new("RGBA", image.size, "white")
        image.alpha_composite(with_alpha)
    plain = image.convert("RGB")  # always a copy: the opened file may go
    plain.info = {}
    return plain


@functools.cache
def _formats() -> tuple[str, ...]:
    """What this Pillow may try, whatever a file is called: EPS, for one, would run Ghostscript."""
    Image.init()
    return tuple(name for name in dict.fromkeys(_FORMATS.values()) if name in Image.OPEN)


def _bomb(detail: str) -> str:
    return f"is too large, it may be a decompression bomb ({detail.rstrip('.')})"


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF data says nothing about the pixels
        return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale modes of more than 8 bits to "L"; `convert` alone would clip them at 255.

    The range of integers is 16 bits unless a value needs more. Floats up to 1 are taken as shares,
    up to 255 as grey values, beyond that by their own maximum.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values: NDArray[Any] = np.nan_to_num(np.asarray(image, dtype=np.float64))
    largest = float(values.max(initial=0.0))
    if image.mode == "F":
        top = 1.0 if largest <= 1 else max(255.0, largest)
    else:
        top = 65535.0 if largest <= 65535 else 2.0**31 - 1
    scaled = np.clip(np.rint(values * (255.0 / top)), 0, 255)
    return Image.fromarray(scaled.astype(np.uint8))
