"""Images with captions and labels that stay on disk until they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mm_imagenet_r.errors import UserError

IntArray = NDArray[np.int64]


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


class _Images:
    """Some rows of a table of images, and no way to the others but on purpose."""

    def __init__(self, images: Any, rows: IntArray) -> None:
        self.__images = images
        self.__rows = rows

    def __getitem__(self, row: int) -> Any:
        return self.__images[int(self.__rows[row])]


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

    def apart(self, *, anonymous: bool = False) -> Samples:
        """The same samples as rows of their own: what a method is handed leads to no others.

        Args:
            anonymous: Without labels (-1) and with names that say their place alone (`test/3`).
        """
        names = [f"test/{i}" for i in range(len(self))] if anonymous else self.file_names
        rows = Rows(_Images(self._rows.images, self._indices), self.captions, names)
        labels = np.full(len(self), -1, dtype=np.int64) if anonymous else self.labels.copy()
        return Samples(rows, np.arange(len(self)), labels)

    def relabelled(self, new: IntArray) -> Samples:
        """The same samples; label l becomes new[l]."""
        return Samples(self._rows, self._indices, new[self.labels])
