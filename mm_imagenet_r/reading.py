"""Reading files that anyone may have put there: regular ones only, and never without an end.

A pipe would wait for ever, a device may never end, and a file may be of any size. What is refused
is an OSError as any other that a file gives, with one sentence in `strerror`.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from mm_imagenet_r.errors import few

#: Bytes of one image file: the largest of ImageNet-R has 30 MB.
IMAGE: Final = 2**28
#: Bytes of a table of texts: 30,000 captions of 500 letters are 15 MB.
TABLE: Final = 2**30
#: Bytes of a file of settings.
SETTINGS: Final = 2**23
#: Levels of JSON: what follows them all may stop at less than the parser does.
_DEEPEST: Final = 64

_KINDS: Final = (
    (stat.S_ISDIR, errno.EISDIR, "it is a folder"),
    (stat.S_ISFIFO, errno.EINVAL, "it is a pipe, not a file"),
    (stat.S_ISSOCK, errno.EINVAL, "it is a socket, not a file"),
    (stat.S_ISCHR, errno.EINVAL, "it is a device, not a file"),
    (stat.S_ISBLK, errno.EINVAL, "it is a device, not a file"),
    (stat.S_ISLNK, errno.ELOOP, "it is a link"),
)


def open_regular(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a regular file to read its bytes; a link to one counts if `follow`.

    Raises:
        OSError: It is something else, absent or not permitted.
    """
    # First by name: opening alone may have an effect on a device.
    try:
        _refuse(path, path.stat(follow_symlinks=follow).st_mode)
    except FileNotFoundError:
        if path.is_symlink():
            words = "it is a link to a file that is not there (git annex get fetches git-annex's)"
            raise FileNotFoundError(errno.ENOENT, words, str(path)) from None
        raise
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        _refuse(path, os.fstat(descriptor).st_mode)  # it may have been replaced in between
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, most: int, *, follow: bool = True) -> bytes:
    """The content of a regular file of at most `most` bytes; a link to one counts if `follow`.

    Raises:
        OSError: It is something else, longer, absent or not permitted.
    """
    with open_regular(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1) if size <= most else b""
        if len(data) > size:  # it grows, or its file system knows no sizes
            data += file.read(most)
    if max(size, len(data)) > most:
        words = f"it has more than {most:,} bytes, which none of its kind has"
        raise OSError(errno.EFBIG, words, str(path))
    return data


def read_text(path: Path, most: int = SETTINGS) -> str:
    """The content of a regular file as text; a byte order mark is left out.

    Raises:
        OSError: It is something else, longer, absent or not permitted.
        UnicodeDecodeError: It is not UTF-8; a ValueError.
    """
    return read_bytes(path, most).decode("utf-8-sig")


def parse_json(text: str | bytes) -> Any:
    """What a text in JSON says.

    Raises:
        ValueError: It is not JSON, is nested too deeply, or says two things under one name.
    """
    try:
        return not_deep(json.loads(text, object_pairs_hook=each_once))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def not_deep(value: Any) -> Any:
    """A value of JSON as it is; ValueError if it is nested so deeply that code may stop at it.

    >>> not_deep([{"a": []}])
    [{'a': []}]
    """
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        inner = itertools.chain.from_iterable(
            one.values() if isinstance(one, dict) else one for one in level
        )
        level = [one for one in inner if isinstance(one, dict | list)]
        if not level:
            return value
    raise ValueError("it is nested too deeply")


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON from its pairs, for the parser; ValueError if a key occurs twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {few(repr(name))} occurs twice in one object")
        found[name] = value
    return found


def _refuse(path: Path, mode: int) -> None:
    for is_such, number, words in _KINDS:
        if is_such(mode):
            raise OSError(number, words, str(path))
