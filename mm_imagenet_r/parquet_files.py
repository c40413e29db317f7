"""Parquet files that anyone may have made: a small one may unpack to more than there is memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from mm_imagenet_r.reading import TABLE, open_regular

#: More rows than any file of images or of captions has.
ROWS: Final = 2**24
#: How many times its own size a file may unpack to; images do not shrink, texts to a tenth.
_RATIO: Final = 100


def require_real_size(path: Path) -> None:
    """Refuse a file that by its own account unpacks to far more than it has, before it is read.

    Raises:
        OSError: It does, or is no regular file, absent or not permitted.
        pyarrow.ArrowException: It is not Parquet or is damaged.
    """
    import pyarrow.parquet as pq

    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        facts = pq.read_metadata(file)
    unpacked = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
    if unpacked > max(TABLE, _RATIO * size) or facts.num_rows > ROWS:
        words = f"its {size:,} bytes would unpack to {unpacked:,}, {facts.num_rows:,} rows"
        raise OSError(errno.EFBIG, words, str(path))
