"""What every reader of a data set returns, whatever it was read from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from benchmark.data.samples import Rows
from benchmark.data.stored_images import IntArray
from mm_imagenet_r.captions.files import other_images, read_captions
from mm_imagenet_r.errors import UserError, summarize

#: Names of folders or splits, in the order of preference.
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "validation", "valid", "dev")

#: `RawDataset.captions` where there are none.
NO_CAPTIONS = "none"


@dataclass
class RawDataset:
    """A data set as it was found, before its images are checked and before it is divided."""

    name: str  # as the user gave it
    rows: Rows
    labels: IntArray  # (n,) class of each row
    is_test: NDArray[np.bool_] | None  # (n,) True for rows of its test part; None if it has none
    class_names: list[str]  # every class that occurs, in the order of its labels
    captions: str  # name of the caption set
    captions_id: str = ""  # its identity, see `mm_imagenet_r.captions.files`; "" if it has none
    captioned: Sequence[str | None] = ()  # (n,) SHA-256 of the image of each caption, if known
    split: str = ""  # name of the rule that made `is_test`; "" if it has none
    absent: int = 0  # how many images of a published data set are not there
    left_out: dict[str, str] = field(default_factory=dict)  # image that is no row: why not
    leaves_out: str = "--bad-images skip"  # the option that leaves out what cannot be used
    drawn: bool = False  # by our own code: checking the images is a waste of time
    notes: list[str] = field(default_factory=list)  # what a user should know about how it was read

    def refuse_repeated_names(self) -> None:
        """Raise UserError if a file name, the key everywhere, occurs in more than one row."""
        counts = Counter(self.rows.file_names)
        if repeated := [name for name, count in counts.items() if count > 1]:
            raise UserError(
                f"{self.name}: file names must be unique, but these occur more than once: "
                f"{summarize(repeated)}. Remove the repeated rows, or make the names unique, for "
                "example by putting the class in front"
            )

    def take_captions(self, path: Path) -> None:
        """Use the captions of a file instead; UserError if it is malformed or names no image."""
        keys, parts = self.rows.file_names, {*TRAIN_NAMES, *TEST_NAMES}
        odd = {name for key in keys if "\\" in key for name in _names_of(key, parts)}
        given = read_captions(path, as_written=odd)
        captions = given.by_name
        found, unused = match_captions(captions, keys, parts)
        if all(caption is None for caption in found):
            raise UserError(
                f"captions file {path} has captions for none of the images of {self.name}: it "
                f"names {summarize(list(captions), 2) or 'nothing'}, the images are "
                f"{summarize(keys, 2)}. Write paths relative to the folder, or bare names where "
                "these are unique"
            )
        self.rows = Rows(self.rows.images, [caption or "" for caption in found], keys)
        self.captions, self.captions_id = path.name, given.identity
        self.captioned, _ = match_captions(given.hashes, keys, parts)
        if unused:
            self.notes.append(
                f"{unused} of {len(captions)} captions in {path.name} belong to no image"
            )

    def require_captioned(self, digests: Mapping[int, str]) -> None:
        """Raise UserError if captions are of other images than these, SHA-256 by row."""
        changed = [
            self.rows.file_names[row]
            for row, sha256 in enumerate(self.captioned)
            if sha256 is not None and digests.get(row, sha256) != sha256
        ]
        if changed:
            raise other_images(self.captions, self.name, changed)

    def note_missing_captions(self) -> None:
        """Note how many texts are empty, if the data set is meant to have captions."""
        missing = sum(not caption for caption in self.rows.captions)
        if missing and self.captions != NO_CAPTIONS:
            self.notes.append(f"{missing} of {len(self.rows)} images have no caption: empty texts")


def match_captions(
    captions: Mapping[str, str], keys: Sequence[str], parts: Iterable[str] = ()
) -> tuple[list[str | None], int]:
    """Find the caption of each image.

    A caption names the whole of one of n `keys`, the key without its first folder if that is one of
    `parts`, or the bare file name where only one image has that name. Returns (n,) captions, None
    where there is none; and how many captions belong to no image.

    >>> match_captions({"cat/1.jpg": "a cat", "2.jpg": "another", "3.jpg": "?"},
    ...                ["train/cat/1.jpg", "train/cat/2.jpg", "train/dog/1.jpg"], ["train"])
    (['a cat', 'another', None], 1)
    """
    parts = set(parts)
    short = Counter(_names_of(key, parts)[1] for key in keys)
    bare = Counter(_names_of(key, parts)[2] for key in keys)
    found: list[str | None] = []
    used: set[str] = set()
    for key in keys:
        whole, shorter, barest = _names_of(key, parts)
        candidates = [whole]
        if short[shorter] == 1:
            candidates.append(shorter)
        if bare[barest] == 1:
            candidates.append(barest)
        name = next((name for name in candidates if name in captions), None)
        found.append(None if name is None else captions[name])
        if name is not None:
            used.add(name)
    return found, len(captions) - len(used)


def _names_of(key: str, parts: set[str]) -> tuple[str, str, str]:
    """A key, the same without its first folder if that is one of `parts`, and its file name."""
    first, slash, rest = key.partition("/")
    return key, rest if slash and first in parts else key, PurePosixPath(key).name
