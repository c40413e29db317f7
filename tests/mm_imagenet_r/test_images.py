from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from mm_imagenet_r.images import check, check_header, rgb


def encoded(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 10)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def corner(data: bytes) -> tuple[int, ...]:
    image = rgb(data)
    assert image.mode == "RGB"
    assert image.info == {}
    assert check(data) is None
    return tuple(np.asarray(image)[0, 0].tolist())


def test_gray_palette_and_bilevel_become_rgb() -> None:
    assert corner(encoded(Image.new("L", (4, 3), 77))) == (77, 77, 77)
    assert corner(encoded(Image.new("1", (4, 3), 1))) == (255, 255, 255)
    palette = Image.new("RGB", (4, 3), (10, 200, 30)).quantize(4)
    assert palette.mode == "P"
    assert corner(encoded(palette)) == (10, 200, 30)


def test_cmyk_becomes_rgb() -> None:
    red, green, blue = corner(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "jpeg"))
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize(("value", "shown"), [(0, 0), (257 * 100, 100), (65535, 255)])
def test_sixteen_bits_are_scaled_not_clipped(value: int, shown: int) -> None:
    data = encoded(Image.fromarray(np.full((3, 4), value, dtype=np.uint16)))
    assert corner(data) == (shown, shown, shown)


def test_floats_are_shares_or_gray_values() -> None:
    share = np.full((3, 4), 0.5, dtype=np.float32)
    assert corner(encoded(Image.fromarray(share), "tiff")) == (128, 128, 128)
    assert corner(encoded(Image.fromarray(share * 400), "tiff")) == (200, 200, 200)


def test_transparency_lies_on_white() -> None:
    assert corner(encoded(Image.new("RGBA", (4, 3), (9, 9, 9, 0)))) == (255, 255, 255)
    assert corner(encoded(Image.new("LA", (4, 3), (0, 128)))) == (127, 127, 127)
    palette = Image.new("P", (4, 3), 0)
    palette.putpalette([1, 2, 3, 4, 5, 6])
    assert corner(encoded(palette)) == (1, 2, 3)
    assert corner(encoded(palette, transparency=0)) == (255, 255, 255)


def test_exif_orientation_is_applied_and_profile_dropped() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    data = encoded(Image.new("RGB", (8, 4)), "jpeg", exif=exif, icc_profile=b"x" * 500)
    image = rgb(data)
    assert image.size == (4, 8)
    assert image.info == {}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, worth a line to the user
def test_broken_exif_does_not_matter() -> None:
    data = encoded(Image.new("RGB", (8, 4)), "jpeg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01")
    assert rgb(data).size == (8, 4)
    assert check(data) is None


def test_result_outlives_its_bytes() -> None:
    image = rgb(encoded(Image.new("RGB", (4, 3), (1, 2, 3))))
    image.putpixel((0, 0), (9, 9, 9))
    assert image.getpixel((0, 0)) == (9, 9, 9)


def test_cut_off_file_is_found() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for kind in ("jpeg", "png"):
        data = encoded(Image.fromarray(noise), kind)
        assert check(data) is None
        assert "does not decode" in (check(data[: len(data) // 2]) or "")


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_one_pixel_is_too_small(size: tuple[int, int]) -> None:
    assert f"is {size[0]} x {size[1]} pixels" in (check(encoded(Image.new("RGB", size))) or "")


@pytest.mark.parametrize("side", [60_000, 11_000])  # above Pillow's error, above its warning
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_decompression_bomb_is_refused(side: int, action: Any) -> None:
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        assert "bomb" in (check(png_header(side, side)) or "")
    assert before == Image.MAX_IMAGE_PIXELS


def test_text_with_an_image_suffix_is_no_image() -> None:
    assert check(b"<html>404</html>") == "is not an image that Pillow can read"
    assert check(encoded(Image.new("RGB", (4, 4)))[:20]) is not None


def test_formats_that_run_programs_are_not_tried() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n%%EndComments\nshowpage\n%%EOF\n"
    with Image.open(io.BytesIO(eps)) as opened:  # Pillow would have Ghostscript run it
        assert opened.format == "EPS"
    assert check_header(eps) == check(eps) == "is not an image that Pillow can read"
    with pytest.raises(UnidentifiedImageError):
        rgb(eps)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "bmp", "tiff", "ppm", "mpo"])
def test_formats_that_folders_may_hold_are_read(kind: str) -> None:
    assert check(encoded(Image.new("RGB", (8, 8), (9, 9, 9)), kind)) is None
