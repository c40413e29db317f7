"""Hashes by which rows, configurations and results are told apart."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def json_sha256(value: Any) -> str:
    """Hash of a JSON value, whatever the order of its keys.

    >>> json_sha256({"a": 1, "b": 2}) == json_sha256({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hash of a file's content, of any size; OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_state(path: Path) -> tuple[int, int]:
    """Length and time of the last change of a file, which identify its content; or OSError."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns
