"""Hashes by which data sets are told apart, and those of the ones that are shipped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from benchmark.data.raw_dataset import RawDataset

#: Beside this file.
KNOWN: Final = "known.json"


def shipped() -> dict[str, Any]:
    """What `benchmark.data.known` has written of each data set that is drawn, by its name."""
    found: dict[str, Any]
    found = json.loads(resources.files("benchmark.data").joinpath(KNOWN).read_text("utf-8"))
    return found


def data_sha256(
    source: RawDataset,
    digests: Sequence[str],
    is_test: NDArray[np.bool_] | None,
    used: Iterable[int],
) -> str:
    """Identity of a data set: of (n,) images by their hashes those rows that are used.

    `is_test` (n,) may be None: all are for training.
    """
    rows = source.rows

    def line(row: int) -> list[Any]:
        part = "test" if is_test is not None and is_test[row] else "train"
        key, label = rows.file_names[row], int(source.labels[row])
        return [key, digests[row], rows.captions[row], label, part]

    return rows_sha256(map(line, sorted(used, key=rows.file_names.__getitem__)))


def rows_sha256(rows: Iterable[Any]) -> str:
    """Hash of rows that are sorted by their keys."""
    digest, encode = hashlib.sha256(), json.JSONEncoder(ensure_ascii=False).encode
    for row in rows:
        digest.update(encode(row).encode() + b"\n")
    return digest.hexdigest()
