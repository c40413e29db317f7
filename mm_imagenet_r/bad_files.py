"""Files of a published data set that are no images: all are named at once, or left out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from mm_imagenet_r.errors import UserError, pluralize, summarize
from mm_imagenet_r.images import check_header


def find_bad_files(files: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Say what is wrong with those files that are no images, by their names.

    >>> find_bad_files([("a.jpg", b"<html>"), ("b.jpg", b"")])
    {'a.jpg': 'is not an image that Pillow can read', 'b.jpg': 'is empty (0 bytes)'}
    """
    looked = ((name, check_header(data)) for name, data in files)
    return {name: wrong for name, wrong in looked if wrong is not None}


def refusal(place: Path, faults: Mapping[str, str]) -> UserError:
    """What a user is told who did not ask to leave such files out."""
    return UserError(
        f"{pluralize(len(faults), 'file')} of {place} cannot be used: {_listed(faults)}. Put the "
        "published ones there, or leave out what cannot be used (partial=True, --partial)"
    )


def tell_left_out(place: Path, faults: Mapping[str, str]) -> None:
    """Warn of files that were left out, if there are any."""
    if faults:
        warnings.warn(
            f"left out: {pluralize(len(faults), 'file')} of {place}: {_listed(faults)}",
            stacklevel=2,
        )


def _listed(faults: Mapping[str, str]) -> str:
    return summarize([f"{name} {wrong}" for name, wrong in faults.items()], most=10)
