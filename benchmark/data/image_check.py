"""Look at every image once before a run: hash it, decode it, and remember what was found."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import datasets
import PIL
from PIL import Image

from benchmark.data.samples import Rows
from mm_imagenet_r import caches, images
from mm_imagenet_r.errors import pluralize
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.progress import track

#: From this many images on, waiting is shown.
PROGRESS_FROM = 2000

#: As many images are one piece of work: handing over each alone costs more than a small image.
_AT_ONCE: Final = 64

#: To be raised when `mm_imagenet_r.images.check` judges differently, or the file of findings is
#: another: old ones are then void.
_RULES = 3


@dataclass
class Looked:
    """What was found in n images."""

    digests: list[str]  # (n,) SHA-256 of each file in hexadecimal, empty where it cannot be read
    lengths: list[int]  # (n,) bytes of each, 0 where it cannot be read
    bad: dict[int, str]  # what is wrong with those that cannot be used, by row


def look(rows: Rows, *, drawn: bool = False) -> Looked:
    """Read every image once: hash it, decode it, and say what is wrong with what cannot be used.

    Files of the same names and hashes are decoded once and not before every run. Images that are
    `drawn` by our own code are only hashed.
    """
    if drawn:
        return _read_all(rows, decode=False)
    memory = _memory(rows.file_names)
    known = _recall(memory, len(rows))
    found = _read_all(rows, decode=known is None)
    files = json_sha256(found.digests)
    if known is not None and known["files"] == files:
        found.bad = {**{int(row): why for row, why in known["bad"].items()}, **found.bad}
        return found
    if known is not None:
        found = _read_all(rows, decode=True)
        files = json_sha256(found.digests)
    bad = {str(row): why for row, why in found.bad.items()}
    caches.remember(memory, {"files": files, "bad": bad})
    return found


def _recall(memory: Path, count: int) -> dict[str, Any] | None:
    """What was found earlier in `count` images; None if it is not there, or not as written."""
    try:
        known: dict[str, Any] = caches.recall(memory)
        rows = [int(row) for row in known["bad"]]
        texts = all(isinstance(why, str) for why in known["bad"].values())
        return known if texts and all(0 <= row < count for row in rows) and known["files"] else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


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


def _memory(keys: Sequence[str]) -> Path:
    """Where is kept what this very decoder found of images of these names."""
    name = json_sha256([_RULES, PIL.__version__, Image.MAX_IMAGE_PIXELS, list(keys)])
    return Path(datasets.config.HF_DATASETS_CACHE) / "mm_imagenet_r_image_checks" / f"{name}.json"


def _read_all(rows: Rows, *, decode: bool) -> Looked:
    def read(row: int) -> tuple[str, int, str | None]:
        try:
            data = rows.images.read(row)
        except OSError as error:
            return "", 0, f"cannot be read ({error.strerror or error})"
        fault = images.check(data) if decode else None
        return hashlib.sha256(data).hexdigest(), len(data), fault

    def some(first: int) -> list[tuple[str, int, str | None]]:
        return [read(row) for row in range(first, min(first + _AT_ONCE, len(rows)))]

    found = Looked([], [], {})
    starts = range(0, len(rows), _AT_ONCE)
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        results: Iterable[list[tuple[str, int, str | None]]] = pool.map(some, starts)
        if len(rows) >= PROGRESS_FROM:
            results = track(results, "checking images", len(starts))
        for row, (digest, length, fault) in enumerate(itertools.chain.from_iterable(results)):
            found.digests.append(digest)
            found.lengths.append(length)
            if fault is not None:
                found.bad[row] = fault
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for thousands of images
    return found
