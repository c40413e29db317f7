"""Small pictures for the healthy inputs; the same each time."""

from __future__ import annotations

import io
import random
from pathlib import Path

from PIL import Image

CLASSES = ("ant", "bee", "cat", "dog")


def picture(name: str, kind: str = "PNG", side: int = 24) -> bytes:
    """A picture of noise about one colour, both of which follow from its name."""
    rng = random.Random(name)
    image = Image.frombytes("RGB", (4, 4), rng.randbytes(48)).resize((side, side + 8))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def names(count: int = 5, ending: str = "png") -> list[str]:
    """The names of so many pictures of each class."""
    return [f"{name}/{number}.{ending}" for name in CLASSES for number in range(count)]


def caption(name: str) -> str:
    return f"a {name.partition('/')[0]} on grass, number {Path(name).stem}"


def write_folder(root: Path, count: int = 5) -> None:
    """So many pictures of each class, in a folder of each; the first of each is a JPEG."""
    for name in names(count):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = "JPEG" if path.stem == "0" else "PNG"
        path.write_bytes(picture(name, kind))


def captions_csv(all_names: list[str]) -> str:
    """A captions file of these pictures."""
    lines = [f'{name},"{caption(name)}"' for name in all_names]
    return "\n".join(["file_name,caption", *lines, ""])
