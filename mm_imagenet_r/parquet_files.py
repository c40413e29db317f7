"""Parquet files that anyone may have made: a small one may unpack to more than there is memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.reading import TABLE, open_regular

if TYPE_CHECKING:
    import pyarrow as pa

#: More rows than any file of images or of captions has.
ROWS: Final = 2**24
#: Rows that are unpacked at a time.
_BATCH: Final = 256
#: Bytes of a value in a column of each kind; those of texts and images are counted.
_WIDTHS: Final = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
#: Bytes of a column that are read at a time.
_BUFFER: Final = 2**20
#: How many times its own size a file may unpack to; images do not shrink, texts to a tenth.
_RATIO: Final = 100


def read_schema(path: Path) -> pa.Schema:
    """Read the schema of a file that does not unpack to far more than it has, by its own account.

    Raises:
        OSError: It does, or is no regular file, absent or not permitted.
        ValueError: It is not Parquet or is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            facts = pq.read_metadata(file)
            schema = facts.schema.to_arrow_schema()
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error
    unpacked = sum(_account(facts, group) for group in range(facts.num_row_groups))
    if unpacked > _most(size) or facts.num_rows > ROWS:
        words = f"its {size:,} bytes would unpack to {unpacked:,}, {facts.num_rows:,} rows"
        raise OSError(errno.EFBIG, words, str(path))
    return schema


def _most(size: int) -> int:
    """To how many bytes a file of `size` bytes may unpack."""
    return max(TABLE, _RATIO * size)


def _account(facts: Any, group: int) -> int:
    """Bytes of a row group: those of its pages, but equal numbers may take none there."""
    total = 0
    for number in range(facts.num_columns):
        chunk, column = facts.row_group(group).column(number), facts.schema.column(number)
        width = _WIDTHS.get(column.physical_type, column.length or 0)
        total += max(chunk.total_uncompressed_size, chunk.num_values * width)
    return total


def require_bounded(path: Path) -> None:
    """Count what the texts and images of a file unpack to, for equal ones are there only once.

    Raises:
        OSError: It is far more than the file has, or the file is none as `read_schema` has it.
        ValueError: It is not Parquet or is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    read_schema(path)
    bound, size = _most(path.stat().st_size), 0
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER) as file:
            facts = file.metadata
            columns = [facts.schema.column(number) for number in range(facts.num_columns)]
            names = [each.path for each in columns if each.physical_type == "BYTE_ARRAY"]
            # No value is longer than its row group.
            groups = (
                facts.row_group(group).total_byte_size for group in range(facts.num_row_groups)
            )
            rows = min(_BATCH, max(1, TABLE // max(1, *groups)))
            for batch in file.iter_batches(rows, columns=names):
                size += sum(map(_size, batch.columns))
                if size > bound:
                    raise OSError(errno.EFBIG, f"it would unpack to more than {bound:,} bytes")
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _size(column: pa.Array) -> int:
    """Bytes of a column where each text is written out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.DictionaryArray):
        return pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0
    if pa.types.is_nested(column.type):
        inner = column.flatten()
        return sum(map(_size, inner if isinstance(inner, list) else [inner]))
    return int(column.nbytes)


def read_rows(path: Path, columns: Sequence[str], most: int = TABLE) -> list[dict[str, Any]]:
    """Read some columns as Python values, of at most `most` bytes of text.

    Parquet has equal texts once, so that a small file may hold any number of long ones: they are
    counted before they are made. Raises as `read_schema` does.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = read_schema(path)
    texts = [name for name in columns if pa.types.is_string(schema.field(name).type)]
    rows: list[dict[str, Any]] = []
    size = 0
    try:
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(_BATCH, columns=columns):
                size += sum(map(_size, batch.columns))
                if size > most:
                    raise OSError(errno.EFBIG, f"its texts unpack to more than {most:,} bytes")
                rows += batch.to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    return rows
