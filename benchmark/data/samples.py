"""Images with captions and labels that stay on disk until they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import numpy as np

from benchmark.data.stored_images import Images, IntArray
from mm_imagenet_r.errors import UserError


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
class Rows:
    """All rows of a data set: the images stay on disk, the texts are held.

    Attributes:
        images: (n,) images.
        captions: (n,) captions, empty where there is none.
        file_names: (n,) keys.
        image_bytes: (n,) lengths of the images; empty until they were looked at.
    """

    images: Images
    captions: Sequence[str]
    file_names: Sequence[str]
    image_bytes: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.file_names)


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
            image = self._rows.images.read(row)
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
        return [self._rows.file_names[row] for row in self._indices.tolist()]

    @property
    def captions(self) -> list[str]:
        """Captions of all samples, without reading an image."""
        return [self._rows.captions[row] for row in self._indices.tolist()]

    @property
    def image_bytes(self) -> list[int]:
        """Lengths of all images, without reading one."""
        found: list[int] = self._rows.image_bytes[self._indices].tolist()
        return found

    def select(self, positions: Iterable[int] | IntArray) -> Samples:
        """The samples at these positions, in this order."""
        chosen = np.asarray(
            positions if isinstance(positions, np.ndarray) else list(positions), dtype=np.int64
        )
        return Samples(self._rows, self._indices[chosen], self.labels[chosen])

    @cached_property
    def _places(self) -> dict[int, IntArray]:
        """The positions of each class, in order: looked for once, for phases ask for each."""
        order = np.argsort(self.labels, kind="stable")
        found, starts = np.unique(self.labels[order], return_index=True)
        return dict(zip(found.tolist(), np.split(order, starts)[1:], strict=True))

    def of_classes(self, labels: Collection[int]) -> Samples:
        """All samples of some classes, in the order they have here."""
        found = [self._places[label] for label in set(labels) if label in self._places]
        return self.select(np.sort(np.concatenate(found)) if found else [])

    def count(self, labels: Collection[int]) -> int:
        """How many samples some classes have."""
        return sum(len(self._places.get(label, ())) for label in set(labels))

    def apart(self, *, anonymous: bool = False) -> Samples:
        """The same samples as rows of their own: what a method is handed leads to no others.

        Args:
            anonymous: Without labels (-1) and with names that say their place alone (`test/3`).
        """
        names = [f"test/{i}" for i in range(len(self))] if anonymous else self.file_names
        images = self._rows.images.select(self._indices)
        rows = Rows(images, self.captions, names, self._rows.image_bytes[self._indices])
        labels = np.full(len(self), -1, dtype=np.int64) if anonymous else self.labels.copy()
        return Samples(rows, np.arange(len(self)), labels)

    def relabelled(self, new: IntArray) -> Samples:
        """The same samples; label l becomes new[l]."""
        return Samples(self._rows, self._indices, new[self.labels])
