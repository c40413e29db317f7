"""What may be kept of old phases, what it costs, and what comes back.

An exemplar is bytes. What is written here is what is charged and what training gets back; it is
the only way from an old phase to a new one.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.budget import Budget, fill
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic

if TYPE_CHECKING:
    from benchmark.data import Sample

_HEAD = struct.Struct("<HH")  # label; kept share of the pixels in 1/65535


class BudgetError(RuntimeError):
    """A method tried to keep more than its budget; a fault of the method, never of the user."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """What is kept of one sample, as bytes; only the method that wrote it knows how to read it.

    `pixel_fraction` is the share of the image's pixels that is kept, in (0, 1], to 1/65535.
    """

    label: int
    image: bytes
    text: bytes
    extra: bytes = b""
    pixel_fraction: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.pixel_fraction <= 1 or not 0 <= self.label < 65536:
            raise ValueError(f"label {self.label} or pixel_fraction {self.pixel_fraction} out of range")
        # Rounded up, so that the share is never understated and survives writing and reading.
        steps = max(1, math.ceil(self.pixel_fraction * 65535 - 1e-6))
        object.__setattr__(self, "pixel_fraction", steps / 65535)

    def to_bytes(self) -> bytes:
        """The record as it lies on disk."""
        parts = (self.image, self.text, self.extra)
        head = _HEAD.pack(self.label, round(self.pixel_fraction * 65535))
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

    >>> kept = Exemplar(3, b"pixels", b"words", pixel_fraction=0.5)
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
class StoredExemplar:
    """One exemplar as a method hands it over, with what the audit wants to know of it.

    Both are for people and not charged; so they must not carry anything else.

    Attributes:
        exemplar: What is kept.
        file_name: The sample's.
        codec: How it was encoded, in a word.
    """

    exemplar: Exemplar
    file_name: str
    codec: str = "native"

    @classmethod
    def whole(cls, sample: Sample) -> StoredExemplar:
        """A sample as it is: its image file and its caption."""
        exemplar = Exemplar(sample.label, sample.image, sample.caption.encode())
        return cls(exemplar, sample.file_name)


class Memory:
    """The exemplars of all classes seen, on disk, one file a class.

    Files are immutable: a change writes a new one. Which of them count is said by `manifest`, which
    the caller commits together with the rest of a phase, so a kill leaves the former state whole.
    """

    def __init__(
        self,
        folder: Path,
        budget: Budget,
        manifest: Mapping[str, Any] | None = None,
        *,
        writes: bool = True,
    ) -> None:
        """Take up a memory where it was left.

        Args:
            folder: Where its files are.
            budget: What it may hold.
            manifest: What `manifest` returned; None for an empty memory.
            writes: Of several processes only one writes; all know the same.

        Raises:
            UserError: A file is missing or was changed.
        """
        self.folder = folder
        self.budget = budget
        self.phase = 0
        self.num_seen = 0
        self._writes = writes
        self._classes: dict[int, list[StoredExemplar]] = {}
        self._files: dict[int, str] = {}
        self._chosen: set[int] = set()
        self._names: Set[str] | None = None  # None: not checked
        for key, entry in (manifest or {}).items():
            self._read(int(key), entry)

    def open_phase(self, phase: int, seen: int, names: Set[str] | None = None) -> None:
        """Make room after training: with a total budget, old classes give up their surplus.

        The first exemplars of the stored order stay, so methods store their best ones first.

        Args:
            phase: Its index.
            seen: Classes seen with it.
            names: Samples that may be kept now, beside those that are kept already; None for any.
        """
        self.phase, self.num_seen, self._names = phase, seen, names
        self._chosen.clear()
        for label, kept in self._classes.items():
            stay = len(kept)
            while stay and self._cost(kept[:stay]) > self.allowance(label):
                stay -= 1
            if stay < len(kept):
                self._write(label, kept[:stay])

    def allowance(self, label: int) -> float:
        """What a class may cost now, in the budget's currency; nothing before it is seen."""
        return self.budget.allowance(label, self.phase, self.num_seen) if label < self.num_seen else 0.0

    def keep(self, label: int, ranking: Iterable[StoredExemplar]) -> list[StoredExemplar]:
        """Store of a ranking what fits in the class's room; return what was stored.

        It takes the place of what was kept of the class before.

        Raises:
            ValueError: The class is not seen yet, or an exemplar is of another one; a file name is
                no sample's, or a codec no single word.
        """
        if not 0 <= label < self.num_seen:
            raise ValueError(f"class {label} is none of the {self.num_seen} seen")
        kept = fill(ranking, lambda one: self.budget.cost(one.exemplar), self.allowance(label))
        if any(one.exemplar.label != label for one in kept):
            raise ValueError(f"exemplars of another class were handed in for class {label}")
        known = {one.file_name for one in self._classes.get(label, ())}
        for one in kept:
            if not (self._names is None or one.file_name in self._names or one.file_name in known):
                raise ValueError(f"{one.file_name!r} is no sample of this phase or of the memory")
            if not re.fullmatch(r"[a-z0-9_]{1,16}", one.codec):
                raise ValueError(f"codec {one.codec!r} is no word of up to 16 small letters")
        self._write(label, kept)
        self._chosen.add(label)
        return kept

    def exemplars(self) -> list[Exemplar]:
        """All that is kept, by class, best first."""
        return [one.exemplar for label in sorted(self._classes) for one in self._classes[label]]

    def of(self, label: int) -> list[StoredExemplar]:
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
            cost, room = self._cost(kept), self.allowance(label)
            size = sum(one.exemplar.nbytes for one in kept)
            if cost > room:
                raise BudgetError(f"class {label} costs {cost} of {room}")
            if self._writes and (self.folder / self._files[label]).stat().st_size != size:
                raise RuntimeError(f"{self._files[label]} is not as long as what is charged")
            entry = {"exemplars": len(kept), "bytes": size, "cost": cost, "budget": room}
            per_class[str(label)] = entry
        return {
            "exemplars": sum(int(entry["exemplars"]) for entry in per_class.values()),
            "bytes": sum(int(entry["bytes"]) for entry in per_class.values()),
            "cost": math.fsum(entry["cost"] for entry in per_class.values()),
            "budget": math.fsum(map(self.allowance, range(self.num_seen))),
            "per_class": per_class,
        }

    def chosen(self) -> list[dict[str, Any]]:
        """One row for each exemplar of the classes chosen in this phase, for the audit file."""
        return [
            {
                "label": label,
                "rank": rank,
                "file_name": one.file_name,
                "bytes": one.exemplar.nbytes,
                "cost": self.budget.cost(one.exemplar),
                "codec": one.codec,
            }
            for label in sorted(self._chosen)
            for rank, one in enumerate(self._classes[label])
        ]

    def _cost(self, kept: Iterable[StoredExemplar]) -> float:
        return math.fsum(self.budget.cost(one.exemplar) for one in kept)

    def _write(self, label: int, kept: Sequence[StoredExemplar]) -> None:
        data = b"".join(one.exemplar.to_bytes() for one in kept)
        digest = hashlib.sha256(data).hexdigest()[:16]
        self._files[label] = f"class-{label:04d}-{digest}.bin"
        self._classes[label] = list(kept)
        if self._writes:
            write_atomic(self.folder / self._files[label], data)

    def _read(self, label: int, entry: Mapping[str, Any]) -> None:
        path = self.folder / entry["file"]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path} is missing: put it back, or give --overwrite to run anew"
            ) from error
        if f"-{hashlib.sha256(data).hexdigest()[:16]}." not in path.name:
            raise UserError(
                f"{path} was changed after it was written: put it back as it was, or give "
                "--overwrite to run anew"
            )
        self._files[label] = entry["file"]
        self._classes[label] = [
            StoredExemplar(exemplar, *source)
            for exemplar, source in zip(read_records(data), entry["sources"], strict=True)
        ]


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
