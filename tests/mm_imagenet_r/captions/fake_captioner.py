"""A captioner without a model, and images without files, for tests of what is around them."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mm_imagenet_r.captions.captioner import Caption, Captioner, Request
from mm_imagenet_r.errors import UserError


def draw(number: int) -> bytes:
    """A tiny image that is different for each number."""
    buffer = io.BytesIO()
    colour = (number % 256, number // 256 % 256, 7)
    Image.new("RGB", (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def number_of(image: Image.Image) -> int:
    red, green, _ = image.getpixel((0, 0))  # type: ignore[misc]
    return int(red + 256 * green)


class Drawn:
    """Images by number: `n01443537/art_<number>.jpg`."""

    notes = ()

    def __init__(self, count: int, bad: Mapping[int, bytes] | None = None) -> None:
        self.bad = bad or {}
        self.names = [f"n01443537/art_{number:05}.jpg" for number in range(count)]

    def read(self, name: str) -> bytes:
        number = int(name[-9:-4])
        return self.bad.get(number) or draw(number)


class Fake(Captioner):
    """Says the number of the image; writes a line for each call to the file it has for a model.

    `--decoding refuse=3` or `refuse=[3,5]` fails on these images, `seconds=0.1` takes its time,
    `broken=true` always fails, `says=TEXT` says something else.
    """

    on_device = False

    @classmethod
    def identify(cls, request: Request) -> dict[str, Any]:
        decoding = dict(request.decoding)
        return {"model": "fake", "revision": None, "prompt": request.prompt, "decoding": decoding}

    def __init__(self, request: Request, identity: Mapping[str, Any], device: str) -> None:
        self.batch_size = request.batch_size
        self._options = request.decoding
        self._log = Path(request.model)

    def __call__(self, images: Sequence[Image.Image]) -> list[Caption]:
        numbers = [number_of(image) for image in images]
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(log, f"{numbers}\n".encode())
        os.close(log)
        time.sleep(self._options.get("seconds", 0))
        if self._options.get("gone"):
            raise UserError("the server is gone")
        refused = self._options.get("refuse", [])
        refused = refused if isinstance(refused, list) else [refused]
        if self._options.get("broken") or not set(numbers).isdisjoint(refused):
            raise RuntimeError(self._options.get("why", "no memory"))
        says = self._options.get("says", "number {}")
        return [Caption(says.format(number), "stop", 2) for number in numbers]


def calls(log: Path) -> list[list[int]]:
    """Numbers of the images in each call."""
    return [[int(n) for n in line[1:-1].split(", ")] for line in log.read_text().splitlines()]
