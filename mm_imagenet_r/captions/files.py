"""Reading captions back, from a finished caption set or from any other file."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from mm_imagenet_r.errors import UserError, few, pluralize, summarize
from mm_imagenet_r.parquet_files import ROWS, read_schema
from mm_imagenet_r.reading import TABLE, parse_json, read_text

#: Formats that are read.
SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".parquet")

#: Key of the Parquet metadata that holds the provenance of a caption set, as JSON.
METADATA_KEY: Final = b"mm_imagenet_r"

#: Letters of the longest caption. No backbone reads a thousandth of it.
LETTERS: Final = 2**20

#: Bytes of the longest line of jsonl.
_LINE: Final = 2**24

#: The file of a finished caption set, in the folder named by its fingerprint.
CAPTIONS: Final = "captions.parquet"

_KEYS = ("file_name", "filename", "file", "image", "image_path", "path")
_TEXTS = ("caption", "text", "description", "title")


@dataclass(frozen=True, slots=True)
class Captions:
    """The captions of a set of images."""

    by_name: dict[str, str]  # by file name, with forward slashes; a missing caption is empty
    identity: str  # their name in results, see `identity_of`
    info: dict[str, Any]  # `model`, `revision`, `prompt`, `decoding`, ...; empty if unknown
    failed: dict[str, str]  # why the captioner failed, by file name
    cut: frozenset[str] = frozenset()  # images whose captions ended at the token limit
    hashes: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of each captioned image file


def identity_of(captions: Mapping[str, str], fingerprint: str | None = None) -> str:
    """Name captions by the fingerprint of their set, if known, and by a hash of their texts.

    Servers and retried errors make other captions under the same fingerprint. Empty captions count
    as missing.

    >>> identity_of({"a.jpg": "a cat"}), identity_of({"a.jpg": "a cat", "b.jpg": ""}, "0123abcd")
    ('78a3a9d262d37b34', '0123abcd-78a3a9d2')
    """
    said = sorted(item for item in captions.items() if item[1])
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{fingerprint}-{digest[:8]}" if fingerprint else digest[:16]


def read_captions(path: Path, as_written: Collection[str] = ()) -> Captions:
    """Read captions: one row per image, with its name and its caption.

    `path` is a folder of a finished caption set; or a csv or tsv file with a header (fields
    separated by commas, semicolons or tabs), jsonl or Parquet. Columns: file_name (a path relative
    to the image folder, or a bare name), and caption or text; of images with `error`, the reason
    is read instead. A backslash in a name is a slash, as on Windows, but in those names that are
    to be taken `as_written`.

    Raises:
        UserError: The file is absent or malformed, lacks a column, has a row without a name, a
            repeated name, or a value that is not text.
    """
    try:
        path = _file(path)
        columns, rows, info = _READERS[path.suffix.lower()](path)
        if len(rows) > ROWS:
            raise ValueError(f"{len(rows):,} rows")
    except OSError as error:
        raise UserError(
            f"captions file {path} cannot be read ({error.strerror or error}): check the path"
        ) from error
    except (ValueError, csv.Error) as error:
        raise UserError(
            f"captions file {path} is not valid {path.suffix[1:]} in UTF-8 ({error}): fix it "
            "(Excel: save as CSV UTF-8), or write it again with the columns file_name and caption"
        ) from error
    key, text = _column(_KEYS, columns, path), _column(_TEXTS, columns, path)
    for number, row in enumerate(rows, 1):
        for column in (key, text):  # a list as text would be a caption that nobody wrote
            value = row.get(column)
            if not isinstance(value, str | None) or (column == key and not value):
                raise UserError(
                    f"captions file {path}: the {column} in row {number} is not a text: "
                    f"{few(repr(value))}. Write one text per image, or null if it has no caption"
                )
            if value and len(value) > LETTERS:
                raise UserError(
                    f"captions file {path}: the {column} in row {number} has {len(value):,} "
                    f"letters, more than {LETTERS:,}: shorten it"
                )
    written = [row[key].removeprefix("./") for row in rows]
    names = [
        name if name in as_written else name.replace("\\", "/").removeprefix("./")
        for name in written
    ]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(
            f"captions file {path} has more than one row for {summarize(repeated, 3)}: "
            "keep one caption per image"
        )
    by_name = dict(zip(names, rows, strict=True))
    failed = {name: str(row["error"]) for name, row in by_name.items() if row.get("error")}
    texts = {name: row.get(text) or "" for name, row in by_name.items() if name not in failed}
    cut = frozenset(name for name, row in by_name.items() if row.get("finish") == "length")
    identity = identity_of(texts, info.get("fingerprint"))
    # In other files a column of this name may be a hash of anything.
    known = {name: by_name[name].get("sha256") for name in texts if "fingerprint" in info}
    hashes = {name: sha256 for name, sha256 in known.items() if isinstance(sha256, str)}
    return Captions(texts, identity, info, failed, cut, hashes)


def other_images(captions: object, place: object, changed: Sequence[str]) -> UserError:
    """The refusal of captions whose images have changed since they were made."""
    return UserError(
        f"the captions in {captions} are of other images than those in {place} (changed: "
        f"{summarize(changed, 1)}): caption these images again"
    )


def finished_sets(folder: Path) -> list[Path]:
    """Return the finished caption sets in a folder; each is named by its fingerprint."""
    return sorted(path.parent for path in folder.glob(f"*/{CAPTIONS}"))


def covers(folder: Path, names: Iterable[str]) -> bool:
    """Tell whether a finished caption set can be read and has all of these images."""
    with contextlib.suppress(UserError):
        captions = read_captions(folder)
        return not set(names).difference(captions.by_name, captions.failed)
    return False


def described(folder: Path) -> str:
    """Describe a finished caption set in a few words."""
    try:
        captions = read_captions(folder)
    except UserError:
        return "damaged"
    facts = [str(captions.info.get("model", "unknown model"))]
    if prompt := captions.info.get("prompt"):
        facts.append(json.dumps(prompt, ensure_ascii=False))
    return f"{', '.join(facts)}, {len(captions.by_name):,} captions"


def _file(path: Path) -> Path:
    if path.is_dir():
        sets = [path] if (path / CAPTIONS).is_file() else finished_sets(path)
        if len(sets) == 1:
            return sets[0] / CAPTIONS
        raise UserError(
            f"{path} holds {len(sets)} caption sets: give the folder of one, "
            + "; ".join(f"{each} ({described(each)})" for each in sets)
            if sets
            else f"{path} holds no finished caption set ({CAPTIONS}): if one is being made there, "
            "give its command again until it reports that it is finished"
        )
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"captions file {path}: the name must end in {', '.join(SUFFIXES)}")
    return path


def _column(names: Sequence[str], columns: Sequence[str], path: Path) -> str:
    if found := next((name for name in names if name in columns), None):
        return found
    has = summarize([few(repr(column)) for column in columns], 10) or "none"
    raise UserError(
        f"captions file {path} has no column {names[0]!r} (nor {', '.join(names[1:])}); it has "
        f"{has}. Rename a column in its header"
    )


#: Names of the columns, the rows with the columns of `_USED`, the provenance.
_Table = tuple[Sequence[str], list[dict[str, Any]], dict[str, Any]]
_USED: Final = {*_KEYS, *_TEXTS, "error", "finish", "sha256"}


def _used(columns: Sequence[str]) -> list[int]:
    """Places of the columns that are read; ValueError if two have one name."""
    places = [place for place, name in enumerate(columns) if name in _USED]
    names = [columns[place] for place in places]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"two columns {repeated[0]!r}")
    return places


def _read_csv(path: Path) -> _Table:
    limit = csv.field_size_limit(LETTERS)  # the default refuses captions over 128 KiB
    try:
        with io.StringIO(read_text(path, TABLE), newline="") as file:
            separator = _separator(file, path.suffix.lower())
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, strict=True)
            columns = next(reader, [])
            used = _used(columns)
            rows = []
            for fields in filter(None, reader):
                if len(fields) != len(columns):
                    fault = f"{pluralize(len(fields), 'field')}, but the header {len(columns)}"
                    raise UserError(
                        f"captions file {path}: line {reader.line_num} has {fault}. Put a caption "
                        f'that contains {separator!r} in quotation marks ("), and omit no field'
                    )
                rows.append({columns[place]: fields[place] for place in used})
            return columns, rows, {}
    finally:
        csv.field_size_limit(limit)


def _separator(file: TextIO, suffix: str) -> str:
    """The field separator, which in many languages is a semicolon even in .csv."""
    usual = "\t" if suffix == ".tsv" else ","
    for separator in usual + ",;\t":
        file.seek(0)
        columns = next(csv.reader(file, delimiter=separator), [])
        if not {*_KEYS}.isdisjoint(columns) and not {*_TEXTS}.isdisjoint(columns):
            return separator
    return usual


def _read_jsonl(path: Path) -> _Table:
    rows = []
    columns: dict[str, None] = {}
    with io.StringIO(read_text(path, TABLE), newline=None) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                if len(line) > _LINE:
                    raise ValueError(f"more than {_LINE:,} letters")
                row = parse_json(line)
                json.dumps(row, ensure_ascii=False).encode()  # refuses half a surrogate pair
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number}: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object {{...}}")
            columns |= dict.fromkeys(row)
            rows.append({name: value for name, value in row.items() if name in _USED})
    return list(columns), rows, {}


def _read_parquet(path: Path) -> _Table:
    from mm_imagenet_r.captions import sealed

    schema = read_schema(path)
    names = [schema.names[place] for place in _used(schema.names)]
    table = sealed.read(path, "", names)
    info = parse_json((schema.metadata or {}).get(METADATA_KEY, b"{}"))
    if not isinstance(info, dict):
        raise ValueError(f"its metadata {METADATA_KEY.decode()} are not an object")
    return schema.names, table.select(names).to_pylist(), info


_READERS = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
