"""What can be made again, sealed in a cache folder: only what is as it was written is believed."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.reading import TABLE, parse_json, read_bytes


def cache_folder() -> Path:
    """Return where this package keeps what it can make again: `mm_imagenet_r` in `HF_HOME`."""
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "mm_imagenet_r"


def memory_of(path: Path, kind: str) -> Path:
    """Where to cache something about a file until its place, length or time changes, or OSError."""
    facts = path.stat()
    identity = [str(path.resolve()), facts.st_size, facts.st_mtime_ns, facts.st_ino]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return cache_folder() / kind / f"{key}.json"


def remember(memory: Path, value: Any) -> None:
    """Cache a value in JSON for `recall`, if the folder can be written."""
    record = {"value": value, "sha256": json_sha256([*memory.parts[-2:], value])}
    with contextlib.suppress(UserError):  # a cache that cannot be written is no loss
        write_atomic(memory, json.dumps(record).encode())


def recall(memory: Path) -> Any:
    """Return what `remember` has written there; None if it is not there, or changed since."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        record = parse_json(read_bytes(memory, TABLE))
        if record["sha256"] == json_sha256([*memory.parts[-2:], record["value"]]):
            return record["value"]
    return None
