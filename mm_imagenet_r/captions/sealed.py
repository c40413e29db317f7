"""Files that hold the hash of their own content: a bit that changes on disk is found.

Files that were written before there were seals have none, and are read as they are.
"""

from __future__ import annotations

import hashlib
import io
import json
import operator
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.parquet_files import read_rows, read_schema
from mm_imagenet_r.reading import SETTINGS, read_bytes

#: Key of the metadata that holds the seal.
_SEAL: Final = b"mm_imagenet_r_seal"
#: Key of a record's.
_SEALED: Final = "sha256"


def write(table: pa.Table, owner: str) -> bytes:
    """Return a sealed table as the bytes of a Parquet file; the `owner` is what it is a part of."""
    metadata = {**(table.schema.metadata or {}), _SEAL: _seal(table, owner).encode()}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer, compression="zstd")
    return buffer.getvalue()


def read(path: Path, owner: str, columns: Collection[str] | None = None) -> pa.Table:
    """Read a table of that `owner`.

    Of a table without a seal only `columns` are read, unless they are None.

    Raises:
        OSError: There is no such file, it is not a regular one, or unpacks to far more than it has.
        ValueError: It is damaged, or belongs to another owner.
    """
    schema = read_schema(path)
    metadata = schema.metadata or {}
    if _SEAL not in metadata and any(_is_nearly(key) for key in metadata):
        raise ValueError("its seal is damaged")  # or it would pass for an old file
    whole = columns is None or _SEAL in metadata
    names = [name for name in schema.names if whole or name in (columns or ())]
    rows = read_rows(path, names)
    kept = pa.schema([schema.field(name) for name in names], metadata)
    try:
        table = pa.Table.from_pylist(rows, kept)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    if _SEAL in metadata and metadata[_SEAL] != _seal(table, owner).encode():
        raise ValueError("its content is not what was written")
    return table


def _is_nearly(key: bytes) -> bool:
    """Whether a key is that of the seal with a byte or two changed."""
    return len(key) == len(_SEAL) and sum(map(operator.ne, key, _SEAL)) <= 2


def write_record(record: Mapping[str, Any]) -> bytes:
    """Return a sealed object in JSON."""
    return json.dumps({**record, _SEALED: json_sha256(record)}, indent=1).encode()


def read_record(path: Path) -> Any:
    """Read what `write_record` has written, or another value in JSON.

    Raises:
        ValueError: It cannot be read, or is damaged.
    """
    try:
        record = json.loads(read_bytes(path, SETTINGS))
    except (OSError, RecursionError) as error:
        raise ValueError(getattr(error, "strerror", None) or str(error)) from error
    if isinstance(record, dict) and _SEALED in record:
        seal = record.pop(_SEALED)
        if seal != json_sha256(record):
            raise ValueError("its content is not what was written")
    return record


def _seal(table: pa.Table, owner: str) -> str:
    about = {key.hex(): value.hex() for key, value in (table.schema.metadata or {}).items()}
    about.pop(_SEAL.hex(), None)
    content = [owner, about, table.column_names, table.to_pylist()]
    text = json.dumps(content, sort_keys=True, default=repr)  # of types that nobody has written
    return hashlib.sha256(text.encode()).hexdigest()
