"""Fixtures of several tests: an empty caption set, a server, images that it knows, the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from caption_sets import IDENTITY
from PIL import Image
from stub_server import STEP, Stub, serve

from mm_imagenet_r.captions.__main__ import main
from mm_imagenet_r.captions.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path, IDENTITY, {})
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[Stub]:
    with serve() as stub:
        yield stub


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty images with their numbers in their names; large enough to survive JPEG."""
    folder = tmp_path / "photos" / "cat"
    folder.mkdir(parents=True)
    for number in range(40):
        colour = (number * STEP, 0, 7)
        Image.new("RGB", (16, 16), colour).save(folder / f"{number:02}.png")
    return folder.parent


@pytest.fixture
def caption(server: Stub, photos: Path, tmp_path: Path) -> Any:
    def run(*arguments: str) -> int:
        base = ["--model", server.url, "--prompt", "Describe.", "--images", str(photos)]
        fast = ["--concurrency", "8", "--unit-size", "10", "--outage", "20"]
        return main([*base, *fast, "--output", str(tmp_path / "out"), *arguments])

    return run
