"""Building, reading, writing and finding result files."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from benchmark.errors import Damaged, damaged
from benchmark.results import old_schemas, strict_json
from benchmark.results.derive import derive, faults
from benchmark.results.provenance import versions
from benchmark.results.schema import SCHEMA_VERSION, Result, ResultFile
from benchmark.results.shape import keys, mismatches
from benchmark.run_files import PACKED, RESULT, seal_of
from mm_imagenet_r.errors import UserError, summarize
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.folders import exists


def build(**parts: Any) -> ResultFile:
    """Put a result together from all keys of `ResultFile` but `schema_version` and `versions`.

    Raises:
        ValueError: The parts do not make a valid result (a fault of the caller).
    """
    parts |= {"schema_version": SCHEMA_VERSION, "versions": versions()}
    found = list(mismatches(parts, ResultFile, closed=True)) or list(faults(parts))
    if found:
        raise ValueError("; ".join(found))
    result = {key: _finite(parts[key]) for key in keys(ResultFile) if key in parts}
    result = json.loads(json.dumps(result))  # as it will be read: keys are texts, tuples lists
    return cast(ResultFile, result | {"seal": seal_of(result)})


def write(path: Path, result: ResultFile) -> None:
    """Write a result.json atomically; flat lists take one line, NaN becomes null."""
    text = json.dumps(_finite(result), indent=1, ensure_ascii=False, allow_nan=False)
    # Raw line breaks occur only between values, never inside a JSON string.
    text = re.sub(r"\[\n[^\[\]{}]*\n\s*\]", lambda flat: re.sub(r"\n\s*", " ", flat[0]), text)
    write_atomic(path, (text + "\n").encode())


def read(path: Path | str) -> Result:
    """Read and check a result.json (or the one in a run's folder) of any schema.

    Raises:
        UserError: It is absent, broken, incomplete in its keys or of a newer schema.
        Damaged: In particular, it is not as it was written.
    """
    path = result_file(Path(path))
    return load(strict_json.read(path), path)


def result_file(path: Path) -> Path:
    """A result file itself, or the one in a run's folder."""
    if not path.is_dir():
        return path
    there = (path / name for name in (RESULT, PACKED))
    return next((file for file in there if file.exists()), path / RESULT)


def is_there(path: Path) -> bool:
    """Whether a run's folder has a result file, in either form."""
    return result_file(path).is_file()


def pack(path: Path) -> bytes:
    """The bytes of a result.json.gz with the content of a result file; equal if contents are.

    Raises:
        UserError: It cannot be read.
    """
    text = json.dumps(strict_json.read(path), separators=(",", ":"), ensure_ascii=False)
    return gzip.compress(text.encode(), mtime=0)


def unpack(path: Path, to: Path) -> None:
    """Write the result.json that a result.json.gz was made from.

    Raises:
        UserError: It cannot be read or written.
    """
    write(to, strict_json.read(path))


def load(value: Any, path: Path) -> Result:
    """The loaded form of a parsed result file.

    Raises:
        UserError: It is not a valid one; the message names `path`.
    """
    version = value.get("schema_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {version}; this program knows up to {SCHEMA_VERSION}: "
            "install a newer version of it"
        )
    shape: Any = old_schemas.Result1 if version == 1 else ResultFile
    try:
        if version in (1, 2):
            value = old_schemas.modernize(value)
        elif isinstance(value, dict) and value.get("seal") not in (None, seal_of(value)):
            raise Damaged(damaged(path))
        found = list(mismatches(value, shape)) or list(faults(value))
        if not found:
            return derive(value)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        found = [f"it is not what version {version} wrote ({type(error).__name__}: {error})"]
    raise Damaged(
        f"{path} is not a valid result file: {summarize(found, 3)}. "
        "Was it edited? Copy it again, or repeat the run"
    )


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Return the folders of all runs at or below `paths`, sorted, each once.

    Raises:
        UserError: A path does not exist, or holds no result.
    """
    found: set[Path] = set()
    for path in paths:
        if not exists(path):
            raise UserError(f"{path} does not exist: name a run's folder or a folder of runs")
        files = [path] if path.is_file() else [*path.rglob(RESULT), *path.rglob(PACKED)]
        if not files:
            raise UserError(
                f"{path} holds no {RESULT}: first run something with "
                "`python -m benchmark.run`, or name another folder"
            )
        found.update(file.parent for file in files)
    return sorted(found)


def _finite(value: Any) -> Any:
    """The same JSON value with null for every NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
