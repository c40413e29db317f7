"""Predictions and exemplars of a run as Parquet: one row each, so every number can be recomputed.

The same rows give the same bytes. A class is a position in the class order, as in result.json.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmark import run_files
from mm_imagenet_r.errors import UserError


class Prediction(NamedTuple):
    """What a classifier predicted for one test sample after training `phase`.

    `classifier` is "" for the only one of a method.
    """

    phase: int
    file_name: str
    label: int
    prediction: int
    classifier: str = ""


class Stored(NamedTuple):
    """One exemplar that entered the memory after training `phase`.

    The memory of a class after phase t is a beginning, by `rank`, of its rows of the latest phase
    up to t: a memory that shrinks drops the highest ranks, and a method that chooses the exemplars
    of an old class again writes all of them again under the new phase.
    """

    phase: int
    label: int
    rank: int
    file_name: str
    bytes: int
    cost: float
    codec: str


class Judged(NamedTuple):
    """Predictions of one classifier as arrays of one length: whether each was right, and of what.

    `images` are positions in `file_names`, which is sorted; `labels` are positions in the class
    order, as everywhere.
    """

    phases: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    correct: npt.NDArray[np.bool_]
    file_names: list[str]


_COLUMNS: dict[type, dict[str, str]] = {
    Prediction: {
        "phase": "int16", "file_name": "string", "label": "int32", "prediction": "int32",
        "classifier": "string",
    },
    Stored: {
        "phase": "int16", "label": "int32", "rank": "int32", "file_name": "string",
        "bytes": "int64", "cost": "float64", "codec": "string",
    },
}  # fmt: skip
#: Rows of a file, and bytes of them unpacked: 1,000 phases and 60,000 test images have as many.
_MOST, _LONGEST = 2**25, 2**31
#: Columns that files of earlier versions lack, with their value there.
_LATER: dict[str, Any] = {"classifier": ""}


def columns(kind: type, rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The columns of a table of records, each in one piece.

    >>> columns(Prediction, [Prediction(0, "a.jpg", 1, 2)._asdict()])["label"]
    [[1]]
    """
    found: dict[str, list[Any]] = {name: [] for name in _COLUMNS[kind]}
    for row in rows:
        for name, column in found.items():
            column.append(row[name])
    return {name: [column] for name, column in found.items()}


def encode(kind: type, columns: Mapping[str, Sequence[Any]]) -> bytes:
    """The Parquet file of `Prediction` or `Stored` records; columns are lists of pieces of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {name: pa.type_for_alias(alias) for name, alias in _COLUMNS[kind].items()}
    schema = pa.schema([pa.field(name, of, False) for name, of in types.items()])
    arrays = [
        pa.chunked_array([pa.array(piece, of) for piece in columns[name]], of).combine_chunks()
        for name, of in types.items()
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def read_predictions(path: Path, sha256: str | None = None) -> list[Prediction]:
    """Read predictions.parquet, held against its hash if that is given.

    Raises:
        UserError: The file is absent, broken, lacks a column or is another one.
    """
    return [Prediction(*row) for row in zip(*_read(Prediction, path, sha256).values(), strict=True)]


def read_exemplars(path: Path) -> list[Stored]:
    """Read exemplars.parquet.

    Raises:
        UserError: The file is absent, broken or lacks a column.
    """
    return [Stored(*row) for row in zip(*_read(Stored, path).values(), strict=True)]


def read_judged(path: Path, classifier: str, sha256: str | None = None) -> Judged:
    """Read what one classifier predicted, as `read_predictions` and much faster than row by row.

    Raises:
        UserError: The file is absent, broken, lacks a column, knows no such classifier or is
            another one.
    """
    columns = _read(Prediction, path, sha256)
    of = np.array(columns["classifier"], dtype=object) == classifier
    if not of.any():
        raise UserError(f"{path} has no predictions of the classifier {classifier!r}")
    phases, labels, found = (
        np.asarray(columns[name], dtype=np.int64)[of] for name in ("phase", "label", "prediction")
    )
    names, images = np.unique(np.array(columns["file_name"], dtype=str)[of], return_inverse=True)
    return Judged(phases, images, labels, labels == found, names.tolist())


def _read(kind: type, path: Path, sha256: str | None = None) -> dict[str, list[Any]]:
    """The columns of a file, all of them, in the order of the record's fields."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = run_files.read(path, sha256)
    try:
        # One thread: starting pools for so little costs more, and can abort at exit.
        file = pq.ParquetFile(io.BytesIO(data))
        said = file.metadata
        size = sum(said.row_group(group).total_byte_size for group in range(said.num_row_groups))
        if said.num_rows > _MOST or size > _LONGEST:
            raise ValueError(f"{said.num_rows:,} rows of {size:,} bytes are more than runs have")
        there = set(file.schema_arrow.names)
        wanted = [name for name in _COLUMNS[kind] if name in there or name not in _LATER]
        table = file.read(columns=wanted, use_threads=False)
        for name in wanted:
            column, alias = table[name], _COLUMNS[kind][name]
            if column.null_count or column.type != pa.type_for_alias(alias):
                raise ValueError(f"column {name} is not {alias} throughout")
        return {
            name: table[name].to_pylist() if name in wanted else [_LATER[name]] * table.num_rows
            for name in _COLUMNS[kind]
        }
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as the Parquet file of a run ({error}): "
            "copy it again, or repeat the run with --overwrite"
        ) from error
