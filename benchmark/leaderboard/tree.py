"""Where results lie in a tree that somebody else made. Nothing is opened, and no link followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmark.leaderboard.levels import RECORD, Level, Verdict
from benchmark.run_files import PACKED, RESULT, limit
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.folders import exists, is_link

_MOST: Final = 500_000  # files and folders below a path
_DEEPEST: Final = 24  # folders below a path
_MOST_OF_ONE: Final = 20_000  # files and folders of one result: one for each class, and few more


class Found(NamedTuple):
    """Folders of results, and what cannot be one."""

    folders: list[Path]
    refused: list[Verdict]


def results_below(paths: Iterable[Path]) -> Found:
    """Find the results at or below some paths, each once.

    Raises:
        UserError: A path does not exist or is a link, or there is no result.
    """
    found = Found([], [])
    for path in paths:
        if is_link(path):
            raise UserError(f"{path} is a link: give the folder itself")
        if not exists(path):
            raise UserError(f"{path} does not exist: give a folder of results")
        if not path.is_dir() and path.name not in (RESULT, PACKED):
            raise UserError(f"{path} is not a folder: give a folder of results")
        top = path if path.is_dir() else path.parent
        before = len(found.folders) + len(found.refused)
        for place, words in _walk(top):
            if words:
                found.refused.append(Verdict(place, Level.REFUSED, (words,)))
            else:
                found.folders.append(place)
        if len(found.folders) + len(found.refused) == before:
            raise UserError(
                f"{path} has no {RESULT}: give a folder of results, such as that of "
                "`python -m benchmark.sweep --results`"
            )
    return Found(sorted(set(found.folders)), sorted(set(found.refused), key=lambda v: v.folder))


def _walk(top: Path) -> Iterator[tuple[Path, str]]:
    """Folders of results, in no order; with words what cannot be one."""
    todo, count = [(top, 0, False)], 0
    while todo:
        folder, depth, inside = todo.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            yield folder, f"cannot be read ({error.strerror})"
            continue
        count += len(entries)
        if count > _MOST:
            yield folder, f"more than {_MOST:,} files: the rest of {top} was not checked"
            return
        if depth > _DEEPEST:  # this branch alone: others may be what somebody wants hidden by it
            yield folder, f"is more than {_DEEPEST} folders deep"
            continue
        if folder != top and any(entry.name == RECORD for entry in entries):
            yield folder / RECORD, "levels are recorded only at the root of all results: remove it"
        is_result = any(entry.name in (RESULT, PACKED) for entry in entries)
        if is_result:
            yield folder, "is inside another result: move it out" if inside else ""
        for entry in entries:
            if entry.is_symlink():
                if not (is_result or inside):  # else the result itself is refused for it
                    yield Path(entry.path), "is a link: put the files themselves there"
            elif entry.is_dir(follow_symlinks=False) and entry.name != ".git":
                todo.append((Path(entry.path), depth + 1, inside or is_result))


def folder_faults(folder: Path) -> list[str]:
    """What of a result's folder must not be read: links, files that are none, sizes, depth."""
    names = set(os.listdir(folder))  # noqa: PTH208 (names alone, not thousands of paths)
    if {RESULT, PACKED} <= names:
        return [f"{RESULT} and {PACKED} are both there: keep one of them"]
    found: list[str] = []
    count = 0
    for place, folders, files in os.walk(folder):
        below = Path(place).relative_to(folder)
        count += len(folders) + len(files)
        if count > _MOST_OF_ONE or len(below.parts) > _DEEPEST:
            return [f"more than {_MOST_OF_ONE:,} files, or {_DEEPEST} folders deep"]
        for name in (*folders, *files):
            found += _faults(Path(place, name), below / name)
    return found


def _faults(path: Path, below: Path) -> Iterator[str]:
    try:
        status = path.lstat()
    except OSError as error:
        yield f"{below} cannot be read ({error.strerror})"
        return
    if stat.S_ISLNK(status.st_mode):
        yield f"{below} is a link, perhaps to outside the folder: put the file itself there"
    elif stat.S_ISREG(status.st_mode):
        most = limit(below)
        if status.st_size > most:
            yield f"{below} has {status.st_size:,} bytes, more than {most:,}, which no run writes"
    elif not stat.S_ISDIR(status.st_mode):
        yield f"{below} is not a regular file"
