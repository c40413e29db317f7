"""Captions that lie in a file of their own, and the images they belong to."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from benchmark.data.messages import listing
from mm_imagenet_r.errors import UserError

#: Formats that are read.
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")

_KEYS = ("file_name", "filename", "file", "image", "image_path", "path")
_TEXTS = ("caption", "text", "description", "title")


def read_captions(path: Path) -> dict[str, str]:
    """Read a captions file: one row per image, with its name and its caption.

    Args:
        path: A csv or tsv file with a header, jsonl or Parquet. Columns: file_name (a path
            relative to the image folder, or a bare name), and caption or text.

    Returns:
        Caption by file name, with forward slashes; a missing caption is empty.

    Raises:
        UserError: The file is absent or malformed, lacks a column, or has a name twice.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"captions file {path}: give one that ends in {', '.join(SUFFIXES)}")
    try:
        columns, rows = _READERS[path.suffix.lower()](path)
    except OSError as error:
        raise UserError(
            f"captions file {path} cannot be read ({error.strerror or error}): check the path"
        ) from error
    except (ValueError, csv.Error) as error:
        raise UserError(
            f"captions file {path} is not valid {path.suffix[1:]} in UTF-8 ({error}): mend it, "
            "or write it anew with the columns file_name and caption"
        ) from error
    key, text = _column(_KEYS, columns, path), _column(_TEXTS, columns, path)
    pairs = [(_normal(str(row[key])), str(row.get(text) or "")) for row in rows if row.get(key)]
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise UserError(
            f"captions file {path} has more than one row for {listing(repeated)}: "
            "keep one caption for each image"
        )
    return dict(pairs)


def match_captions(
    captions: Mapping[str, str], keys: Sequence[str], parts: Iterable[str] = ()
) -> tuple[list[str | None], int]:
    """Find the caption of each image.

    A caption is given by the whole key, by the key without the folder of its part, or by the
    bare name where only one image has that name.

    Args:
        captions: Caption by name.
        keys: (n,) keys of the images, such as "train/cat/1.jpg".
        parts: Names of first folders that may be left out, such as "train".

    Returns:
        (n,) captions, None where there is none; and how many captions belong to no image.

    >>> match_captions({"cat/1.jpg": "a cat", "2.jpg": "another", "3.jpg": "?"},
    ...                ["train/cat/1.jpg", "train/cat/2.jpg", "train/dog/1.jpg"], ["train"])
    (['a cat', 'another', None], 1)
    """
    parts = set(parts)
    bare = Counter(PurePosixPath(key).name for key in keys)
    short = Counter(_without_part(key, parts) for key in keys)
    found: list[str | None] = []
    used: set[str] = set()
    for key in keys:
        candidates = [key]
        if short[_without_part(key, parts)] == 1:
            candidates.append(_without_part(key, parts))
        if bare[PurePosixPath(key).name] == 1:
            candidates.append(PurePosixPath(key).name)
        name = next((name for name in candidates if name in captions), None)
        found.append(None if name is None else captions[name])
        if name is not None:
            used.add(name)
    return found, len(captions) - len(used)


def _without_part(key: str, parts: set[str]) -> str:
    first, slash, rest = key.partition("/")
    return rest if slash and first in parts else key


def _normal(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _column(names: Sequence[str], columns: Sequence[str], path: Path) -> str:
    for name in names:
        if name in columns:
            return name
    raise UserError(
        f"captions file {path} has no column {names[0]!r} (nor {', '.join(names[1:])}); it has "
        f"{', '.join(map(repr, columns)) or 'none'}. Rename a column in its header"
    )


Rows = tuple[list[str], list[dict[str, Any]]]


def _read_csv(path: Path, delimiter: str = ",") -> Rows:
    limit = csv.field_size_limit(sys.maxsize)  # the default refuses captions over 128 KiB
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            rows = list(reader)
            return list(reader.fieldnames or []), rows
    finally:
        csv.field_size_limit(limit)


def _read_tsv(path: Path) -> Rows:
    return _read_csv(path, "\t")


def _read_jsonl(path: Path) -> Rows:
    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is no text
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no object {{...}}")
            rows.append(row)
    return list(dict.fromkeys(name for row in rows for name in row)), rows


def _read_parquet(path: Path) -> Rows:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    columns = [name for name in file.schema_arrow.names if name in _KEYS + _TEXTS]
    return file.schema_arrow.names, file.read(columns).to_pylist()


_READERS = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
