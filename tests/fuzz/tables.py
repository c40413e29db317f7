"""What may happen to a table: lines and fields of text, columns of Parquet."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .door import Case, Damage, UnsuitedError

_FIELDS = (
    "", " ", "nan", "NULL", "\0", '"', '""', '"unclosed', "a\nb", "\r", "a,b;c\td", "=1+1", "é",
    "👁",
    "\x1b[2J", "x" * 200_000, "../x.png", "/etc/passwd", "C:\\x.png", "./cat/0.png", "cat//0.png",
    "cat\\0.png", "CAT/0.PNG", "0.png", "absent.png", "{}", "[1]", "-1", "1e9",
)  # fmt: skip


def in_text(ending: str) -> dict[str, Damage]:
    """What may happen to a table of lines and fields."""
    mark = "\t" if ending == ".tsv" else ","

    def fields(case: Case) -> None:
        def change(lines: list[str], rng: random.Random) -> None:
            row = rng.choice((0, rng.randrange(len(lines))))
            cells = lines[row].split(mark)
            at = rng.randrange(len(cells))
            what = rng.randrange(6)
            if what < 3:
                cells[at] = rng.choice(_FIELDS)
            elif what == 3:
                del cells[at]
            elif what == 4:
                cells.insert(at, rng.choice((*_FIELDS, cells[at])))
            else:
                cells.reverse()
            lines[row] = mark.join(cells)

        _edit(case, change)

    def lines(case: Case) -> None:
        def change(lines: list[str], rng: random.Random) -> None:
            at = rng.randrange(len(lines))
            new: tuple[list[str], ...]
            new = ([], [lines[at]] * 2, [""], [rng.choice(_FIELDS)], [lines[0]], [lines[at] + mark])
            lines[at : at + 1] = rng.choice(new)

        _edit(case, change)

    def encoding(case: Case) -> None:
        path = case.some_file(ending)
        text = path.read_bytes().decode(errors="replace")
        codes = ("utf-8-sig", "utf-16", "utf-32", "latin-1")
        path.write_bytes(text.replace(" on ", " é ").encode(case.rng.choice(codes), "replace"))

    def separators(case: Case) -> None:
        path = case.some_file(ending)
        old, new = case.rng.choice(
            ((mark, ";"), (mark, "\t"), ("\n", "\r"), ("\n", "\r\n"), ("\n", "\0"))
        )
        path.write_text(path.read_bytes().decode(errors="replace").replace(old, new), newline="")

    def _edit(case: Case, change: Callable[[list[str], random.Random], None]) -> None:
        path = case.some_file(ending)
        found = path.read_bytes().decode(errors="replace").split("\n")
        change(found, case.rng)
        path.write_text("\n".join(found), newline="")

    made = {"fields": fields, "lines": lines, "encoding": encoding, "separators": separators}
    return {f"{name} of {ending}": damage for name, damage in made.items()}


def _other_type(column: Any, rng: random.Random) -> Any:
    """The values as another type, or values of another type in their place."""
    count = len(column)
    kinds = (
        pa.int8(), pa.int16(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.string(),
        pa.large_string(), pa.binary(), pa.bool_(), pa.decimal128(38, 3), pa.timestamp("ns"),
    )  # fmt: skip
    kind = rng.choice(kinds)
    try:
        return column.cast(kind, safe=False)
    except pa.ArrowException:
        return pa.array([None] * count, kind)


def _other_values(column: Any, rng: random.Random) -> Any:
    """Lists, structs, dictionaries, nulls: shapes that a column may have."""
    values, count = column.to_pylist(), len(column)
    huge = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), ["x" * 100_000])
    shapes: tuple[Callable[[], Any], ...] = (
        lambda: pa.array([[value] for value in values]),
        lambda: pa.array([[] for _ in values], pa.list_(pa.int8())),
        lambda: pa.array([{"a": value} for value in values]),
        lambda: pa.array([{"bytes": b"x", "path": "/dev/zero"} for _ in values]),
        lambda: pa.array([{"bytes": None, "path": "/etc/passwd"} for _ in values]),
        lambda: column.combine_chunks().dictionary_encode(),
        lambda: pa.nulls(count),
        lambda: pa.array([rng.choice((value, None)) for value in values], column.type),
        lambda: pa.array([float("nan")] * count),
        lambda: pa.array([10**18] * count),
        lambda: pa.array([-1] * count),
        lambda: pa.array(["\x1b[31m\0"] * count),
        lambda: huge,
    )
    return rng.choice(shapes)()


def _one_value(column: Any, rng: random.Random) -> Any:
    """One value of a column that is another one of its type."""
    values = column.to_pylist()
    if not values:
        raise UnsuitedError
    at = rng.randrange(len(values))
    value = values[at]
    if isinstance(value, str):
        values[at] = rng.choice((*_FIELDS, values[at - 1]))
    elif isinstance(value, bytes):
        values[at] = rng.choice((b"", value[:40], rng.randbytes(40), bytes(100_000)))
    elif isinstance(value, int | float):
        values[at] = rng.choice((0, -1, value + 1, 127, values[at - 1]))
    else:
        values[at] = None
    return pa.array(values, column.type)


def _invalid_text(column: Any, rng: random.Random) -> Any:
    """Text whose bytes are no UTF-8."""
    bad = pa.array([b"\xff\xfe"] * len(column), pa.binary())
    return pa.Array.from_buffers(pa.string(), len(bad), bad.buffers())


_COLUMNS = (_other_type, _other_values, _one_value, _invalid_text)


def in_parquet(ending: str = ".parquet") -> dict[str, Damage]:
    """What may happen to a Parquet file, which stays one."""

    def column(case: Case) -> None:
        path, table = _read(case, ending)
        at = case.rng.randrange(table.num_columns)
        new = case.rng.choice(_COLUMNS)(table.column(at), case.rng)
        pq.write_table(table.set_column(at, table.column_names[at], new), path)

    def columns(case: Case) -> None:
        path, table = _read(case, ending)
        at, rng = case.rng.randrange(table.num_columns), case.rng
        name, names = table.column_names[at], list(table.column_names)
        names[at] = rng.choice(("", name.upper(), f"{name} ", "image", "label", "\x1b[31m", "a.b"))
        changed = (
            lambda: table.remove_column(at),
            lambda: table.append_column(name, table.column(at)),
            lambda: table.append_column(rng.choice(names), pa.nulls(table.num_rows)),
            lambda: table.rename_columns(names),
            lambda: table.select(names[:0]) if names[at] == name else table.select([name]),
        )
        pq.write_table(rng.choice(changed)(), path)

    def rows(case: Case) -> None:
        path, table = _read(case, ending)
        count = table.num_rows
        order = case.rng.choice(
            ([], [0] * count, [*range(count), 0], [*range(count - 1)], [*range(count)][::-1])
        )
        pq.write_table(table.take(pa.array(order if count else [], pa.int64())), path)

    def metadata(case: Case) -> None:
        path, table = _read(case, ending)
        found = dict(table.schema.metadata or {})
        keys = [*found, b"huggingface", b"pandas", b"mm_imagenet_r", b"unit_size"]
        values = (b"", b"{", b"null", b"[1]", b'{"info": 1}', b"\xff", b"[" * 100_000, b'"\\ud800"',
                  b'{"info": {"features": {"image": {"_type": "Image"}}}}', b"-1",
                  b"1" * 5_000)  # fmt: skip
        found[case.rng.choice(keys)] = case.rng.choice(values)
        pq.write_table(table.replace_schema_metadata(found), path)

    made = {"column": column, "columns": columns, "rows": rows, "metadata": metadata}
    return {f"{name} of {ending}": _suited(damage) for name, damage in made.items()}


def _suited(damage: Damage) -> Damage:
    """What Arrow cannot do with a table does not suit it."""

    def wrapped(case: Case) -> None:
        try:
            damage(case)
        except pa.ArrowException as error:
            raise UnsuitedError from error

    return wrapped


def _read(case: Case, ending: str) -> tuple[Path, Any]:
    path = case.some_file(ending)
    try:
        table = pq.ParquetFile(path).read(use_threads=False)
    except (OSError, ValueError) as error:  # it has been damaged before
        raise UnsuitedError from error
    if not table.num_columns:
        raise UnsuitedError
    return path, table
