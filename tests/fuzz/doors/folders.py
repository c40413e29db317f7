"""Images in class folders, as data of a run and as images to be captioned."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import Image

from ..door import Case, Damage, Door
from ..generic import GENERIC
from ..pictures import picture, write_folder
from .common import caption, look, write_method


def build(folder: Path) -> None:
    write_method(folder)
    write_folder(folder / "data")


def _bomb(case: Case) -> None:
    """A header that speaks of many more pixels than there are."""
    path = case.some_file(".png")
    data = bytearray(path.read_bytes())
    sides = case.rng.choice(((65_500, 65_500), (2**31 - 1, 1), (0, 5), (1, 60_000), (9_000, 9_000)))
    data[16:24] = struct.pack(">II", *sides)
    path.write_bytes(data)


def _other_format(case: Case) -> None:
    """Another format under the old name, or text that pretends."""
    path = case.some_file()
    texts = (b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>404</html>", b"GIF89a", b"%!PS",
             b"version https://git-lfs.github.com/spec/v1\n", b"P6 99999 99999 255 ",
             b"")  # fmt: skip
    kinds = ("GIF", "TIFF", "BMP", "WEBP", "ICO", "PPM", "TGA", "PCX", "JPEG2000", "PDF")
    if case.rng.random() < 0.5:
        path.write_bytes(case.rng.choice(texts))
    else:
        path.write_bytes(picture("another", case.rng.choice(kinds)))


def _odd_picture(case: Case) -> None:
    """A mode or size that few pictures have."""
    path = case.some_file()
    mode = case.rng.choice(("1", "L", "LA", "P", "RGBA", "CMYK", "I", "I;16", "F", "YCbCr", "LAB"))
    side = case.rng.choice(((1, 1), (1, 3000), (3000, 1), (2, 2)))
    try:
        Image.new(mode, side).save(path, case.rng.choice(("PNG", "TIFF", "JPEG")))
    except OSError:  # the format does not know the mode
        Image.new("RGB", side).save(path, "PNG")


def _deeper(case: Case) -> None:
    """Class folders one level down, beside others."""
    folder = case.some_folder()
    path = folder / "/".join(case.rng.choices(("a", "train", "test", "imagenet-r"), k=3))
    path.mkdir(parents=True, exist_ok=True)
    (path / "1.png").write_bytes(picture("deep"))


_OWN: dict[str, Damage] = {
    "bomb": _bomb,
    "other format": _other_format,
    "odd picture": _odd_picture,
    "deeper": _deeper,
}


def _dry_run(case: Case) -> int:
    return look(case, *case.rng.choice(((), (), ("--bad-images", "skip"))))


def _caption(case: Case) -> int:
    return caption("data")


DRY_RUN = Door("folders", build, _OWN, _dry_run, "data", GENERIC)
CAPTIONED = Door("folders-captioned", build, _OWN, _caption, "data", GENERIC)
