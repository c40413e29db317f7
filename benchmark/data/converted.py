"""Copies that `datasets` makes of tables: each of one content, and read only as it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import datasets

from mm_imagenet_r import caches
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import file_sha256, json_sha256

#: In the folder of a copy: removing that makes it anew, and sealed again.
_SEAL: Final = "mm_imagenet_r_copy.json"
_INFO: Final = datasets.config.DATASET_INFO_FILENAME


def place(files: Iterable[Path]) -> Path:
    """Where copies of these files lie; `datasets` alone takes one of equal name and time for it.

    Raises:
        OSError: A file cannot be read.
    """
    content = json_sha256([file_sha256(path) for path in files])
    return Path(datasets.config.HF_DATASETS_CACHE) / "mm_imagenet_r_tables" / content


def whole(load: Callable[[], Any], place: Path | None = None) -> Any:
    """Load a table, from copies below `place` that are checked first, or anywhere if it is None.

    Raises:
        UserError: A copy is not as it was made. What `load` raises goes through.
    """
    checked = {seal.parent for seal in place.rglob(_SEAL)} if place else set()
    for folder in checked:
        _require_whole(folder)
    table = load()
    parts = table.values() if isinstance(table, Mapping) else [table]
    used = {Path(file["filename"]).parent for part in parts for file in part.cache_files}
    for folder in used - checked:
        _require_whole(folder)
    return table


def is_old(folder: Path) -> bool:
    """Whether a folder has a copy of an earlier version, which made no seals."""
    return (folder / _INFO).exists() and not (folder / _SEAL).exists()


def _require_whole(folder: Path) -> None:
    """Compare a copy to its seal; one without, which is new or made by an earlier version, gets it.

    UserError if it is damaged; one whose folder cannot be written is used without a seal.
    """
    sealed = folder / _SEAL
    names = [path.name for path in folder.iterdir() if path.is_file()]
    try:
        # What else there is was not made with the copy, such as the results of `map`.
        made = [n for n in names if n == _INFO or (n.endswith(".arrow") and n[:6] != "cache-")]
        state = {name: file_sha256(folder / name) for name in made}
    except OSError as error:
        raise damaged(folder) from error
    if not sealed.exists():
        caches.remember(sealed, state)
    elif caches.recall(sealed) != state:
        raise damaged(folder)


def damaged(folder: Path) -> UserError:
    """What to say of a copy that is not as it was made."""
    return UserError(f"{folder} has a damaged copy of the data: remove it, it is then made again")
