"""Which images a caption set has, and in which units they are made: lists that only grow.

A manifest is frozen once written; later images go into another one and into units of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from mm_imagenet_r.captions import sealed
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import create_atomic

_SCHEMA: Final = pa.schema(
    [("file_name", pa.string()), ("sha256", pa.string()), ("unit", pa.int32())]
)
_NAME: Final = re.compile(r"manifest-([0-9]{4,})\.parquet")
_UNIT_SIZE: Final = b"unit_size"


@dataclass(frozen=True, slots=True)
class Item:
    """One image to be captioned: its name, and the hash of its bytes."""

    file_name: str
    sha256: str


class Manifest:
    """All manifests of a folder, as they were when last read."""

    def __init__(self, folder: Path) -> None:
        """Read the manifests of a folder; raises UserError if one is damaged."""
        self._folder = folder
        self._next = 0  # number of the manifest after those that were read
        self._unit_of: dict[str, int] = {}
        #: Images by unit; a unit's number is its index. Of equal images it has one.
        self.units: list[list[Item]] = []
        #: SHA-256 in hexadecimal by file name, equal images included.
        self.hashes: dict[str, str] = {}
        #: How many images the units were meant to hold; each addition has its own.
        self.unit_sizes: set[int] = set()
        self.refresh()

    def refresh(self) -> bool:
        """Read what others have added since; False if nothing."""
        paths = self._folder.glob("manifest-*.parquet")
        names = [_NAME.fullmatch(path.name) for path in paths]
        numbers = sorted(int(name[1]) for name in names if name and int(name[1]) >= self._next)
        for number in numbers:
            path = self._path(number)
            try:
                table = sealed.read(path, self._folder.name)
                for row in table.to_pylist():
                    self._append(Item(row["file_name"], row["sha256"]), row["unit"])
                self.unit_sizes.add(int(table.schema.metadata[_UNIT_SIZE]))
            except (OSError, ValueError, LookupError, TypeError) as error:
                why = getattr(error, "strerror", None) or error
                raise UserError(
                    f"{path} is damaged ({why}): restore it, or give another --output"
                ) from error
            self._next = number + 1  # there may be gaps: once other files were counted too
        return bool(numbers)

    def add(self, hashes: Mapping[str, str], unit_size: int) -> None:
        """Add images, SHA-256 by file name, that the manifests do not hold yet.

        If two processes add images at the same time, one is first and the other adds the rest.

        Raises:
            UserError: An image has changed since it was added.
        """
        while True:
            for name, sha256 in hashes.items():
                if self.hashes.get(name, sha256) != sha256:
                    raise UserError(
                        f"{name} has changed since its caption set {self._folder} was started: "
                        "restore the old file, or give another --output"
                    )
            new = sorted(set(hashes) - self.hashes.keys())
            if not new:
                return
            unit_of = dict(self._unit_of)
            added = [sha for sha in dict.fromkeys(hashes[n] for n in new) if sha not in unit_of]
            unit_of |= {sha: len(self.units) + n // unit_size for n, sha in enumerate(added)}
            rows = [
                {"file_name": name, "sha256": hashes[name], "unit": unit_of[hashes[name]]}
                for name in new
            ]
            schema = _SCHEMA.with_metadata({_UNIT_SIZE: str(unit_size).encode()})
            table = pa.Table.from_pylist(rows, schema)
            create_atomic(self._path(self._next), sealed.write(table, self._folder.name))
            self.refresh()

    def _path(self, number: int) -> Path:
        return self._folder / f"manifest-{number:04}.parquet"

    def _append(self, item: Item, unit: int) -> None:
        if not isinstance(item.file_name, str) or not isinstance(item.sha256, str):
            raise ValueError("a row has no name or no hash")
        if not 0 <= unit <= len(self.units):
            raise ValueError(f"there is no unit {unit} yet")
        self.hashes[item.file_name] = item.sha256
        if item.sha256 in self._unit_of:
            return
        if unit == len(self.units):
            self.units.append([])
        self.units[unit].append(item)
        self._unit_of[item.sha256] = unit
