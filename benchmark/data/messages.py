"""What is shown while one waits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show in a terminal what is going on, in place of the progress bars of `datasets`."""
    import datasets
    from rich.console import Console

    shown = not datasets.are_progress_bars_disabled()
    if shown:
        datasets.disable_progress_bars()
    try:
        with Console(stderr=True).status(what):
            yield
    finally:
        if shown:  # they are a setting of the whole program, and its owner's
            datasets.enable_progress_bars()
