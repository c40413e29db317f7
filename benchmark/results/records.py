"""Predictions and exemplars of a run as Parquet: one row each, so every number can be recomputed.

The same rows give the same bytes. A class is a position in the class order, as in result.json.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic

PREDICTIONS = "predictions.parquet"
EXEMPLARS = "exemplars.parquet"


class Prediction(NamedTuple):
    """What was predicted for one test sample after training `phase`."""

    phase: int
    file_name: str
    label: int
    prediction: int


class Stored(NamedTuple):
    """One exemplar that entered the memory after training `phase`.

    The memory of a class after phase t is a beginning, by `rank`, of its rows of the latest phase
    up to t: a memory that shrinks drops the highest ranks, and a method that chooses the exemplars
    of an old class anew writes all of them again under the new phase.
    """

    phase: int
    label: int
    rank: int
    file_name: str
    bytes: int
    cost: float
    codec: str


_COLUMNS: dict[type, dict[str, str]] = {
    Prediction: {"phase": "int16", "file_name": "string", "label": "int32", "prediction": "int32"},
    Stored: {
        "phase": "int16",
        "label": "int32",
        "rank": "int32",
        "file_name": "string",
        "bytes": "int64",
        "cost": "float64",
        "codec": "string",
    },
}
_Record = TypeVar("_Record", Prediction, Stored)


def write_predictions(path: Path, rows: Iterable[Prediction]) -> None:
    """Write predictions.parquet atomically: one row per test sample of seen classes and phase."""
    write_atomic(path, _encode(Prediction, rows))


def read_predictions(path: Path) -> list[Prediction]:
    """Read predictions.parquet.

    Raises:
        UserError: The file is absent, broken or lacks a column.
    """
    return _decode(Prediction, path)


def write_exemplars(path: Path, rows: Iterable[Stored]) -> None:
    """Write exemplars.parquet atomically: one row per exemplar that ever entered the memory."""
    write_atomic(path, _encode(Stored, rows))


def read_exemplars(path: Path) -> list[Stored]:
    """Read exemplars.parquet.

    Raises:
        UserError: The file is absent, broken or lacks a column.
    """
    return _decode(Stored, path)


def _encode(kind: type[_Record], rows: Iterable[_Record]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _COLUMNS[kind]
    schema = pa.schema([pa.field(n, pa.type_for_alias(t), False) for n, t in columns.items()])
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(v, field.type) for v, field in zip(values, schema, strict=True)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _decode(kind: type[_Record], path: Path) -> list[_Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: list[list[Any]]
    try:
        # One thread: starting pools for so little costs more, and can abort at exit.
        file = pq.ParquetFile(io.BytesIO(path.read_bytes()))
        table = file.read(columns=list(_COLUMNS[kind]), use_threads=False)
        columns = [table[name].to_pylist() for name in _COLUMNS[kind]]
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist: a run writes it beside result.json; copy the whole folder"
        ) from error
    except (OSError, pa.ArrowException, KeyError) as error:
        raise UserError(
            f"{path} cannot be read as the Parquet file of a run ({error}): "
            "copy it again, or repeat the run with --overwrite"
        ) from error
    return [kind(*row) for row in zip(*columns, strict=True)]
