"""Workers: which units they take, and what they do about images and models that fail."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_captioner import Drawn, Fake, calls, draw, number_of
from standin import bomb, image_files

from mm_imagenet_r.captions.captioner import Caption, Request
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
        self.store.manifest.add(hashes, unit_size)

    def go(
        self, decoding: dict[str, Any] | None = None, *, batch_size: int = 4, **options: Any
    ) -> list[list[int]]:
        """Work, and return the calls of the model."""
        self.log.write_text("")
        request = Request(str(self.log), "p", decoding=decoding or {}, batch_size=batch_size)
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
    assert work.go(retry=work.store.failed()) == [[6]]
    assert work.made()[6] == "number 6"


def test_errors_are_tried_again_by_whoever_comes_first_and_by_nobody_twice(work: Work) -> None:
    work.go({"refuse": [1, 6, 10]})
    failed = work.store.failed()
    assert list(failed) == [0, 1, 2]
    assert work.go({"refuse": 6}, rank=1, world_size=2, retry=failed) == [[6, 10, 1], [6], [10, 1]]
    assert work.go(rank=0, world_size=2, retry=failed) == []
    assert work.go(rank=0, world_size=2, retry=work.store.failed()) == [[6]]
    assert work.store.failed() == {}


def test_errors_are_tried_again_by_all_threads(work: Work, monkeypatch: Any) -> None:
    work.go({"refuse": [2, 5, 10]})
    both, met = threading.Barrier(2), set()
    monkeypatch.setattr(Fake, "max_concurrency", 2)
    call = Fake.__call__

    def together(self: Fake, images: Any) -> Any:
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            both.wait(timeout=20)
        return call(self, images)

    monkeypatch.setattr(Fake, "__call__", together)
    work.go(batch_size=1, retry=work.store.failed())
    assert work.store.failed() == {}


def test_batches_hold_a_part_of_a_unit_or_several_whole_ones(work: Work) -> None:
    calls = work.go(batch_size=9)
    assert [len(call) for call in calls] == [8, 6]
    (work.store.folder / "parts" / "00000001.parquet").unlink()
    assert work.go(batch_size=3) == [[4, 5, 6], [7]]


def test_the_next_unit_is_read_while_the_last_is_captioned(work: Work, monkeypatch: Any) -> None:
    read = threading.Event()
    read_image, call = work.images.read, Fake.__call__

    def note(name: str) -> bytes:
        if name == work.images.names[4]:
            read.set()
        return read_image(name)

    def wait(self: Fake, images: Any) -> Any:
        assert read.wait(timeout=20)
        return call(self, images)

    work.images.read = note  # type: ignore[method-assign]
    monkeypatch.setattr(Fake, "__call__", wait)
    work.go()
    assert work.store.failed() == {}


def test_a_unit_that_a_dead_worker_left_behind_is_made(work: Work, monkeypatch: Any) -> None:
    claims, call = work.store.claims, Fake.__call__
    alive = True

    def die(self: Fake, images: Any) -> Any:
        nonlocal alive
        alive = number_of(images[0]) < 12  # all other units have been passed by then
        return call(self, images)

    take = claims.take
    monkeypatch.setattr(claims, "take", lambda unit: take(unit) and not (unit == 1 and alive))
    monkeypatch.setattr(Fake, "__call__", die)
    assert [calls[0] // 4 for calls in work.go()] == [0, 2, 3, 1]


def test_units_that_others_add_meanwhile_are_theirs(work: Work, tmp_path: Path) -> None:
    more = Drawn(18)
    other = Store(tmp_path, {"prompt": "p"}, {})
    other.manifest.add(
        {name: hashlib.sha256(more.read(name)).hexdigest() for name in more.names}, 4
    )
    other.commit(4, [Caption.failed("broken")] * 4)
    assert work.store.failed() == {}
    work.go()
    assert work.store.done() == {0, 1, 2, 3}
    other.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"text", "is not an image"),
        (draw(0)[:45], "does not decode"),
        (bomb(next(image_files("a"))[1]), "decompression bomb"),
    ],
    ids=["text", "cut off", "bomb"],
)
def test_poisoned_images_are_recorded_and_nothing_else_is_lost(
    tmp_path: Path, data: bytes, why: str
) -> None:
    work = Work(tmp_path, Drawn(6, bad={2: data}))
    work.go()
    work.store.close()
    made = work.made()
    assert why in made.pop(2)
    assert made == {number: f"number {number}" for number in (0, 1, 3, 4, 5)}


def test_a_server_that_is_gone_stops_the_run(work: Work) -> None:
    with pytest.raises(UserError, match="the server is gone"):
        work.go({"gone": True})
    assert work.store.done() == set()


def test_an_image_that_changes_meanwhile_stops_the_run(work: Work) -> None:
    work.images.bad = {5: b"another"}
    with pytest.raises(UserError, match=r"art_00005\.jpg has changed"):
        work.go()
    assert work.store.done() == {0}
