"""Images in a column of Parquet files, as an export of this package has them."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mm_imagenet_r.archive import SPLITS, Images, place
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import file_state
from mm_imagenet_r.mini.settings import EDITIONS
from mm_imagenet_r.parquet_files import read_schema

#: Bytes of row groups that are kept in memory: keys in order come from several at a time.
_KEPT: Final = 256_000_000


def of_one_configuration(folder: Path, tables: Sequence[Path]) -> Sequence[Path]:
    """Return the files of one configuration where an export holds several of the same images.

    `mini` has drawings of its own and is taken only where there is nothing else.
    """
    configs: dict[str, list[Path]] = {}
    for table in tables:
        parts = table.relative_to(folder).parts
        if len(parts) != 3 or parts[0] != "data":
            return tables
        configs.setdefault(parts[1], []).append(table)
    return configs[min(configs, key=lambda name: (name in EDITIONS, name))]


class ParquetImages(Images):
    """Images in a column of Parquet files; fastest when read in the order of the rows."""

    def __init__(self, path: Path, tables: Sequence[Path]) -> None:
        """Read the names in the files at `path`; UserError if one is damaged or lacks a column."""
        self._where: dict[str, tuple[Path, int, int]] = {}
        self.__setstate__({})
        found: list[tuple[str, str | None]] = []
        digest = hashlib.sha256()
        for table in tables:
            try:
                read_schema(table)
                with pq.ParquetFile(table) as file:
                    self._index(table, file, found)
            except (ValueError, pa.ArrowException) as error:
                raise UserError(
                    f"{table} is not Parquet or is damaged: write or download it again"
                ) from error
            digest.update(f"{table.name}\0{file_state(table)}\n".encode())
        super().__init__(path, found, digest.hexdigest())

    def _index(
        self, table: Path, file: pq.ParquetFile, found: list[tuple[str, str | None]]
    ) -> None:
        if absent := {"image", "file_name"} - set(file.schema_arrow.names):
            raise UserError(
                f"{table} has no column {' or '.join(sorted(absent))} but "
                f"{', '.join(file.schema_arrow.names)}: splits and captions are found by file "
                "name. Use imagenet-r.tar, or an export of this package"
            )
        split = next(
            (s for s in SPLITS if table.name.startswith(s) or table.parent.name == s), None
        )
        for group in range(file.num_row_groups):
            column = file.read_row_group(group, columns=["file_name"])["file_name"]
            for row, name in enumerate(column.to_pylist()):
                placed = place(PurePosixPath(str(name)).parts)
                if placed is None:
                    raise UserError(
                        f"{table}: the file name {name!r} is not <class>/<file>.jpg, so the image "
                        "has no class. Correct the column file_name"
                    )
                found.append((placed[0], placed[1] or split))
                self._where[placed[0]] = (table, group, row)

    def __getstate__(self) -> dict[str, Any]:
        lost = ("_kept", "_reading")
        return {key: value for key, value in self.__dict__.items() if key not in lost}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._kept: OrderedDict[tuple[Path, int], pa.Array] = OrderedDict()
        self._reading = threading.Lock()  # threads of a captioner share one object

    def read(self, name: str) -> bytes:  # noqa: D102 - that of Images
        table, group, row = self._where[name]
        with self._reading:
            column = self._group(name, table, group)
        value = column[row].as_py()
        data: bytes | None = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise UserError(
                f"{table}: the column image has no bytes for {name}, it may hold paths only. "
                "Write it with embedded images"
            )
        return data

    def _group(self, name: str, table: Path, group: int) -> pa.Array:
        """The images of a row group; those last used are kept, as many as memory allows."""
        if (found := self._kept.pop((table, group), None)) is None:
            try:
                with pq.ParquetFile(table) as file:
                    found = file.read_row_group(group, columns=["image"])["image"].combine_chunks()
            except (OSError, pa.ArrowException) as error:
                raise self._changed(name, str(error)) from error
        self._kept[table, group] = found
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _KEPT:
            self._kept.popitem(last=False)
        return found
