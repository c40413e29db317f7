"""Reservoir sampling: a sample of fixed size of a stream of unknown length."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def reservoir(
    buffer: list[int], stream: Sequence[int], seen: int, slots: int, draw: Callable[[int], int]
) -> list[int]:
    """Let a stream pass by a reservoir (Vitter 1985), which is changed, and return the slots.

    Free slots are filled; then the sample number n, counted from 0, takes the slot drawn from
    0..n, if there is such a slot. Of a stream as long as it likes all are kept with equal chance. A
    reservoir that has got new slots fills them with what comes first.

    Args:
        buffer: What is held.
        stream: What comes by.
        seen: How many came by before.
        slots: How many are held at most.
        draw: n -> a number from 0 to below n.

    Returns:
        The slot that each of the stream took; -1 for none.

    >>> import numpy as np
    >>> held, legacy = [], np.random.RandomState(0)
    >>> reservoir(held, range(8), 0, 3, legacy.randint)
    [0, 1, 2, 0, 0, -1, -1, -1]
    >>> held
    [4, 1, 2]
    """
    taken = []
    for number, item in enumerate(stream, seen):
        if len(buffer) < slots:
            slot = len(buffer)
            buffer.append(item)
        else:
            slot = draw(number + 1)
            slot = slot if slot < slots else -1
            if slot >= 0:
                buffer[slot] = item
        taken.append(slot)
    return taken
