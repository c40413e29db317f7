"""A folder of files replaced as a whole: who reads it meets all of the old or all of the new.

    <work>/new    what is to be in place, put together file by file
    <work>/old    what was in place, while it is being removed

For a moment between two renames nothing is in place: a reader is refused then, and not misled. A
kill at any moment is put right by `repair` when the same is done again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from mm_imagenet_r.files import open_atomic, remove_temporaries

#: Finished shards wait here until all of a configuration are there; it goes when all is written.
STAGING: Final = ".export"


def repair(place: Path, work: Path) -> None:
    """Put right what a kill left of a swap, and remove half-written files.

    Raises:
        OSError: A folder cannot be written.
    """
    old = work / "old"
    if old.exists() and not place.exists():
        old.rename(place)
    remove(old)
    remove_temporaries(work / "new")


def carry(path: Path, work: Path) -> None:
    """Take a file that is in place into the new ones, without a copy where links can be made.

    Raises:
        OSError: The folder cannot be written.
        UserError: The same, of a copy.
    """
    target = work / "new" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        with path.open("rb") as file, open_atomic(target) as copy:
            shutil.copyfileobj(file, copy)


def swap(place: Path, work: Path, names: Collection[str]) -> None:
    """Put the new files in place of all that is there; nothing is moved if they are there already.

    Args:
        place: The folder that is read.
        work: Beside it, on the same file system.
        names: Of the new files, all of which are there; others are removed.

    Raises:
        OSError: A folder cannot be written.
    """
    new, old = work / "new", work / "old"
    for path in new.iterdir():
        if path.name not in names:
            path.unlink()
    if _is_in_place(place, new):
        remove(new)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    remove(old)


def remove(folder: Path) -> None:
    """Remove a folder, if there is one.

    Raises:
        OSError: It cannot be removed.
    """
    if folder.exists():
        shutil.rmtree(folder)


def _is_in_place(place: Path, new: Path) -> bool:
    names = sorted(path.name for path in new.iterdir())
    return (
        place.is_dir()
        and names == sorted(path.name for path in place.iterdir())
        and all((place / name).samefile(new / name) for name in names)
    )
