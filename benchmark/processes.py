"""The same answer on every process, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from accelerate.utils import gather_object

T = TypeVar("T")


def map_batches(
    work: Callable[[Sequence[int]], Sequence[T]], count: int, batch_size: int, rank: int, world: int
) -> list[T]:
    """Apply `work` to batches of the numbers 0..count-1 and return all answers in order.

    The batches are the same for any number of processes, so the answers are too, bit for bit.

    >>> map_batches(lambda batch: [n * n for n in batch], 5, batch_size=2, rank=0, world=1)
    [0, 1, 4, 9, 16]
    """
    starts = range(0, count, batch_size)
    mine = [
        (start, list(work(range(start, min(start + batch_size, count)))))
        for number, start in enumerate(starts)
        if number % world == rank
    ]
    everything = mine if world == 1 else gather_object(mine)
    return [answer for _, answers in sorted(everything, key=lambda x: x[0]) for answer in answers]
