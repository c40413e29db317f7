"""A data set divided in two, and how a user says where it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.data.samples import Samples

if TYPE_CHECKING:
    from benchmark.results.schema import DatasetInfo


@dataclass(frozen=True)
class ColumnNames:
    """Columns of a table as the user names them; None means: find it."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None
    file_name: str | None = None


@dataclass(frozen=True)
class DatasetOptions:
    """Files of a named data set, as the user has them; see `mm_imagenet_r.catalog`."""

    data_dir: Path | None = None  # folder that holds them
    split_name: str | None = None  # which split into training and test part; None: the default
    partial: bool = False  # images may be missing or broken, and captions missing


@dataclass(frozen=True)
class Data:
    """A data set, divided in two and with its classes in order."""

    name: str  # as the user gave it
    class_names: tuple[str, ...]  # name of each class, at the position that is its label
    order: tuple[int, ...]  # the data set's own number of each of these classes
    train: Samples  # what is learned from
    test: Samples  # what is evaluated on (the validation part where that was asked for)
    captions: str  # name of the caption set
    captions_id: str  # its fingerprint, if it has one, and a hash of its texts
    data_sha256: str  # identity of everything in the data set, whatever the class order
    split: str  # name of the rule by which it was divided
    split_sha256: str  # hash of the file names in `test`: `mm_imagenet_r.splits.list_sha256`
    notes: tuple[str, ...] = ()  # what a user should know about how the source was read
    left_out: tuple[tuple[str, str], ...] = ()  # each unusable image and what is wrong with it
    absent: int = 0  # how many images of a published data set are not there at all

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
        """The same data with the classes in another order: label p then means class order[p].

        `order` has the data set's own numbers, as `mm_imagenet_r.orders.class_order` gives them;
        ValueError if it is not a permutation of them.
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
