"""Writing files so that a kill at any moment leaves the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from mm_imagenet_r.errors import UserError

#: Errors that another folder, or other permissions, may avoid; ENOENT as in /proc.
_REFUSED: Final = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT,
)  # fmt: skip
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`, see `open_atomic`."""
    with open_atomic(path) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name when it is complete, for content of any size.

    Until then it is a temporary file in the same folder. UserError if the folder cannot be written,
    the disk is full, or what is there is a device or the like; it is then untouched.
    """
    with _temporary(path) as temporary:
        if path.exists() and not path.is_file() and not path.is_symlink():
            raise UserError(f"{path} is not a regular file: remove it, or choose another path")
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def create_atomic(path: Path, data: bytes) -> None:
    """Write a file atomically unless there is one: the first writer wins. UserError if it fails."""
    if path.exists():
        return
    with _temporary(path) as temporary:
        write_atomic(temporary, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links: there the last of the writers wins
            temporary.replace(path)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Explain errors of the operating system while `path` is written: UserError for OSError."""
    try:
        yield
    except OSError as error:
        raise UserError(explain(error, path)) from error


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Give a temporary name in the same folder, which is made."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
    finally:
        with contextlib.suppress(OSError):  # it is renamed, or could not be made
            temporary.unlink()


def check_writable(folder: Path, option: str = "--output") -> None:
    """Raise UserError if no file can be written into a folder that may not exist; nothing is made.

    `option` is how the user named it.
    """
    folder = folder.absolute()
    try:
        place = next(path for path in (folder, *folder.parents) if path.exists())
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(f"{explain(error, folder / 'file')} ({option})") from error


def remove_temporaries(folder: Path, name: str = "*") -> None:
    """Remove temporary files of killed writes to `name` in a folder; nobody may be writing."""
    for path in folder.glob(f".{name}.*.tmp"):
        if is_temporary(path.name) and (path.is_file() or path.is_symlink()):
            path.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a file is called as temporary files are here; others end in .tmp as well.

    >>> is_temporary(".result.json.0123abcd.tmp"), is_temporary(".my.notes.tmp")
    (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None


def replace_section(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks `<!-- name -->` and `<!-- end -->` of a page, or UserError."""
    mark = f"<!-- {name} -->\n"
    try:
        before, found, rest = path.read_text(encoding="utf-8").partition(mark)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path") from error
    if not found:
        raise UserError(f"{path} has no line {mark.strip()}: add it where the text belongs")
    _, end, after = rest.partition("<!-- end -->")
    write_atomic(path, (before + found + text + end + after).encode())


def explain(error: OSError, path: Path) -> str:
    """Say in one sentence what the operating system refused, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full: {path} could not be written. Nothing finished is lost: free some "
            "space and give the same command again, it resumes after the last finished step"
        )
    if error.errno in _REFUSED:
        return (
            f"{path.parent} cannot be written ({error.strerror}): choose another folder "
            "or change its permissions"
        )
    return f"{path} could not be written ({error.strerror or error})"
