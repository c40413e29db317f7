"""What a cell tells the sweep that started it."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any

from benchmark.display import Display
from mm_imagenet_r.command_line import Terminated

_INTERVAL = 0.3  # seconds between two messages


class Telling(Display):
    """Also sends how much of the cell is done; ends the cell when nobody listens any more."""

    def __init__(self, tell: Connection) -> None:
        """Send to `tell` a number from 0 to 1 every now and then."""
        super().__init__()
        self._tell = tell
        self._told = 0.0

    def start(self, plan: Any, finished: int) -> None:
        """A run begins, or is resumed."""
        super().start(plan, finished)
        self._send(finished)

    def step(self, index: int, stage: str, step: int, steps: int, loss: float) -> None:
        """A training step is done."""
        super().step(index, stage, step, steps, loss)
        if time.monotonic() - self._told > _INTERVAL:
            self._send(index + 0.9 * step / steps)

    def phase_done(self, index: int, record: Any, accuracy: float) -> None:
        """A phase is learnt and tested."""
        super().phase_done(index, record, accuracy)
        self._send(index + 1)

    def _send(self, phases: float) -> None:
        self._told = time.monotonic()
        try:
            self._tell.send(phases / self._phases)
        except OSError:  # the sweep was killed: a cell that goes on would be in the next one's way
            raise Terminated from None
