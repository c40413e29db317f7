"""What a worker does: take a unit nobody is at, caption its images, write it, take the next."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

from mm_imagenet_r import images as decoding
from mm_imagenet_r.captions import backends
from mm_imagenet_r.captions.captioner import Caption, Captioner
from mm_imagenet_r.captions.store import Item, Store
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

#: If so many images fail and none has worked, it is not the images.
_ENOUGH: Final = 4


class Images(Protocol):
    """What is needed of `mm_imagenet_r.archive.Images`."""

    names: list[str]

    def read(self, name: str) -> bytes:
        """Return the bytes of an image file."""


def caption_units(
    store: Store,
    images: Images,
    captioner: Captioner,
    *,
    rank: int = 0,
    world_size: int = 1,
    limit: int | None = None,
    retry_errors: bool = False,
) -> None:
    """Caption every unit that is not done and that no other worker is at.

    Own units come first, every `world_size`-th from `rank` on; then those of others from the far
    end, so that two workers meet once at most.

    Args:
        store: The caption set.
        images: Where the images of its manifests are read.
        captioner: The model.
        rank: Number of this worker among all of them, from 0.
        world_size: How many workers there are. A wrong number costs nothing but order.
        limit: Only the first units that hold at least this many images.
        retry_errors: Caption again what has failed before.

    Raises:
        UserError: Going on makes no sense; what is done is kept.
    """
    last = units_of(store, limit)
    if retry_errors:
        for unit in sorted(store.done())[rank::world_size]:
            with store.claim(unit) as mine:
                if mine:
                    _retry(store, images, captioner, unit)
    own = range(rank, last, world_size)
    others = (unit for unit in reversed(range(last)) if unit % world_size != rank)
    todo = iter([*own, *others])
    taking = threading.Lock()  # the threads of a worker share one iterator
    works, stop = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with taking:
                unit = next(todo, None)
            if unit is None:
                return
            if store.is_done(unit):
                continue
            with store.claim(unit) as mine:
                if not mine or store.is_done(unit):
                    continue
                made = caption_items(store.units[unit], images, captioner)
                if not all(caption.error for caption in made):
                    works.set()
                elif len(made) >= _ENOUGH and not works.is_set():
                    raise UserError(
                        f"none of the first {len(made)} images could be captioned: "
                        f"{made[0].error}. Check model, prompt and --decoding, and give the "
                        "same command again"
                    )
                if not stop.is_set():  # else its errors may come from being stopped
                    store.commit(unit, made)

    if captioner.at_once == 1:
        work()
    else:
        _in_threads(work, captioner.at_once, stop)


def caption_items(items: Sequence[Item], images: Images, captioner: Captioner) -> list[Caption]:
    """Caption images; for one that cannot be read or captioned, return the reason.

    Args:
        items: Images of different bytes.
        images: Where they are read.
        captioner: The model.

    Returns:
        Captions in the order of `items`.
    """
    captions: dict[Item, Caption] = {}
    for batch in _loaded(items, images, captioner):
        sound = {item: image for item, image in batch.items() if not isinstance(image, str)}
        captions.update(zip(sound, _divide(captioner, list(sound.values())), strict=True))
        for item, image in batch.items():
            if isinstance(image, str):
                captions[item] = Caption.failed(image)
    return [captions[item] for item in items]


def _in_threads(work: Callable[[], None], count: int, stop: threading.Event) -> None:
    """Run the same work in several threads, and raise the first error of any.

    They end with the program, whatever they wait for: nobody who stops it waits for answers.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        stop.set()
    if errors:
        raise errors[0]


def units_of(store: Store, limit: int | None) -> int:
    """How many units hold the first `limit` images."""
    if limit is None:
        return len(store.units)
    count = 0
    for number, unit in enumerate(store.units):
        if count >= limit:
            return number
        count += len(unit)
    return len(store.units)


def _retry(store: Store, images: Images, captioner: Captioner, unit: int) -> None:
    made = store.read(unit)
    failed = [number for number, caption in enumerate(made) if caption.error]
    if not failed:
        return
    again = caption_items([store.units[unit][number] for number in failed], images, captioner)
    for number, caption in zip(failed, again, strict=True):
        made[number] = caption
    store.commit(unit, made)


def _divide(captioner: Captioner, batch: Sequence[Image]) -> list[Caption]:
    """Caption a batch; if that fails, its halves, down to the image that is to blame.

    A lack of memory is helped in the same way.
    """
    try:
        return backends.caption(captioner, batch) if batch else []
    except UserError:
        raise
    except Exception as error:
        if len(batch) == 1:
            return [Caption.failed(f"{type(error).__name__}: {error}"[:500])]
    # Outside of the clause: the exception would keep the tensors of the failed call alive.
    half = len(batch) // 2
    return _divide(captioner, batch[:half]) + _divide(captioner, batch[half:])


def _loaded(
    items: Sequence[Item], images: Images, captioner: Captioner
) -> Iterator[dict[Item, Image | str]]:
    """Yield decoded batches, with the next one being decoded meanwhile."""

    def load(batch: Sequence[Item]) -> dict[Item, Image | str]:
        return {item: _load(item, images, captioner.max_side) for item in batch}

    size = captioner.batch_size
    with ThreadPoolExecutor(1) as loader:
        coming = loader.submit(load, items[:size])
        for start in range(size, len(items) + size, size):
            batch = coming.result()
            coming = loader.submit(load, items[start : start + size])
            yield batch


def _load(item: Item, images: Images, max_side: int | None) -> Image | str:
    """Decode an image, or say what is wrong with it."""
    data = images.read(item.file_name)
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise UserError(
            f"{item.file_name} has changed since the caption set was begun: put the old file "
            "back, or give another --output"
        )
    image = decoding.rgb_or_fault(data)
    if isinstance(image, str):
        return f"the image {image}"
    if max_side is not None and max(image.size) > max_side:
        image.thumbnail((max_side, max_side))
    return image
