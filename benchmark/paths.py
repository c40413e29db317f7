"""Paths as they stand in configurations, results and folder names."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

_LONGEST = 250  # characters of a path's part that a file system takes


def same_path(text: str, names: Collection[str] = ()) -> str:
    """A path in one way of writing, so that one place is one experiment: relative if it is below.

    A path that would then read like one of `names` stays as it is, and so does what does not exist:
    `./absent` must not come to read like a Hub id.

    >>> same_path("./tests/"), same_path("docs/../tests"), same_path("./absent")
    ('tests', 'tests', './absent')
    >>> same_path(os.path.abspath("tests")), same_path("./tests", {"tests"}), same_path("")
    ('tests', './tests', '')
    """
    if not text:
        return text
    if "\0" in text or any(len(part) > _LONGEST for part in text.split("/")):
        return text  # no system has such a path
    home = os.path.expanduser(text)  # noqa: PTH111 (it leaves alone what only begins like a home)
    path = Path(os.path.normpath(home))
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return text if str(path) in names or not path.exists() else str(path)


def last_part(text: str) -> str:
    """The last part of a path, of a Hub id or of a method's file and class.

    >>> last_part("some where/photos"), last_part("mini"), last_part("../mine.py:Mine@fast")
    ('photos', 'mini', 'mine.py:Mine@fast')
    """
    return Path(os.path.normpath(Path(text).absolute())).name


def safe_name(text: str) -> str:
    """A name that is fit for a folder on every system."""
    return shortened("".join(c if c.isalnum() or c in "-._@" else "_" for c in text)[:80])


def shortened(name: str, most: int = 255) -> str:
    """A name of at most so many bytes, as file systems count: of a longer one, both ends.

    >>> shortened("a" * 255) == "a" * 255, shortened("0123456789", 4), shortened("漢字-5", 6)
    (True, '0189', '漢-5')
    """
    data = name.encode()
    if len(data) <= most:
        return name
    ends = data[: most // 2], data[-(most // 2) :]
    return "".join(end.decode(errors="ignore") for end in ends)
