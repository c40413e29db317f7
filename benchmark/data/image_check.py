"""Look at every image once before a run: hash it, decode it, and remember what was found."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import datasets
import PIL
from PIL import Image

from benchmark.data.samples import Rows
from mm_imagenet_r import images
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.progress import track

#: From this many images on, waiting is shown.
PROGRESS_FROM = 2000

#: To be raised when `mm_imagenet_r.images.check` judges differently: old findings are then void.
_RULES = 2

T = TypeVar("T")


def digests(rows: Rows) -> list[str]:
    """SHA-256 of each image file in hexadecimal; empty where a file cannot be read."""

    def digest(index: int) -> str:
        try:
            return hashlib.sha256(rows.image(index)).hexdigest()
        except OSError:
            return ""

    return _in_threads(digest, len(rows), "reading images")


def find_bad(rows: Rows, hashes: Sequence[str]) -> dict[int, str]:
    """Decode n images and say what is wrong with those that cannot be used, by their rows.

    The findings are cached under the hash of all files, (n,) `digests`, so that the same images
    are decoded once and not before every run.
    """
    keys = rows.file_names
    marker = _marker(keys, hashes)
    with contextlib.suppress(OSError, ValueError):  # not there, or not whole: look again
        known: dict[str, str] = json.loads(marker.read_text(encoding="utf-8"))
        return {index: known[key] for index, key in enumerate(keys) if key in known}

    def look(index: int) -> str | None:
        try:
            return images.check(rows.image(index))
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"

    found = _in_threads(look, len(rows), "checking images")
    bad = {index: why for index, why in enumerate(found) if why is not None}
    if "" not in hashes:  # an unreadable file may be readable next time, with the same hash
        text = json.dumps({keys[index]: why for index, why in bad.items()})
        with contextlib.suppress(UserError):  # a cache that cannot be written is no loss
            write_atomic(marker, text.encode())
    return bad


def complaint(name: str, bad: Sequence[tuple[str, str]], option: str, most: int = 5) -> str:
    """The message for a data set with bad images, and the option that skips them.

    >>> print(complaint("photos", [("cat/1.jpg", "is empty (0 bytes)")], "--bad-images skip"))
    1 image of photos cannot be used:
      cat/1.jpg is empty (0 bytes)
    Repair or remove it, or leave it out with --bad-images skip
    """
    it = "it" if len(bad) == 1 else "them"
    first = f"{pluralize(len(bad), 'image')} of {name} cannot be used:"
    return f"{first}{_reasons(bad, most)}\nRepair or remove {it}, or leave {it} out with {option}"


def left_out(total: int, bad: Sequence[tuple[str, str]], most: int = 5) -> str:
    """The note where the bad images are left out.

    >>> print(left_out(16, [("cat/1.jpg", "is empty (0 bytes)")]))
    1 of 16 images cannot be used and is left out:
      cat/1.jpg is empty (0 bytes)
    """
    are = "is" if len(bad) == 1 else "are"
    first = f"{len(bad)} of {pluralize(total, 'image')} cannot be used and {are} left out:"
    return first + _reasons(bad, most)


def _reasons(bad: Sequence[tuple[str, str]], most: int) -> str:
    lines = [f"\n  {key} {why}" for key, why in bad[:most]]
    return "".join(lines) + (f"\n  ... and {len(bad) - most} more" if len(bad) > most else "")


def _marker(keys: Sequence[str], hashes: Sequence[str]) -> Path:
    """Where findings about exactly these files by exactly this decoder are kept."""
    rules = [_RULES, PIL.__version__, Image.MAX_IMAGE_PIXELS]
    content = json.dumps([rules, sorted(zip(keys, hashes, strict=True))]).encode()
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "mm_imagenet_r_image_checks"
    return folder / f"{hashlib.sha256(content).hexdigest()}.json"


def _in_threads(function: Callable[[int], T], count: int, what: str) -> list[T]:
    """function(0..count-1); reading, hashing and decoding all let other threads run."""
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        results = pool.map(function, range(count))
        return list(track(results, what, count) if count >= PROGRESS_FROM else results)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for thousands of images
