"""What may be kept of old phases, what it costs, and what comes back.

An exemplar is bytes. What is written here is what is charged and what training gets back; it is
the only way from an old phase to a new one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic

_HEAD = struct.Struct("<HH")  # label; kept share of the pixels in 1/65535
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_MISSES = 16  # a ranking is walked until this many candidates in a row do not fit

T = TypeVar("T")


class BudgetError(RuntimeError):
    """A method tried to keep more than its budget; a fault of the method, never of the user."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """What is kept of one sample, as bytes; only the method that wrote it knows how to read it.

    `pixels` is the share of the image's pixels that is kept, in (0, 1], to 1/65535.
    """

    label: int
    image: bytes
    text: bytes
    extra: bytes = b""
    pixels: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.pixels <= 1 or not 0 <= self.label < 65536:
            raise ValueError(f"label {self.label} or pixels {self.pixels} out of range")
        # Rounded up, so that the share is never understated and survives writing and reading.
        object.__setattr__(self, "pixels", math.ceil(self.pixels * 65535 - 1e-6) / 65535)

    def to_bytes(self) -> bytes:
        """The record as it lies on disk."""
        parts = (self.image, self.text, self.extra)
        head = _HEAD.pack(self.label, round(self.pixels * 65535))
        return head + b"".join(_varint(len(part)) for part in parts) + b"".join(parts)

    @property
    def nbytes(self) -> int:
        """Length of the record on disk: image, text, extra, label and framing; all is charged."""
        parts = (self.image, self.text, self.extra)
        return _HEAD.size + sum(len(part) + len(_varint(len(part))) for part in parts)


def read_records(data: bytes) -> list[Exemplar]:
    """Read back a file of records.

    Raises:
        ValueError: The data ends inside a record.

    >>> kept = Exemplar(3, b"pixels", b"words", pixels=0.5)
    >>> read_records(kept.to_bytes() * 2) == [kept, kept]
    True
    """
    found, at = [], 0
    while at < len(data):
        if at + _HEAD.size > len(data):
            raise ValueError("a record of the memory is cut off")
        label, pixels = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        lengths = []
        for _ in range(3):
            length, at = _read_varint(data, at)
            lengths.append(length)
        image, text = at + lengths[0], at + lengths[0] + lengths[1]
        end = text + lengths[2]
        if end > len(data):
            raise ValueError("a record of the memory is cut off")
        found.append(
            Exemplar(label, data[at:image], data[image:text], data[text:end], pixels / 65535)
        )
        at = end
    return found


@dataclass(frozen=True)
class Budget:
    """How much may be kept of each class.

    Attributes:
        amount: In `unit`s: a class (growth `per-class`) or all classes together (`total`).
        currency: `bytes` (length of the records), `samples` (share of pixels kept), or `exemplars`
            (their number, given per phase and class in `counts`).
        growth: `per-class` grows with the classes; `total` is divided among those seen.
        unit: Cost of one untouched sample: its mean bytes, or 1.
        counts: For currency `exemplars`: counts[phase][label].
    """

    amount: float
    currency: str
    growth: str
    unit: float
    counts: tuple[Mapping[int, int], ...] = field(default=())

    def cost(self, exemplar: Exemplar) -> float:
        """What one exemplar takes of the budget, in bytes, samples or exemplars."""
        if self.currency == "bytes":
            return exemplar.nbytes
        return exemplar.pixels if self.currency == "samples" else 1.0

    def room(self, label: int, phase: int, seen: int) -> float:
        """What class `label` may cost after `phase`, when `seen` classes share.

        >>> Budget(5, "samples", "per-class", 1.0).room(label=0, phase=3, seen=40)
        5.0
        >>> Budget(200, "samples", "total", 1.0).room(label=0, phase=3, seen=80)
        2.5
        >>> Budget(5, "bytes", "per-class", 1000.5).room(label=0, phase=0, seen=4)
        5002.5
        """
        if self.currency == "exemplars":
            return float(self.counts[phase].get(label, 0))
        whole = self.amount * self.unit
        return whole if self.growth == "per-class" else whole / seen


def make_budget(
    memory: str, *, currency: str, growth: str, num_classes: int, mean_sample_bytes: float
) -> Budget:
    """Read `--memory`: a plain number counts untouched samples a class, `20MB` is a total.

    Raises:
        UserError: Neither of the two, or a size in bytes where samples are counted.

    >>> options = dict(num_classes=40, mean_sample_bytes=4000.0)
    >>> make_budget("5", currency="bytes", growth="total", **options).amount
    200.0
    >>> make_budget("1.6MB", currency="bytes", growth="per-class", **options).amount
    10.0
    """
    unit = mean_sample_bytes if currency == "bytes" else 1.0
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-zA-Z]*)", memory.strip())
    if match is None or (match[2] and match[2].upper() not in _UNITS):
        raise UserError(
            f"--memory {memory}: write a number of untouched samples a class (5, 0.5) "
            f"or a size in total ({', '.join(('20MB', '500kB', '1GiB'))})"
        )
    number = float(match[1])
    if not match[2]:
        return Budget(number * (num_classes if growth == "total" else 1), currency, growth, unit)
    if currency != "bytes":
        raise UserError(
            f"--memory {memory} is a size in bytes, but --currency {currency} counts fractions of "
            "samples: give a plain number, or --currency bytes"
        )
    total = number * _UNITS[match[2].upper()] / unit
    return Budget(total / (num_classes if growth == "per-class" else 1), currency, growth, unit)


def fill(ranking: Iterable[T], cost: Callable[[T], float], room: float) -> list[T]:
    """Walk down a ranking and take what still fits.

    A candidate that does not fit is passed over; after 16 in a row that do not fit the walk ends.

    >>> fill([3, 9, 4, 1], cost=float, room=8)
    [3, 4, 1]
    """
    taken: list[T] = []
    used, misses = 0.0, 0
    for candidate in ranking:
        price = cost(candidate)
        if used + price <= room:
            taken.append(candidate)
            used, misses = used + price, 0
        else:
            misses += 1
            if misses == _MISSES:
                break
    return taken


@dataclass(frozen=True)
class Kept:
    """One exemplar as a method hands it over, with what the audit wants to know of it."""

    exemplar: Exemplar
    file_name: str
    codec: str = "native"


class Memory:
    """The exemplars of all classes seen, on disk, one file a class.

    Files are immutable: a change writes a new one. Which of them count is said by `manifest`, which
    the caller commits together with the rest of a phase, so a kill leaves the former state whole.
    """

    def __init__(
        self, folder: Path, budget: Budget, manifest: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = folder
        self.budget = budget
        self.phase = 0
        self.seen = 0
        self.writes = True  # of several processes only the first writes; all know the same
        self._classes: dict[int, list[Kept]] = {}
        self._files: dict[int, str] = {}
        for key, entry in (manifest or {}).items():
            self._read(int(key), entry)

    def open_phase(self, phase: int, seen: int) -> None:
        """Enter a phase: with a total budget, old classes give up what exceeds their new share.

        The first exemplars of the stored order stay, so methods store their best ones first.
        """
        self.phase, self.seen = phase, seen
        for label, kept in self._classes.items():
            room, used, stay = self.room(label), 0.0, 0
            for one in kept:
                used += self.budget.cost(one.exemplar)
                stay += used <= room
            if stay < len(kept):
                self._write(label, kept[:stay])

    def room(self, label: int) -> float:
        """What a class may cost now, in the budget's currency."""
        return self.budget.room(label, self.phase, self.seen)

    def keep(self, label: int, ranking: Iterable[Kept]) -> list[Kept]:
        """Store of a ranking what fits in the class's room; return what was stored."""
        kept = fill(ranking, lambda one: self.budget.cost(one.exemplar), self.room(label))
        if any(one.exemplar.label != label for one in kept):
            raise ValueError(f"exemplars of another class were handed in for class {label}")
        self._write(label, kept)
        return kept

    def exemplars(self) -> list[Exemplar]:
        """All that is kept, by class, best first."""
        return [one.exemplar for label in sorted(self._classes) for one in self._classes[label]]

    def of(self, label: int) -> list[Kept]:
        """What is kept of one class, best first."""
        return list(self._classes.get(label, ()))

    def manifest(self) -> dict[str, Any]:
        """Which file holds each class, its size and hash, and where its exemplars came from."""
        return {
            str(label): {
                "file": self._files[label],
                "bytes": sum(one.exemplar.nbytes for one in kept),
                "sources": [[one.file_name, one.codec] for one in kept],
            }
            for label, kept in sorted(self._classes.items())
        }

    def ledger(self) -> dict[str, Any]:
        """What is kept and what it costs, per class and in sum, checked against the files.

        Raises:
            BudgetError: A class costs more than its room.
            RuntimeError: A file's size differs from what is charged.
        """
        per_class: dict[str, dict[str, float]] = {}
        for label, kept in sorted(self._classes.items()):
            cost = sum(self.budget.cost(one.exemplar) for one in kept)
            size = sum(one.exemplar.nbytes for one in kept)
            if cost > self.room(label):
                raise BudgetError(f"class {label} costs {cost} of {self.room(label)}")
            if self.writes and (self.folder / self._files[label]).stat().st_size != size:
                raise RuntimeError(f"{self._files[label]} is not as long as what is charged")
            per_class[str(label)] = {
                "exemplars": len(kept),
                "bytes": size,
                "cost": cost,
                "budget": self.room(label),
            }
        return {
            "exemplars": sum(int(entry["exemplars"]) for entry in per_class.values()),
            "bytes": sum(int(entry["bytes"]) for entry in per_class.values()),
            "cost": sum(entry["cost"] for entry in per_class.values()),
            "budget": sum(self.room(label) for label in range(self.seen)),
            "per_class": per_class,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per exemplar for the audit file."""
        return [
            {
                "label": label,
                "rank": rank,
                "file_name": one.file_name,
                "bytes": one.exemplar.nbytes,
                "cost": self.budget.cost(one.exemplar),
                "codec": one.codec,
            }
            for label, kept in sorted(self._classes.items())
            for rank, one in enumerate(kept)
        ]

    def sweep(self) -> None:
        """Remove files that the committed manifest no longer names."""
        if self.writes and self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name not in self._files.values():
                    path.unlink()

    def _write(self, label: int, kept: Sequence[Kept]) -> None:
        data = b"".join(one.exemplar.to_bytes() for one in kept)
        digest = hashlib.sha256(data).hexdigest()[:16]
        self._files[label] = f"class-{label:04d}-{digest}.bin"
        self._classes[label] = list(kept)
        if self.writes:
            write_atomic(self.folder / self._files[label], data)

    def _read(self, label: int, entry: Mapping[str, Any]) -> None:
        path = self.folder / entry["file"]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path} is missing: the run folder was changed by hand; give --overwrite"
            ) from error
        if f"-{hashlib.sha256(data).hexdigest()[:16]}." not in path.name:
            raise UserError(f"{path} was changed after it was written; give --overwrite")
        self._files[label] = entry["file"]
        self._classes[label] = [
            Kept(exemplar, *source)
            for exemplar, source in zip(read_records(data), entry["sources"], strict=True)
        ]


def counts_of(result: Path) -> tuple[dict[int, int], ...]:
    """Read from a result.json how many exemplars of each class its run kept after each phase."""
    phases = json.loads(result.read_text(encoding="utf-8"))["phases"]
    return tuple(
        {int(k): int(v["exemplars"]) for k, v in phase["memory"]["per_class"].items()}
        for phase in phases
    )


def _varint(number: int) -> bytes:
    """Seven bits a byte, lowest first: lengths below 128 take one byte, below 16,384 two."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("a record of the memory is cut off")
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
