"""Predictions and exemplars of a run as Parquet: one row each, so every number can be recomputed.

The same rows give the same bytes. A class is a position in the class order, as in result.json.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic

PREDICTIONS = "predictions.parquet"
EXEMPLARS = "exemplars.parquet"


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
#: Columns that files of earlier versions lack, with their value there.
_LATER: dict[str, Any] = {"classifier": ""}


def write_predictions(path: Path, rows: Iterable[Prediction]) -> str:
    """Write a row per test sample of seen classes and phase; return the file's sha256."""
    return _write(Prediction, path, rows)


def write_exemplars(path: Path, rows: Iterable[Stored]) -> str:
    """Write a row per exemplar that ever entered the memory; return the file's sha256."""
    return _write(Stored, path, rows)


def read_predictions(path: Path) -> list[Prediction]:
    """Read predictions.parquet.

    Raises:
        UserError: The file is absent, broken or lacks a column.
    """
    return [Prediction(*row) for row in zip(*_read(Prediction, path).values(), strict=True)]


def read_exemplars(path: Path) -> list[Stored]:
    """Read exemplars.parquet.

    Raises:
        UserError: The file is absent, broken or lacks a column.
    """
    return [Stored(*row) for row in zip(*_read(Stored, path).values(), strict=True)]


def read_judged(path: Path, classifier: str) -> Judged:
    """Read what one classifier predicted; much faster than row by row.

    Raises:
        UserError: The file is absent, broken, lacks a column or knows no such classifier.
    """
    columns = _read(Prediction, path)
    of = np.array(columns["classifier"], dtype=object) == classifier
    if not of.any():
        raise UserError(f"{path} has no predictions of the classifier {classifier!r}")
    phases, labels, found = (
        np.asarray(columns[name], dtype=np.int64)[of] for name in ("phase", "label", "prediction")
    )
    names, images = np.unique(np.array(columns["file_name"], dtype=str)[of], return_inverse=True)
    return Judged(phases, images, labels, labels == found, names.tolist())


def _write(kind: type, path: Path, rows: Iterable[tuple[Any, ...]]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _COLUMNS[kind]
    schema = pa.schema([pa.field(n, pa.type_for_alias(t), False) for n, t in columns.items()])
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(v, field.type) for v, field in zip(values, schema, strict=True)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
    write_atomic(path, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def _read(kind: type, path: Path) -> dict[str, list[Any]]:
    """The columns of a file, all of them, in the order of the record's fields."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a regular file: copy the run's folder again")
    try:
        # One thread: starting pools for so little costs more, and can abort at exit.
        file = pq.ParquetFile(io.BytesIO(path.read_bytes()))
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
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist: a run writes it beside result.json; copy the whole folder"
        ) from error
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as the Parquet file of a run ({error}): "
            "copy it again, or repeat the run with --overwrite"
        ) from error
