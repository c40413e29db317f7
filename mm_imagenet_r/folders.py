"""Looking through folders that anyone may have made: in one order, each of them once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: As those of Path, but where a name is too long or nobody may look there is nothing: no OSError.
exists, is_folder, is_link = os.path.exists, os.path.isdir, os.path.islink


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds, by sorted names."""

    path: Path
    parts: tuple[str, ...]  # of its path, from where the walk began
    folders: list[str]  # links to folders count
    files: list[str]  # all else: links to nothing too, so that reading them says what is wrong
    lost: list[str]  # those of them that are links to nothing
    again: bool = False  # a link to a folder that came before; it is not looked into


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with the home for its `~`; one that only begins like a home stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (that of Path raises RuntimeError)


def resolved(path: Path) -> Path:
    """Where a path leads; one that leads in a circle stays as it is."""
    return Path(os.path.realpath(path))  # not that of Path, which raises RuntimeError


def look(path: Path, parts: tuple[str, ...] = ()) -> Folder:
    """List one folder, or raise OSError."""
    folders, files, lost = [], [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if _is_folder(entry):
                folders.append(entry.name)
                continue
            files.append(entry.name)
            if entry.is_symlink() and not os.path.exists(entry):  # noqa: PTH110 (a million of them)
                lost.append(entry.name)
    return Folder(path, parts, sorted(folders), sorted(files), sorted(lost))


def walk(root: Path, levels: int | None = None) -> Iterator[Folder]:
    """List a folder and the visible ones below it, each before those that it holds; or OSError.

    Links are followed, but no folder is listed twice: links may lead in circles, or to the same
    place along more ways than can be counted. `levels` is how far down to look.
    """
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        path = root.joinpath(*parts)
        facts = path.stat()
        if (facts.st_dev, facts.st_ino) in seen:
            yield Folder(path, parts, [], [], [], again=True)
            continue
        seen.add((facts.st_dev, facts.st_ino))
        found = look(path, parts)
        yield found
        if levels is None or len(parts) < levels:
            inner = [name for name in found.folders if is_visible(name)]
            waiting += [(*parts, name) for name in reversed(inner)]


def is_visible(name: str) -> bool:
    """Whether a name is neither hidden nor the mark of an archive that was made on a Mac."""
    return not name.startswith((".", "__MACOSX"))


def files_below(root: Path, suffix: str) -> list[Path]:
    """All files below a folder whose names end like this, sorted; links to folders do not count."""
    found: list[Path] = []
    waiting = [root]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.name.endswith(suffix):
                    found.append(Path(entry.path))
    return sorted(path for path in found if path.is_file())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or to where nobody may look
        return False
