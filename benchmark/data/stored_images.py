"""The images of a data set where they lie: files of a folder, or a column of a table."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mm_imagenet_r.errors import few
from mm_imagenet_r.reading import IMAGE, read_bytes

IntArray = NDArray[np.int64]


class Images(Protocol):
    """Images by their row."""

    def read(self, row: int) -> bytes:
        """Bytes of one image file; none where a table has no image.

        Raises:
            OSError: The file is gone, unreadable or not one to read.
        """

    def select(self, rows: IntArray) -> Images:
        """The images of some rows, and no way to the others but on purpose."""


class FileImages:
    """Files of a folder."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """Look at files by their paths below a folder."""
        self.__folder = folder.absolute()
        self.__names = names

    def read(self, row: int) -> bytes:  # noqa: D102 - these are those of Images
        return read_bytes(self.__folder / self.__names[row], IMAGE)

    def select(self, rows: IntArray) -> FileImages:  # noqa: D102
        return FileImages(self.__folder, [self.__names[row] for row in rows.tolist()])


class ColumnImages:
    """The column `image` of a table, whose paths lead to files of its own folders only.

    A table may come from anyone, and what a path leads to is kept and shown as an image.
    """

    def __init__(self, table: Any, folders: Sequence[Path], rows: IntArray | None = None) -> None:
        """Look at a table.

        Args:
            table: `datasets.Dataset` whose column image is `Image(decode=False)`.
            folders: Where files may be; a path that is relative starts at the first.
            rows: Which rows; by default all.
        """
        self.__table = table
        self.__folders = [Path(os.path.realpath(folder)) for folder in folders]
        self.__rows = np.arange(len(table)) if rows is None else rows

    def read(self, row: int) -> bytes:  # noqa: D102
        found: dict[str, Any] | None = self.__table[int(self.__rows[row])]["image"]
        if found is None:
            return b""
        data: bytes | None = found["bytes"]
        if data is not None:
            return data
        return read_bytes(self._own(found["path"]), IMAGE) if found["path"] else b""

    def select(self, rows: IntArray) -> ColumnImages:  # noqa: D102
        return ColumnImages(self.__table, self.__folders, self.__rows[rows])

    def _own(self, path: str) -> Path:
        """Where a path of the table leads, links followed, if that is in a folder of the table."""
        try:
            place = Path(os.path.realpath(self.__folders[0] / path))
        except ValueError:  # a NUL
            raise OSError(errno.EINVAL, "its path is none") from None
        if not any(place.is_relative_to(folder) for folder in self.__folders):
            words = f"it is not below {self.__folders[0]}, where the images of the table must be"
            raise PermissionError(errno.EACCES, f"{few(path)} is refused: {words}")
        return place
