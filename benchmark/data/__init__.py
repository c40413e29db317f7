"""What the harness learns from: images with captions and labels, from any source, in two parts.

`open_data` takes the embedded `mini`, another named configuration of `mm_imagenet_r`, a folder of
images, Parquet, or a Hub id, and returns a `Data`: a training and an evaluation part of lazily read
samples, and hashes that say exactly which data that was. How the sources are read lies in
`sources.py` and `tables.py`; importing this file is cheap.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from benchmark.results.schema import DatasetInfo

IntArray = NDArray[np.int64]

#: Share of each class's training samples that `validation=True` holds out.
VALIDATION_FRACTION = 0.2


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its caption.

    Attributes:
        image: Bytes of the image file, as its owner made it.
        caption: May be empty, of any length.
        label: Position of its class in the class order, 0..num_classes-1.
        file_name: Key of the sample, unique in its data set.
    """

    image: bytes
    caption: str
    label: int
    file_name: str


@dataclass(frozen=True)
class ColumnNames:
    """Columns of a table as the user names them; None means: find it."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None
    file_name: str | None = None


@dataclass(frozen=True)
class Rows:
    """All rows of a data set: the images stay on disk, the texts are held.

    Attributes:
        images: `datasets.Dataset` whose column image is `Image(decode=False)`.
        captions: (n,) captions, empty where there is none.
        file_names: (n,) keys.
    """

    images: Any
    captions: Sequence[str]
    file_names: Sequence[str]

    def __len__(self) -> int:
        return len(self.file_names)

    def image(self, row: int) -> bytes:
        """Bytes of one image file; none where a table has no image.

        Raises:
            OSError: The file is gone or unreadable.
        """
        found: dict[str, Any] | None = self.images[row]["image"]
        if found is None:
            return b""
        data: bytes | None = found["bytes"]
        if data is not None:
            return data
        return Path(found["path"]).read_bytes() if found["path"] else b""


class Samples(Sequence[Sample]):
    """Samples that are read from disk when they are asked for; selecting copies no image.

    Attributes:
        labels: (n,) label of each sample, known without reading an image. Not to be written to.
    """

    def __init__(self, rows: Rows, indices: IntArray, labels: IntArray) -> None:
        """Look at some of the rows of a data set.

        Args:
            rows: All rows; shared by every selection of them.
            indices: (n,) which rows.
            labels: (n,) label of each of these.
        """
        self._rows = rows
        self._indices = indices
        self.labels = labels

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Sample | Samples:
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        row = int(self._indices[index])
        name = self._rows.file_names[row]
        try:
            image = self._rows.image(row)
        except OSError as error:
            raise UserError(
                f"{name} could not be read ({error.strerror or error}): was it moved since the run "
                "began? Put it back and give the same command again"
            ) from error
        return Sample(image, self._rows.captions[row], int(self.labels[index]), name)

    def __repr__(self) -> str:
        return f"Samples({len(self)} of {len(set(self.labels.tolist()))} classes)"

    @property
    def file_names(self) -> list[str]:
        """Keys of all samples, without reading an image."""
        return [self._rows.file_names[row] for row in self._indices]

    @property
    def captions(self) -> list[str]:
        """Captions of all samples, without reading an image."""
        return [self._rows.captions[row] for row in self._indices]

    def select(self, positions: Iterable[int] | IntArray) -> Samples:
        """The samples at these positions, in this order."""
        chosen = np.asarray(
            positions if isinstance(positions, np.ndarray) else list(positions), dtype=np.int64
        )
        return Samples(self._rows, self._indices[chosen], self.labels[chosen])

    def of_classes(self, labels: Collection[int]) -> Samples:
        """All samples of some classes, in the order they have here."""
        return self.select(np.flatnonzero(np.isin(self.labels, list(labels))))

    def relabelled(self, new: IntArray) -> Samples:
        """The same samples; label l becomes new[l]."""
        return Samples(self._rows, self._indices, new[self.labels])


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
        data_sha256: Identity of everything in the data set, whatever the class order.
        split_sha256: Identity of the cut: which file is in which part.
        notes: What a user should know about how the source was read.
        left_out: File name of each image that cannot be used, and what is wrong with it.
    """

    name: str
    class_names: tuple[str, ...]
    order: tuple[int, ...]
    train: Samples
    test: Samples
    captions: str
    data_sha256: str
    split_sha256: str
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

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
            "data_sha256": self.data_sha256,
            "split_sha256": self.split_sha256,
            "captions": self.captions,
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
    test_fraction: float = 0.2,
    split_seed: int = 0,
    validation: bool = False,
    bad_images: str = "error",
) -> Data:
    """Open a data set, check its images and cut it where it brings no test part.

    Args:
        name: `mini` or another configuration of `mm_imagenet_r`; a folder `<class>/*.jpg` or
            `{train,test}/<class>/*.jpg`; a folder or file of Parquet; a Hub id `org/name`
            (`:config` may follow the last two).
        columns: Columns of a table that cannot be found by name and type.
        captions: File (csv, tsv, jsonl, parquet) with the columns file_name and caption, used
            instead of the captions the source has.
        test_fraction: Share of each class that becomes test data if the source has one part only.
        split_seed: Seed of that cut and of the validation cut.
        validation: Evaluate on a fifth of the training part; the test part is then never seen.
        bad_images: "error" refuses a data set with images that do not decode, "skip" leaves
            them out.

    Returns:
        The data in its own class order; see `Data.in_order`.

    Raises:
        UserError: No such data, no such column, broken images, too few images, ...
    """
    from benchmark.data import cut, image_check
    from benchmark.data.find import find
    from benchmark.data.messages import counted

    if bad_images not in ("error", "skip"):
        raise UserError(f"--bad-images is error or skip, not {bad_images!r}")
    if not 0 < test_fraction < 1:
        raise UserError(f"--test-fraction lies between 0 and 1, not {test_fraction}")
    source = find(name, columns or ColumnNames(), captions)
    rows, keys, notes = source.rows, source.rows.file_names, list(source.notes)
    source.refuse_repeated_names()
    digests = image_check.digests(rows)
    good = np.ones(len(rows), dtype=bool)
    left_out: list[tuple[str, str]] = []
    if not source.drawn:
        bad = image_check.find_bad(rows, digests)
        good[list(bad)] = False
        left_out = [(keys[row], why) for row, why in bad.items()]
        if bad and bad_images == "error":
            raise UserError(image_check.complaint(name, left_out))
        if bad:
            notes.append(image_check.left_out(len(rows), left_out))

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
        data_sha256=_hash(json.dumps(line, ensure_ascii=False) for line in sorted(lines)),
        split_sha256=_hash(
            line for part, of in parts.items() for line in (part, *sorted(of.file_names))
        ),
        notes=tuple(notes),
        left_out=tuple(left_out),
    )


def _hash(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
