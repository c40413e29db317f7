"""Workers: which units they take, and what they do about images and models that fail."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_captioner import Drawn, Fake, calls, draw
from PIL import Image

from mm_imagenet_r.captions.captioner import Request
from mm_imagenet_r.captions.store import Store
from mm_imagenet_r.captions.work import caption_units
from mm_imagenet_r.errors import UserError


class Work:
    """A caption set of drawn images, captioned by `Fake`."""

    def __init__(self, folder: Path, images: Drawn, unit_size: int = 4) -> None:
        self.folder, self.images, self.log = folder, images, folder / "calls"
        self.store = Store(folder, {"prompt": "p"}, {})
        names = images.names
        hashes = {name: hashlib.sha256(images.read(name)).hexdigest() for name in names}
        self.store.add(hashes, unit_size)

    def go(self, decoding: dict[str, Any] | None = None, **options: Any) -> list[list[int]]:
        """Work, and return the calls of the model."""
        self.log.write_text("")
        request = Request(str(self.log), "p", decoding=decoding or {}, batch_size=4)
        caption_units(self.store, self.images, Fake(request, {}, "cpu"), **options)
        return calls(self.log)

    def made(self) -> dict[int, str]:
        return {
            int(item.file_name[-9:-4]): caption.error or caption.text
            for unit in sorted(self.store.done())
            for item, caption in zip(self.store.units[unit], self.store.read(unit), strict=True)
        }


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    made = Work(tmp_path, Drawn(14))
    yield made
    made.store.close()


def test_own_units_come_first_and_then_those_of_others_from_the_end(work: Work) -> None:
    first = [call[0] // 4 for call in work.go(rank=1, world_size=2)]
    assert first == [1, 3, 2, 0]
    assert work.made() == {number: f"number {number}" for number in range(14)}
    assert work.go() == []


def test_a_limit_takes_the_units_that_hold_so_many_images(work: Work) -> None:
    work.go(limit=5)
    assert work.store.done() == {0, 1}
    work.go(limit=8)
    assert work.store.done() == {0, 1}


def test_an_image_on_which_the_model_fails_is_found_by_halves_and_recorded(work: Work) -> None:
    seen = work.go({"refuse": 6})
    assert seen[1:6] == [[4, 5, 6, 7], [4, 5], [6, 7], [6], [7]]
    assert work.made()[6] == "RuntimeError: no memory"
    assert work.made()[7] == "number 7"
    assert work.go() == []
    assert work.go(retry_errors=True) == [[6]]
    assert work.made()[6] == "number 6"


def bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (20000, 20000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"text", "is not an image"),
        (draw(0)[:45], "does not decode"),
        (bomb(), "decompression bomb"),
    ],
    ids=["text", "cut off", "bomb"],
)
def test_poisoned_images_are_recorded_and_nothing_else_is_lost(
    tmp_path: Path, data: bytes, why: str
) -> None:
    work = Work(tmp_path, Drawn(6, bad={2: data}))
    work.go()
    made = work.made()
    assert why in made.pop(2)
    assert made == {number: f"number {number}" for number in (0, 1, 3, 4, 5)}


def test_a_model_that_never_works_stops_the_run_and_nothing_is_stored(work: Work) -> None:
    with pytest.raises(UserError, match="none of the first 4 images could be captioned"):
        work.go({"broken": True})
    assert work.store.done() == set()
    with pytest.raises(UserError, match="the server is gone"):
        work.go({"gone": True})
    assert work.store.done() == set()


def test_an_image_that_changes_meanwhile_stops_the_run(work: Work) -> None:
    work.images.bad = {5: b"another"}
    with pytest.raises(UserError, match=r"art_00005\.jpg has changed"):
        work.go()
    assert work.store.done() == {0}
