"""Small Parquet files that hold more than there is memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mm_imagenet_r import parquet_files
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.parquet_files import read_rows, read_schema, require_bounded


def test_rows_are_those_that_were_written(tmp_path: Path) -> None:
    rows = [{"a": f"text {n % 7}" if n % 3 else None, "b": n} for n in range(1000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=300)
    assert read_rows(tmp_path / "t.parquet", ["a", "b"]) == rows
    assert read_rows(tmp_path / "t.parquet", []) == [{}] * 1000
    assert read_schema(tmp_path / "t.parquet").names == ["a", "b"]


def test_a_text_that_stands_once_counts_for_each_row(tmp_path: Path) -> None:
    path, rows = tmp_path / "captions.parquet", 20_000
    captions = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["x" * 2**20])
    names = [f"{n}.jpg" for n in range(rows)]
    table = pa.table({"file_name": names, "caption": captions})
    for store_schema in (True, False):
        pq.write_table(table, path, store_schema=store_schema)
        assert path.stat().st_size < 2**21  # for 20 GB of text
        with pytest.raises(UserError, match="its texts unpack to more than 1,073,741,824 bytes"):
            read_captions(path)


def test_what_a_file_says_of_itself_is_looked_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["x" * 4_000_000, "y"]}), path, compression="zstd")
    assert len(read_rows(path, ["a"])) == 2
    monkeypatch.setattr(parquet_files, "TABLE", 2**20)
    with pytest.raises(OSError, match=r"bytes would unpack to 4,0.*, 2 rows"):
        read_rows(path, ["a"])
    monkeypatch.undo()
    monkeypatch.setattr(parquet_files, "ROWS", 1)
    with pytest.raises(OSError, match="2 rows"):
        read_schema(path)


def test_what_equal_values_unpack_to_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "TABLE", 2**23)
    path, rows = tmp_path / "t.parquet", 3000
    every = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["x" * 2**14])
    offsets = pa.array(np.arange(rows + 1), pa.int32())
    for column in (
        every,
        pa.StructArray.from_arrays([every], ["bytes"]),
        pa.ListArray.from_arrays(offsets, every),
    ):
        pq.write_table(pa.table({"a": column, "n": range(rows)}), path, store_schema=False)
        assert path.stat().st_size < 2**16
        read_schema(path)  # of itself it says little
        with pytest.raises(OSError, match="it would unpack to more than 8,388,608 bytes"):
            require_bounded(path)
    pq.write_table(pa.table({"a": every[:100], "n": [None] * 100}), path)
    require_bounded(path)
    pq.write_table(pa.table({"n": np.zeros(2**21)}), path)
    with pytest.raises(OSError, match="would unpack to 16,777,216, 2,097,152 rows"):
        read_schema(path)


def test_what_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more PAR1")
    with pytest.raises(ValueError, match="Parquet"):
        read_schema(tmp_path / "t.parquet")
