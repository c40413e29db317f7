"""What every reader of a data set returns, whatever it was read from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.caption_files import match_captions
from benchmark.data.samples import IntArray, Rows
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.errors import UserError, summarize

#: Names of folders or splits, in the order of preference.
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "validation", "valid", "dev")

#: `RawDataset.captions` where there are none.
NO_CAPTIONS = "none"


@dataclass
class RawDataset:
    """A data set as it was found, before its images are checked and before it is cut.

    Attributes:
        name: As the user gave it.
        rows: All of it.
        labels: (n,) class of each row.
        is_test: (n,) True for rows of the source's test part; None if it has one part only.
        class_names: Every class that occurs, in the order of its labels.
        captions: Name of the caption set.
        captions_id: Its identity, see `mm_imagenet_r.captions.files`; "" if it has none.
        split: Name of the rule that made `is_test`; "" if it has none.
        absent: How many images of a published data set are not there.
        left_out: File name of each image of one that is no row, and what is wrong with its file.
        leaves_out: The option that leaves out what cannot be used.
        drawn: The images were drawn by our own code: checking them is a waste of time.
        notes: What a user should know about how it was read.
    """

    name: str
    rows: Rows
    labels: IntArray
    is_test: NDArray[np.bool_] | None
    class_names: list[str]
    captions: str
    captions_id: str = ""
    split: str = ""
    absent: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    leaves_out: str = "--bad-images skip"
    drawn: bool = False
    notes: list[str] = field(default_factory=list)

    def refuse_repeated_names(self) -> None:
        """Raise UserError if a file name stands for more than one row: it is the key everywhere."""
        counts = Counter(self.rows.file_names)
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise UserError(
                f"{self.name}: a file name must stand for one image, but these occur more than "
                f"once: {summarize(repeated)}. Remove the repeated rows, or make the names unique, "
                "for example by putting the class in front"
            )

    def take_captions(self, path: Path) -> None:
        """Use the captions of a file instead of those there are.

        Raises:
            UserError: The file is malformed or names none of the images.
        """
        given = read_captions(path)
        captions = given.by_name
        keys = self.rows.file_names
        found, unused = match_captions(captions, keys, TRAIN_NAMES + TEST_NAMES)
        if all(caption is None for caption in found):
            raise UserError(
                f"captions file {path} names none of the images of {self.name}: it has "
                f"{summarize(list(captions), 2) or 'no rows'}, the images are "
                f"{summarize(keys, 2)}. Write paths relative to the folder, or "
                "bare names where these are unique"
            )
        self.rows = Rows(self.rows.images, [caption or "" for caption in found], keys)
        self.captions, self.captions_id = path.name, given.identity
        if unused:
            self.notes.append(f"{unused} of {len(captions)} captions in {path.name} name no image")

    def note_missing_captions(self) -> None:
        """Tell how many texts are empty, if the data set is meant to have captions."""
        missing = sum(not caption for caption in self.rows.captions)
        if missing and self.captions != NO_CAPTIONS:
            self.notes.append(f"{missing} of {len(self.rows)} images have no caption: empty texts")
