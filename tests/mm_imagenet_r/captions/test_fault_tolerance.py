"""Which faults are an image's, and which end the run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_captioner import Drawn, Fake, calls, number_of
from PIL import Image

from mm_imagenet_r.captions.captioner import Caption, Request
from mm_imagenet_r.captions.store import Store
from mm_imagenet_r.captions.work import caption_units
from mm_imagenet_r.errors import UserError


class Failing(Fake):
    """Fails with `error` where `fails` says so, of the numbers in a batch."""

    error: BaseException = RuntimeError("spent")

    def __call__(self, images: Sequence[Image.Image]) -> list[Caption]:
        made = super().__call__(images)
        if self.fails([number_of(image) for image in images]):
            raise self.error
        return made

    def fails(self, numbers: list[int]) -> bool:
        return False


class PanicException(BaseException):
    """What code in Rust raises where it gives up, as `tokenizers` does; no Exception."""


class Run:
    """Twenty images in units of five."""

    def __init__(self, folder: Path) -> None:
        self.log, self.images = folder / "calls", Drawn(20)
        self.store = Store(folder, {"prompt": "p"}, {})

    def go(self, kind: type[Fake], batch_size: int = 5, unit_size: int = 5) -> list[list[int]]:
        names, read = self.images.names, self.images.read
        hashes = {name: hashlib.sha256(read(name)).hexdigest() for name in names}
        self.store.manifest.add(hashes, unit_size)
        self.log.write_text("")
        request = Request(str(self.log), "p", batch_size=batch_size)
        caption_units(self.store, self.images, kind(request, {}, "cpu"))
        return calls(self.log)

    def failed(self) -> list[int]:
        return [
            int(item.file_name[-9:-4])
            for unit in sorted(self.store.done())
            for item, made in zip(self.store.units[unit], self.store.read(unit), strict=True)
            if made.error
        ]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.store.close()


def test_a_model_that_never_works_ends_the_run_at_once(run: Run) -> None:
    class Broken(Failing):
        def fails(self, numbers: list[int]) -> bool:
            return True

    with pytest.raises(UserError, match=r"none of the first 5 images could be captioned: .*spent"):
        run.go(Broken, unit_size=10)
    assert run.store.done() == set()
    assert len(calls(run.log)) == 9 + 2  # half a unit by halves, and an image of each unit


@pytest.mark.parametrize("batch_size", [1, 2, 5, 20])
def test_a_model_that_stops_working_ends_the_run_and_leaves_no_errors(
    run: Run, batch_size: int
) -> None:
    class Spent(Failing):
        left = 9

        def fails(self, numbers: list[int]) -> bool:
            self.left -= len(numbers)
            return self.left < 0

    with pytest.raises(UserError, match=r"spent"):
        run.go(Spent, batch_size)
    assert run.failed() == []
    done = run.store.done()
    assert 3 not in done
    run.go(Fake, batch_size)
    assert run.store.done() == {0, 1, 2, 3}
    assert run.failed() == []


def test_a_panic_of_a_library_is_a_failure_and_ctrl_c_is_none(run: Run) -> None:
    class Panicking(Failing):
        error = PanicException("no entry found for key")

        def fails(self, numbers: list[int]) -> bool:
            return 7 in numbers

    class Stopped(Panicking):
        error = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        run.go(Stopped)
    run.go(Panicking)
    assert run.failed() == [7]


@pytest.mark.parametrize("unit", [0, 2, 3])
def test_a_unit_of_images_that_the_model_cannot_do_stops_nothing(run: Run, unit: int) -> None:
    bad = set(range(5 * unit, 5 * unit + 5))

    class Choosy(Failing):
        def fails(self, numbers: list[int]) -> bool:
            return not bad.isdisjoint(numbers)

    run.go(Choosy)
    assert run.store.done() == {0, 1, 2, 3}
    assert run.failed() == sorted(bad)


def test_images_that_do_not_decode_are_no_fault_of_the_model(run: Run) -> None:
    run.images.bad = {number: b"text %d" % number for number in range(10)}
    assert [len(call) for call in run.go(Fake)] == [5, 5]
    assert run.failed() == list(range(10))


def test_a_set_without_a_single_sound_image_is_finished(run: Run) -> None:
    run.images.bad = {number: b"text %d" % number for number in range(20)}
    run.go(Fake)
    assert run.failed() == list(range(20))


AcceleratorError = type("AcceleratorError", (RuntimeError,), {})


@pytest.mark.parametrize(
    "fault",
    [RuntimeError("CUDA error: device-side assert triggered"), AcceleratorError("HIP error: 719")],
)
def test_a_device_that_has_failed_is_asked_no_more(run: Run, fault: Exception) -> None:
    class Device(Failing):
        error = fault

        def fails(self, numbers: list[int]) -> bool:
            return 7 in numbers

    with pytest.raises(UserError, match="the device has failed"):
        run.go(Device)
    assert run.store.done() == {0}
    assert len(calls(run.log)) == 2


@pytest.mark.parametrize("why", ["CUDA out of memory. Tried", "CUDA error: out of memory"])
def test_the_size_that_fits_into_memory_is_kept_and_reported_once(
    run: Run, why: str, capsys: Any
) -> None:
    class Small(Failing):
        error = RuntimeError(why)

        def fails(self, numbers: list[int]) -> bool:
            return len(numbers) > 3

    sizes = [len(call) for call in run.go(Small, batch_size=10, unit_size=10)]
    assert sizes == [10, 5, 2, 3, 5, 2, 3, 3, 3, 3, 1]
    assert run.failed() == []
    assert capsys.readouterr().err == ("note: memory is short: continuing with batches of 3\n")


def test_other_faults_make_no_batch_smaller(run: Run, capsys: Any) -> None:
    class Choosy(Failing):
        def fails(self, numbers: list[int]) -> bool:
            return 3 in numbers

    sizes = [len(call) for call in run.go(Choosy)]
    assert sizes[-3:] == [5, 5, 5]
    assert capsys.readouterr().err == ""
