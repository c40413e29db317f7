"""How many requests a server is sent at once: fewer when it is busy, then slowly more again."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import random
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 20.0


class Pace:
    """Additive increase and multiplicative decrease, as in TCP; for one event loop.

    A server that has too much to do says so to one request and means all of them: nobody sends
    anything until the time that it names, or for ever longer times if it names none.
    """

    def __init__(self, most: int) -> None:
        """Begin with as many requests as are ever allowed.

        Args:
            most: Requests in flight if the server is never too busy.
        """
        self._most = most
        self._limit = float(most)
        self._in_flight = 0
        self._refusals = 0
        self._slowed = 0.0
        self._resume = 0.0
        self._landed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait until one more request may be sent.

        Yields:
            When it was, by `time.monotonic`.
        """
        while True:
            pause = self._resume - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self._in_flight >= int(self._limit):
                self._landed.clear()
                await self._landed.wait()
            else:
                break
        self._in_flight += 1
        try:
            yield time.monotonic()
        finally:
            self._in_flight -= 1
            self._landed.set()

    def answered(self) -> None:
        """Take note of an answer: allow one more request for each round of them."""
        self._refusals = 0
        self._limit = min(self._most, self._limit + 1 / self._limit)

    def slow(self, sent: float) -> bool:
        """Halve the requests in flight.

        Args:
            sent: When the request was sent that shows the need.

        Returns:
            Whether it did: requests that were sent before the last time say nothing new.
        """
        if sent < self._slowed:
            return False
        self._slowed = time.monotonic()
        self._limit = max(1.0, self._limit / 2)
        return True

    def refused(self, sent: float, told: float | None) -> None:
        """Take note of a server that is too busy for a request.

        Args:
            sent: When the request was sent.
            told: Seconds after which it may be sent again, None or 0 if the server does not say.
        """
        if self.slow(sent):
            self._refusals += 1
            told = told or backoff(self._refusals)
        self._resume = max(self._resume, time.monotonic() + (told or 0.0))


def backoff(attempts: int) -> float:
    """Seconds to wait after so many attempts; at random, so that not all come back at once."""
    wait = min(_FIRST_WAIT * 2.0 ** (attempts - 1), _LONGEST_WAIT)
    return random.Random().uniform(0.5, 1) * wait


def told_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server tells to wait, as a number or a date; None if it does not.

    >>> told_to_wait({"retry-after": "2"}), told_to_wait({"retry-after-ms": "50"})
    (2.0, 0.05)
    >>> told_to_wait({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})
    0.0
    >>> told_to_wait({}), told_to_wait({"retry-after": "soon"})
    (None, None)
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        with contextlib.suppress(KeyError, ValueError):
            return max(float(headers[name]) * unit, 0.0)
    with contextlib.suppress(KeyError, ValueError):
        then = email.utils.parsedate_to_datetime(headers["retry-after"])
        return max(then.timestamp() - time.time(), 0.0)
    return None
