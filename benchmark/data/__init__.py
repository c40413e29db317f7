"""What the harness learns from: images with captions and labels, from any source, in two parts.

`open_data` takes the name of a data set of `mm_imagenet_r`, a folder of images, Parquet, or a Hub
id, and returns a `Data`: a training and an evaluation part of lazily read samples, and hashes that
say exactly which data that was. How the sources are read lies in `named.py`, `trees.py` and
`tables.py`; importing this file is cheap.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.data.samples import IntArray, Rows, Sample, Samples
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.splits import list_sha256

if TYPE_CHECKING:
    from benchmark.results.schema import DatasetInfo

__all__ = [
    "Archive", "ColumnNames", "Data", "IntArray", "Rows", "Sample", "Samples", "open_data",
]  # fmt: skip

#: Share of each class's training samples that `validation=True` holds out.
VALIDATION_FRACTION = 0.2


@dataclass(frozen=True)
class ColumnNames:
    """Columns of a table as the user names them; None means: find it."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None
    file_name: str | None = None


@dataclass(frozen=True)
class Archive:
    """Files of a published data set, as the user has them; see `benchmark.data.named`.

    Attributes:
        data_dir: Folder that holds them.
        split_name: Which cut into training and test part; None: the default one.
        partial: Images may be missing or broken, and captions missing.
    """

    data_dir: Path | None = None
    split_name: str | None = None
    partial: bool = False


@dataclass(frozen=True)
class Data:
    """A data set, cut in two and with its classes in order.

    Attributes:
        name: As the user gave it.
        class_names: Name of each class, at the position that is its label.
        order: The data set's own number of each of these classes.
        train: What is learned from.
        test: What is evaluated on (the validation part where that was asked for).
        captions: Name of the caption set.
        captions_id: Its fingerprint and a hash of its texts; without one, the hash alone.
        data_sha256: Identity of everything in the data set, whatever the class order.
        split: Name of the rule by which it was cut.
        split_sha256: Hash of the file names in `test`: `mm_imagenet_r.splits.list_sha256`.
        notes: What a user should know about how the source was read.
        left_out: File name of each image that cannot be used, and what is wrong with it.
        absent: How many images of a published data set are not there at all.
    """

    name: str
    class_names: tuple[str, ...]
    order: tuple[int, ...]
    train: Samples
    test: Samples
    captions: str
    captions_id: str
    data_sha256: str
    split: str
    split_sha256: str
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    absent: int = 0

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def info(self) -> DatasetInfo:
        """What a result says about its data."""
        return {
            "name": self.name,
            "num_classes": self.num_classes,
            "train": len(self.train),
            "test": len(self.test),
            "left_out": len(self.left_out) + self.absent,
            "data_sha256": self.data_sha256,
            "split": self.split,
            "split_sha256": self.split_sha256,
            "captions": self.captions,
            "captions_id": self.captions_id,
        }

    def in_order(self, order: Sequence[int]) -> Data:
        """The same data with the classes in another order.

        Args:
            order: The data set's own number of the class at each position, as
                `mm_imagenet_r.phases.class_order` gives it: label p then means class order[p].

        Raises:
            ValueError: `order` is no permutation of the classes.
        """
        if sorted(order) != list(range(self.num_classes)):
            raise ValueError(f"order must be a permutation of 0..{self.num_classes - 1}")
        position = np.argsort(np.asarray(order, dtype=np.int64))
        new = position[np.asarray(self.order, dtype=np.int64)]  # old label -> new label
        names = dict(zip(self.order, self.class_names, strict=True))
        return dataclasses.replace(
            self,
            order=tuple(order),
            class_names=tuple(names[number] for number in order),
            train=self.train.relabelled(new),
            test=self.test.relabelled(new),
        )


