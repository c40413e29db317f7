"""Files of captions beside a folder of images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..door import Case, Damage, Door, UnsuitedError
from ..generic import GENERIC
from ..pictures import caption, captions_csv, names, write_folder
from ..tables import in_parquet, in_text
from ..values import change
from .common import look, write_method


def _csv(path: Path) -> None:
    path.write_text(captions_csv(names()))


def _tsv(path: Path) -> None:
    lines = [f"{name}\t{caption(name)}" for name in names()]
    path.write_text("\n".join(["file_name\tcaption", *lines, ""]))


def _jsonl(path: Path) -> None:
    rows = ({"file_name": name, "caption": caption(name), "finish": "stop"} for name in names())
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def _parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"file_name": n, "caption": caption(n), "finish": "stop", "n": 3} for n in names()]
    pq.write_table(pa.Table.from_pylist(rows), path)


def _one_line(case: Case) -> None:
    """A line that is other JSON."""
    path = case.some_file(".jsonl")
    lines = path.read_bytes().decode(errors="replace").splitlines()
    try:
        at = case.rng.randrange(len(lines))
        lines[at] = json.dumps(change(json.loads(lines[at]), case.rng))
    except ValueError as error:
        raise UnsuitedError from error
    path.write_text("\n".join(lines))


def _door(ending: str, write: Callable[[Path], None], own: dict[str, Damage]) -> Door:
    def build(folder: Path) -> None:
        write_method(folder)
        write_folder(folder / "data")
        write(folder / f"captions{ending}")

    def try_it(case: Case) -> int:
        return look(case, "--captions", f"captions{ending}")

    return Door(f"captions{ending}", build, own, try_it, f"captions{ending}", GENERIC)


CSV = _door(".csv", _csv, in_text(".csv"))
TSV = _door(".tsv", _tsv, in_text(".tsv"))
JSONL = _door(".jsonl", _jsonl, {"line": _one_line})
PARQUET = _door(".parquet", _parquet, in_parquet())
