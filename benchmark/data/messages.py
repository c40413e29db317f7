"""Pieces of messages to the user."""

from __future__ import annotations

from collections.abc import Sequence


def listing(names: Sequence[str], most: int = 5) -> str:
    """A few names, and how many more there are.

    >>> listing(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