def open_data(
    name: str,
    *,
    columns: ColumnNames | None = None,
    captions: Path | None = None,
    archive: Archive | None = None,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    validation: bool = False,
    bad_images: str = "error",
) -> Data:
    """Open a data set, check its images and cut it where it brings no test part.

    Args:
        name: `mini`; `mm_imagenet_r:CAPTIONSET` or `upmc_food101`; a folder `<class>/*.jpg` or
            `{train,test}/<class>/*.jpg`; a folder or file of Parquet; a Hub id `org/name`
            (`:config` may follow the last two).
        columns: Columns of a table that cannot be found by name and type.
        captions: File (csv, tsv, jsonl, parquet) with the columns file_name and caption, used
            instead of the captions the source has.
        archive: Where the files of `mm_imagenet_r` or `upmc_food101` are, and which split of them.
        test_fraction: Share of each class that becomes test data if the source has one part only.
        split_seed: Seed of that cut and of the validation cut.
        validation: Evaluate on a fifth of the training part; the test part is then never seen.
        bad_images: "error" refuses a data set with images that do not decode, "skip" leaves
            them out, as `archive.partial` does for its data sets.

    Returns:
        The data in its own class order; see `Data.in_order`.

    Raises:
        UserError: No such data, no such column, broken images, too few images, ...
    """
    from benchmark.data import cut, image_check
    from benchmark.data.find import find
    from benchmark.wording import counted

    if bad_images not in ("error", "skip"):
        raise UserError(f"--bad-images is error or skip, not {bad_images!r}")
    if not 0 < test_fraction < 1:
        raise UserError(f"--test-fraction lies between 0 and 1, not {test_fraction}")
    archive = archive or Archive()
    source = find(name, columns or ColumnNames(), captions, archive, bad_images)
    cut.refuse_unused(source, test_fraction, split_seed, validation=validation)
    rows, keys, notes = source.rows, source.rows.file_names, list(source.notes)
    source.refuse_repeated_names()
    digests = image_check.digests(rows)
    good = np.ones(len(rows), dtype=bool)
    left_out: list[tuple[str, str]] = []
    if not source.drawn:
        bad = image_check.find_bad(rows, digests)
        good[list(bad)] = False
        left_out = [*source.left_out.items(), *((keys[row], why) for row, why in bad.items())]
        if bad and bad_images == "error" and not archive.partial:
            raise UserError(image_check.complaint(name, left_out, source.leaves_out))
        if left_out:
            notes.append(image_check.left_out(len(rows) + len(source.left_out), left_out))

    is_test = cut.held_out_for_test(source, good, test_fraction, split_seed)
    lines = [
        [key, digest, caption, int(label), "test" if test else "train"]
        for key, digest, caption, label, test, usable in zip(
            keys, digests, rows.captions, source.labels, is_test, good, strict=True
        )
        if usable
    ]
    evaluated, train, test = "test", np.flatnonzero(good & ~is_test), np.flatnonzero(good & is_test)
    if validation:
        evaluated = "validation"
        train, test = cut.held_out_for_validation(source, train, VALIDATION_FRACTION, split_seed)
    known = {digests[row] for row in train}
    if again := sum(digests[row] in known for row in test):
        are = "is" if again == 1 else "are"
        notes.append(
            f"{again} of {counted(len(test), f'{evaluated} image')} {are} in the training part "
            "too, byte for byte: accuracy there says nothing about new images"
        )
    everything = Samples(rows, np.arange(len(rows)), source.labels)
    parts = {"train": everything.select(train), evaluated: everything.select(test)}
    return Data(
        name=name,
        class_names=tuple(source.class_names),
        order=tuple(range(len(source.class_names))),
        train=parts["train"],
        test=parts[evaluated],
        captions=source.captions,
        captions_id=source.captions_id or _hash([line[0], line[2]] for line in lines),
        data_sha256=_hash(lines),
        split=cut.split_name(source, test_fraction, split_seed),
        split_sha256=list_sha256(parts[evaluated].file_names),
        notes=tuple(notes),
        left_out=tuple(left_out),
        absent=source.absent,
    )


def _hash(rows: Iterable[Any]) -> str:
    """Hash of rows in whatever order."""
    digest = hashlib.sha256()
    for row in sorted(rows):
        digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
