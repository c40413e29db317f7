"""Reservoir sampling: a sample of fixed size of a stream of unknown length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def reservoir(
    buffer: list[int], stream: Sequence[int], seen: int, slots: int, draw: Callable[[int], int]
) -> list[int]:
    """Stream items through a reservoir (Vitter 1985), changed in place; return their slots.

    Free slots are filled; then the sample number n, counted from 0, takes the slot drawn from
    0..n, if there is such a slot. While the number of slots stays what it is, all samples of the
    stream are kept with equal chance.

    Args:
        buffer: The items held.
        stream: The new items.
        seen: Number of items that were streamed before.
        slots: Largest number of items held.
        draw: n -> a number from 0 to below n.

    Returns:
        The slot that each item took; -1 for none.

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


def let_pass(old: int, new: int, seen: int, slots: int, rng: np.random.Generator) -> list[int]:
    """The samples that a reservoir holds after a phase, in which its size may have changed.

    If slots were added, the new samples get a part of all slots equal to their part of all samples
    seen, rounded at random; if they filled the free slots first, the reservoir would favor the last
    phase. While slots grow in proportion to samples, all samples are kept with equal chance.

    Args:
        old: Number of samples held; they count 0..old-1.
        new: Number of new samples; they are numbered from `old` on.
        seen: Number of items that were streamed before.
        slots: How many can be held now.
        rng: Draws everything.

    Returns:
        At most `slots` numbers, in no order.

    >>> held = let_pass(20, 200, 200, 40, np.random.default_rng(0))
    >>> len(held), sum(number < 20 for number in held)
    (40, 20)
    """
    stream = [old + int(number) for number in rng.permutation(new)]
    held = [int(number) for number in rng.permutation(old)]
    if slots <= old:
        held = held[:slots]
        reservoir(held, stream, seen, slots, lambda n: int(rng.integers(n)))
        return held
    share = int(slots * new / max(new + seen, 1) + rng.random())
    share = min(new, max(slots - old, share))
    return held[: slots - share] + stream[:share]
