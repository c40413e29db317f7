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
    unpacked = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
    if unpacked > max(TABLE, _RATIO * size) or facts.num_rows > ROWS:
        words = f"its {size:,} bytes would unpack to {unpacked:,}, {facts.num_rows:,} rows"
        raise OSError(errno.EFBIG, words, str(path))
    return schema


def read_rows(path: Path, columns: Sequence[str], most: int = TABLE) -> list[dict[str, Any]]:
    """Read some columns as Python values, of at most `most` bytes of text.

    Parquet has equal texts once, so that a small file may hold any number of long ones: they are
    counted before they are made. Raises as `read_schema` does.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = read_schema(path)
    texts = [name for name in columns if pa.types.is_string(schema.field(name).type)]
    rows: list[dict[str, Any]] = []
    size = 0
    try:
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(_BATCH, columns=columns):
                for column in batch.columns:
                    if isinstance(column, pa.DictionaryArray):
                        lengths = pc.binary_length(column.dictionary)
                        size += pc.sum(lengths.take(column.indices)).as_py() or 0
                    else:
                        size += column.nbytes
                if size > most:
                    raise OSError(errno.EFBIG, f"its texts unpack to more than {most:,} bytes")
                rows += batch.to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    return rows
