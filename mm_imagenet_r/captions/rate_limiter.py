"""How many requests a server gets at once: fewer when it is busy, then gradually more again."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import math
import random
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 20.0


class RateLimiter:
    """Additive increase and multiplicative decrease, as in TCP; for one event loop.

    A busy server refuses one request and means all of them, so nothing is sent until the time that
    it names, or for increasingly long times if it names none. (Clients that retry each request by
    itself would keep sending all the others.)
    """

    def __init__(self, most: int) -> None:
        """Start with `most` requests in flight, the number allowed while a server is not busy."""
        self._most, self._limit = most, float(most)
        self._in_flight = self._refusals = 0
        self._slowed = self._resume = 0.0
        self._landed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait until one more request may be sent, and yield the time (`time.monotonic`)."""
        while (pause := self._resume - time.monotonic()) > 0 or self._in_flight >= int(self._limit):
            if pause > 0:
                await asyncio.sleep(pause)
            else:
                self._landed.clear()
                await self._landed.wait()
        self._in_flight += 1
        try:
            yield time.monotonic()
        finally:
            self._in_flight -= 1
            self._landed.set()

    def answered(self) -> None:
        """Record an answer: each round of them allows one more request."""
        self._refusals = 0
        self._limit = min(self._most, self._limit + 1 / self._limit)

    def slow(self, sent: float) -> bool:
        """Halve the requests in flight, unless that was done since `sent`; tell whether it was."""
        if sent < self._slowed:
            return False
        self._slowed = time.monotonic()
        self._limit = max(1.0, self._limit / 2)
        return True

    def refused(self, sent: float, wait: float | None) -> None:
        """Record that a busy server refused a request, for `wait` seconds, None or 0 if unknown."""
        if self.slow(sent):
            self._refusals += 1
            wait = wait or backoff(self._refusals)
        self._resume = max(self._resume, time.monotonic() + (wait or 0.0))


def backoff(attempts: int) -> float:
    """Seconds to wait after so many attempts; random, so that clients do not return together."""
    wait = min(_FIRST_WAIT * 2.0 ** (attempts - 1), _LONGEST_WAIT)
    return random.Random().uniform(0.5, 1) * wait


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, as a number or a date; None if it does not.

    >>> retry_after({"retry-after": "2"}), retry_after({"retry-after-ms": "50"})
    (2.0, 0.05)
    >>> retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})
    0.0
    >>> retry_after({}), retry_after({"retry-after": "soon"}), retry_after({"retry-after": "nan"})
    (None, None, None)
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        with contextlib.suppress(KeyError, ValueError):
            wait = float(headers[name]) * unit
            return None if math.isnan(wait) else max(wait, 0.0)
    with contextlib.suppress(KeyError, ValueError, OverflowError):
        then = email.utils.parsedate_to_datetime(headers["retry-after"])
        return max(then.timestamp() - time.time(), 0.0)
    return None
