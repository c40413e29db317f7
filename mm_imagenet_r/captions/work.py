"""What a worker does: claim a free unit, caption its images, write it, claim the next."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from PIL.Image import Image

from mm_imagenet_r.archive import Images
from mm_imagenet_r.captions.captioner import Caption, Captioner
from mm_imagenet_r.captions.fault_tolerance import FaultTolerant, samples_of
from mm_imagenet_r.captions.store import Failed, Store

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Job:
    """A unit that this process has claimed; `made` are its captions, None for those to be made."""

    unit: int
    made: list[Caption | None]


def caption_units(
    store: Store,
    images: Images,
    captioner: Captioner,
    *,
    rank: int = 0,
    world_size: int = 1,
    limit: int | None = None,
    retry: Mapping[int, Failed] | None = None,
) -> None:
    """Caption every unit that is not done and that no other worker has claimed.

    A worker's own units come first, every `world_size`-th from `rank` on; then those of others
    from the far end, so that two workers meet at most once; then what dead workers left behind.

    Failed images of the finished units in `retry`, as `Store.failed` finds them, are captioned
    again before all others; what another worker has written since is left alone. With a `limit`,
    only the first units that hold so many images are captioned.

    Raises:
        UserError: The run cannot continue; finished units are kept.
    """
    tolerant = FaultTolerant(captioner, images, samples_of(store.units))
    threads = captioner.max_concurrency

    def in_order(units: Collection[int]) -> list[int]:
        own = [unit for unit in units if unit % world_size == rank]
        return own + [unit for unit in units if unit % world_size != rank][::-1]

    if retry:
        _caption(store, tolerant, _claim(store, in_order(sorted(retry)), retry), threads)
    while _caption(store, tolerant, _claim(store, in_order(sorted(store.missing(limit)))), threads):
        pass


def _claim(
    store: Store, units: Collection[int], retry: Mapping[int, Failed] | None = None
) -> Iterator[_Job]:
    """Claim free units that are not done; or done ones to retry, unless written again since."""
    for unit in units:
        if not store.claims.take(unit):
            continue
        if store.written(unit) != retry[unit].written if retry else store.is_done(unit):
            store.claims.release(unit)
        elif retry:
            yield _Job(unit, [None if made.error else made for made in store.read(unit)])
        else:
            yield _Job(unit, [None] * len(store.units[unit]))


def _caption(store: Store, tolerant: FaultTolerant, jobs: Iterator[_Job], threads: int) -> bool:
    """Caption the units of jobs, and tell whether there were any."""
    first = next(jobs, None)
    if first is None:
        return False
    jobs = itertools.chain([first], jobs)
    taking, stop = threading.Lock(), threading.Event()

    def take() -> _Job | None:
        with taking:
            return None if stop.is_set() else next(jobs, None)

    def batches() -> Iterator[list[tuple[_Job, int]]]:
        """Yield places of images: a part of one unit, or as many whole units as fit."""
        batch: list[tuple[_Job, int]] = []
        size = tolerant.batch_size
        while job := take():
            places = [(job, number) for number, made in enumerate(job.made) if made is None]
            if batch and len(batch) + len(places) > size:
                yield batch
                batch = []
            batch += places
            while len(batch) >= size:
                yield batch[:size]
                batch = batch[size:]
        if batch:
            yield batch

    def load(batch: list[tuple[_Job, int]]) -> list[Image | str]:
        return [tolerant.load(store.units[job.unit][number]) for job, number in batch]

    def work() -> None:
        for batch, loaded in prefetch((batch, load(batch)) for batch in batches()):
            for (job, number), caption in zip(batch, tolerant(loaded), strict=True):
                job.made[number] = caption
            for job in dict.fromkeys(job for job, _ in batch):
                made = [caption for caption in job.made if caption is not None]
                if len(made) < len(job.made):
                    continue
                if stop.is_set():  # errors may be a result of the stop
                    return
                tolerant.check()
                store.commit(job.unit, made)
                store.claims.release(job.unit)

    if threads == 1:
        work()
    else:
        _in_threads(work, threads, stop)
    return True


def prefetch(elements: Iterator[T]) -> Iterator[T]:
    """Yield elements while a thread makes the next one.

    >>> list(prefetch(iter("abc")))
    ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, elements, None)
        while (element := coming.result()) is not None:
            coming = maker.submit(next, elements, None)
            yield element


def _in_threads(work: Callable[[], None], count: int, stop: threading.Event) -> None:
    """Run work in threads that end with the program, and raise the first error of any."""
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
