"""Captions of a file of their own, and the images they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath


def match_captions(
    captions: Mapping[str, str], keys: Sequence[str], parts: Iterable[str] = ()
) -> tuple[list[str | None], int]:
    """Find the caption of each image.

    A caption names the whole key, the key without the folder of its part, or the bare file name
    where only one image has that name.

    Args:
        captions: Caption by name.
        keys: (n,) keys of the images, such as "train/cat/1.jpg".
        parts: Names of first folders that may be left out, such as "train".

    Returns:
        (n,) captions, None where there is none; and how many captions belong to no image.

    >>> match_captions({"cat/1.jpg": "a cat", "2.jpg": "another", "3.jpg": "?"},
    ...                ["train/cat/1.jpg", "train/cat/2.jpg", "train/dog/1.jpg"], ["train"])
    (['a cat', 'another', None], 1)
    """
    parts = set(parts)
    bare = Counter(PurePosixPath(key).name for key in keys)
    short = Counter(_without_part(key, parts) for key in keys)
    found: list[str | None] = []
    used: set[str] = set()
    for key in keys:
        candidates = [key]
        if short[_without_part(key, parts)] == 1:
            candidates.append(_without_part(key, parts))
        if bare[PurePosixPath(key).name] == 1:
            candidates.append(PurePosixPath(key).name)
        name = next((name for name in candidates if name in captions), None)
        found.append(None if name is None else captions[name])
        if name is not None:
            used.add(name)
    return found, len(captions) - len(used)


def _without_part(key: str, parts: set[str]) -> str:
    first, slash, rest = key.partition("/")
    return rest if slash and first in parts else key
