"""A progress bar on a terminal; elsewhere nothing is printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and show how many are done, of `total` where they have no length."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    disable = not console.is_terminal  # a finished bar would leave a blank line there
    yield from track(items, what, total, console=console, transient=True, disable=disable)
