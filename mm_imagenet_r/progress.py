"""The console of all commands, and a progress bar that only a terminal shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")


def make_console(*, silent: bool = False) -> Console:
    """A console for the standard output, where only a terminal breaks lines."""
    from rich.console import Console

    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(quiet=silent, highlight=False, width=None if narrow else 1000)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and show how many are done, of `total` where they have no length."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    disable = not console.is_terminal  # a finished bar would leave a blank line there
    yield from track(items, what, total, console=console, transient=True, disable=disable)
