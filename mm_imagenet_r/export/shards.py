"""Rows as Parquet files that suit the Hub: sorted, in small row groups, each under its hash."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import open_atomic
from mm_imagenet_r.hashes import file_sha256, json_sha256
from mm_imagenet_r.reading import open_regular, parse_json

if TYPE_CHECKING:
    import pyarrow as pa

#: Finished shards wait here until all of a configuration are there; it goes when all is written.
STAGING: Final = ".export"
#: There, hashes of the shards that are known to be whole.
HASHES: Final = "hashes.json"
#: Rows of a row group: what is read at least for one row, and for the rows of one class.
GROUP_ROWS: Final = 200
#: Key of this package's record in the footer of each Parquet file.
RECORD: Final = b"mm_imagenet_r"
#: To be raised when the same rows are to be written in another way: old shards are then replaced.
_FORMAT: Final = 1
#: Ends pages where the content says so, so that a changed row moves no other page and the Hub
#: stores only what is new. The sizes are those `datasets` writes with.
_CHUNKING: Final = {"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0}


@dataclass(frozen=True, slots=True)
class Shard:
    """One Parquet file to be."""

    name: str  # of the file, as the Hub expects it
    groups: range  # numbers of the row groups of the split it holds
    sha256: str  # identity of its rows and of the way they are written

    def is_in(self, path: Path, known: Collection[str]) -> bool:
        """Whether a file is this shard, and its SHA-256 is `known`: its rows may be damaged."""
        return record_of(path).get("sha256") == self.sha256 and file_sha256(path) in known


class Groups:
    """The rows of a split, sorted by (label, file_name), in groups of `GROUP_ROWS`.

    Sorting brings the rows of a class together: a filter on the label then reads few groups.
    """

    def __init__(self, split: Any) -> None:
        """Sort the rows of a `datasets.Dataset`; nothing is copied."""
        labels, names = split["label"][:], split["file_name"][:]
        order = sorted(range(len(split)), key=lambda row: (labels[row], names[row]))
        self.features = split.features
        self._rows = split.select(order).with_format("arrow")

    def __len__(self) -> int:
        return -(-len(self._rows) // GROUP_ROWS)

    def __getitem__(self, number: int) -> pa.Table:
        if not 0 <= number < len(self):
            raise IndexError(number)
        start = number * GROUP_ROWS
        # The schema carries the features, which plain `load_dataset` reads from it.
        return self._rows[start : start + GROUP_ROWS].cast(self.features.arrow_schema)


def cut(sizes: Sequence[int], most: int) -> list[range]:
    """Divide row groups into runs of at most `most` bytes, each of one group at least.

    >>> cut([4, 4, 4, 9, 1], most=8)
    [range(0, 2), range(2, 3), range(3, 4), range(4, 5)]
    >>> cut([], most=8)
    [range(0, 0)]
    """
    starts, filled = [0], 0
    for number, size in enumerate(sizes):
        if filled and filled + size > most:
            starts.append(number)
            filled = 0
        filled += size
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(sizes)], strict=True)]


def record_of(path: Path) -> dict[str, Any]:
    """Return what this package wrote into the footer of a Parquet file; empty for all else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path, follow=False) as file:
            found = parse_json((pq.read_metadata(file).metadata or {})[RECORD])
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return {}
    return found if isinstance(found, dict) else {}


def content_of(hashes: Iterable[str]) -> str:
    """Return the hash of what a configuration holds, from those of its shards in any order."""
    return json_sha256(sorted(hashes))


def plan(
    split: str, groups: Sequence[tuple[int, str]], most: int, record: Mapping[str, Any]
) -> list[Shard]:
    """Divide the row groups of a split, by `identity`, into shards of at most `most` bytes."""
    cuts = cut([size for size, _ in groups], most)
    found = []
    for number, run in enumerate(cuts):
        content = [_FORMAT, GROUP_ROWS, record, [groups[group][1] for group in run]]
        name = f"{split}-{number:05d}-of-{len(cuts):05d}.parquet"
        found.append(Shard(name, run, json_sha256(content)))
    return found


def identity(group: pa.Table) -> tuple[int, str]:
    """Bytes of the images of a row group, and a hash of it all; UserError if a row has no image."""
    size, digest = 0, hashlib.sha256(str(group.schema.metadata).encode())
    for row in group.to_pylist():
        data = row["image"] and row["image"].pop("bytes")
        if not data:
            raise UserError(
                f"{row['file_name']} has no image bytes: load the data set again and export that"
            )
        digest.update(json_sha256([row, len(data)]).encode() + data)
        size += len(data)
    return size, digest.hexdigest()


def write(path: Path, tables: Iterable[pa.Table], features: Any, record: Mapping[str, Any]) -> None:
    """Write a Parquet file, each table as a row group; images as they are, as JPEG does not shrink.

    The footer holds `record`, see `record_of`; the file appears when it is complete. UserError if
    it cannot be written.
    """
    import pyarrow.parquet as pq

    schema = features.arrow_schema
    schema = schema.with_metadata({**schema.metadata, RECORD: json.dumps(record)})
    leaves = [name for name in schema.names if name != "image"]
    images = ["image.bytes", "image.path"] if "image" in schema.names else []
    with open_atomic(path) as file:
        sink = _Sink(file)
        writer = pq.ParquetWriter(
            sink,
            schema,
            compression=dict.fromkeys(images, "none") | dict.fromkeys(leaves, "snappy"),
            use_dictionary=leaves,
            column_encoding=dict.fromkeys(images, "PLAIN"),
            write_page_index=True,
            use_content_defined_chunking=_CHUNKING,
        )
        with writer:
            for table in tables:
                writer.write_table(table)
                sink.check()
            # The Hub recognises files written for deduplication by this.
            writer.add_key_value_metadata({"content_defined_chunking": json.dumps(_CHUNKING)})
        sink.check()


class _Sink(io.RawIOBase):
    """A file that keeps its errors, such as a full disk: in Parquet's writer they would abort."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._fault: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._fault is None:
            try:
                self._file.write(data)
            except BaseException as fault:  # Ctrl-C too
                self._fault = fault
        return len(data)

    def check(self) -> None:
        if self._fault is not None:
            raise self._fault
