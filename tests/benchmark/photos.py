"""Small pictures and folders of them, for tests of what reads data."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

from PIL import Image


def picture(name: str, size: tuple[int, int] = (8, 6), kind: str = "png") -> bytes:
    """A plain picture whose colour follows from its name: other names, other bytes."""
    colour = zlib.crc32(name.encode())
    buffer = io.BytesIO()
    Image.new("RGB", size, (colour & 255, colour >> 8 & 255, colour >> 16 & 255)).save(buffer, kind)
    return buffer.getvalue()


def tree(root: Path, *names: str) -> Path:
    """Write a picture under each name, for example "cat/1.png"."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(name))
    return root


def two_classes(root: Path, count: int = 5) -> Path:
    """`count` cats and as many dogs."""
    return tree(root, *(f"{kind}/{n}.png" for kind in ("cat", "dog") for n in range(count)))
