"""How much may be kept, in which currency, and what of a ranking fits.

A currency and a growth are each one entry of a table, with their wording: a new one is one edit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from benchmark.exemplar import Exemplar

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_MISSES = 16  # a ranking is walked until this many candidates in a row do not fit

T = TypeVar("T")


@dataclass(frozen=True)
class Currency:
    """What is charged for an exemplar, in code and in words."""

    #: From an exemplar and the mean bytes of an untouched sample to what it is charged
    cost: Callable[[Exemplar, float], float]
    noun: str  # what amounts count; "" where they are sizes in bytes
    unit: str  # what the unit of a budget is
    rule: str  # how an exemplar is charged, the beginning of a sentence
    option: str = ""  # what `--currency` says of it; "" if it cannot be chosen there


def _share_of_sample(exemplar: Exemplar, sample_bytes: float) -> float:
    # A caption goes with its picture; alone it is as much of a payload as anything else.
    beside = len(exemplar.extra) + (0 if exemplar.image else len(exemplar.text))
    return exemplar.pixel_fraction + (beside / sample_bytes if beside else 0.0)


CURRENCIES: Final = {
    "bytes": Currency(
        cost=lambda exemplar, _: exemplar.nbytes,
        noun="",
        unit="mean bytes of an untouched training sample",
        rule="Every byte kept of a sample is charged",
        option="the real bytes of all that is kept",
    ),
    "samples": Currency(
        cost=_share_of_sample,
        noun="sample",
        unit="one untouched sample",
        rule="An exemplar is charged the share of its image that is kept",
        option="the share of each image's pixels",
    ),
    "exemplars": Currency(  # of --match-exemplars-of
        cost=lambda exemplar, _: 1.0,
        noun="exemplar",
        unit="one exemplar, whatever it costs",
        rule="Only the number of exemplars counts, whatever their size",
    ),
}


@dataclass(frozen=True)
class Growth:
    """How a memory grows with the classes."""

    per_class: bool  # whether an amount is that of each class; else that of all together
    words: str  # where an amount holds
    rule: str  # how it grows, the end of a sentence
    option: str  # what `--growth` says of it


GROWTHS: Final = {
    "per-class": Growth(
        per_class=True,
        words="per class",
        rule="the memory grows with the classes",
        option="the memory grows with the classes",
    ),
    "total": Growth(
        per_class=False,
        words="in total",
        rule="the total is fixed however many classes there are",
        option="it is fixed and divided among them",
    ),
}


@dataclass(frozen=True)
class Budget:
    """How much may be kept of each class.

    Attributes:
        amount: In `unit`s, of each class or of all classes together, as `growth` says.
        currency: One of `CURRENCIES`; `exemplars` are numbers given by phase and class in `counts`.
        growth: One of `GROWTHS`.
        unit: Cost of one untouched sample: its mean bytes, or 1.
        sample_bytes: Mean bytes of an untouched sample, whatever the currency: by these `extra`
            payloads are charged where samples are counted.
        counts: For currency `exemplars`: counts[phase][label].
    """

    amount: float
    currency: str
    growth: str
    unit: float
    sample_bytes: float = 0.0
    counts: tuple[Mapping[int, int], ...] = field(default=())

    def cost(self, exemplar: Exemplar) -> float:
        """What one exemplar takes of the budget, in bytes, samples or exemplars.

        >>> from benchmark.exemplar import Exemplar
        >>> logits = Exemplar(0, b"", b"", extra=bytes(800), pixel_fraction=1.0)
        >>> Budget(5, "samples", "per-class", 1.0, sample_bytes=4000).cost(logits)
        1.2
        """
        return CURRENCIES[self.currency].cost(exemplar, self.sample_bytes)

    def allowance(self, label: int, phase: int, seen: int) -> float:
        """What class `label` may cost after `phase`, when `seen` classes share.

        >>> Budget(5, "samples", "per-class", 1.0).allowance(label=0, phase=3, seen=40)
        5.0
        >>> Budget(200, "samples", "total", 1.0).allowance(label=0, phase=3, seen=80)
        2.5
        >>> Budget(5, "bytes", "per-class", 1000.5).allowance(label=0, phase=0, seen=4)
        5002.5
        """
        if self.counts:
            return float(self.counts[phase].get(label, 0))
        whole = self.amount * self.unit
        return whole if GROWTHS[self.growth].per_class else whole / seen

    def total(self, phase: int, seen: int) -> float:
        """What all classes together may cost after `phase`.

        >>> Budget(5, "samples", "per-class", 1.0).total(phase=3, seen=40)
        200.0
        """
        if self.counts:
            return float(sum(self.counts[phase].values()))
        whole = self.amount * self.unit
        return whole * seen if GROWTHS[self.growth].per_class else whole


def make_budget(
    memory: str, *, currency: str, growth: str, num_classes: int, mean_sample_bytes: float
) -> Budget:
    """Read `--memory`: a plain number counts untouched samples per class, `20MB` is a total.

    Raises:
        UserError: Neither of the two, or a size in bytes where samples are counted.

    >>> options = dict(num_classes=40, mean_sample_bytes=4000.0)
    >>> make_budget("5", currency="bytes", growth="total", **options).amount
    200.0
    >>> make_budget("1.6MB", currency="bytes", growth="per-class", **options).amount
    10.0
    """
    in_bytes, per_class = not CURRENCIES[currency].noun, GROWTHS[growth].per_class
    unit = mean_sample_bytes if in_bytes else 1.0
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-zA-Z]*)", memory.strip())
    if match is None or (match[2] and match[2].upper() not in _UNITS):
        raise UserError(
            f"--memory {memory}: write a number of untouched samples per class (5, 0.5) "
            "or a total size (20MB, 500kB, 1GiB)"
        )
    number = float(match[1])
    if not match[2]:
        amount = number * (1 if per_class else num_classes)
        return Budget(amount, currency, growth, unit, mean_sample_bytes)
    if not in_bytes:
        raise UserError(
            f"--memory {memory} is a size in bytes, but --currency {currency} counts fractions of "
            "samples: give a plain number, or --currency bytes"
        )
    total = number * _UNITS[match[2].upper()] / unit
    amount = total / (num_classes if per_class else 1)
    return Budget(amount, currency, growth, unit, mean_sample_bytes)


def fill(ranking: Iterable[T], cost: Callable[[T], float], room: float) -> list[T]:
    """Walk down a ranking and take what still fits.

    A candidate that does not fit is passed over; after 16 in a row that do not fit the walk ends.

    >>> fill([3, 9, 4, 1], cost=float, room=8)
    [3, 4, 1]
    """
    taken: list[T] = []
    costs: list[float] = []
    misses = 0
    for candidate in ranking:
        price = cost(candidate)
        if math.fsum((*costs, price)) <= room:  # exact: ten tenths are one
            taken.append(candidate)
            costs.append(price)
            misses = 0
        else:
            misses += 1
            if misses == _MISSES:
                break
    return taken
