"""Images with their classes, wherever they are: in a tar, in folders or in Parquet.

All give the bytes of the files as they are, under the key `<class folder>/<file>`, for ImageNet-R
`<wnid>/<style>_<n>.jpg`. Nothing is unpacked or written. Links in a folder are followed.
"""

from __future__ import annotations

import abc
import errno
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mm_imagenet_r import images, tar_index
from mm_imagenet_r.errors import UserError, pluralize, summarize
from mm_imagenet_r.folders import walk
from mm_imagenet_r.hashes import file_state
from mm_imagenet_r.reading import IMAGE, open_regular, read_bytes

#: Known levels above the classes: the one of ImageNet-R's tar, and those of PILOT.
_ROOT: Final = "imagenet-r"
SPLITS: Final = ("train", "test")
#: Not looked into: captions are beside the images.
NO_CLASSES: Final = {"__MACOSX", "captions"}

LAYOUTS: Final = (
    "Images are expected as imagenet-r.tar, as folders <wnid>/<style>_<n>.jpg (also below "
    "imagenet-r/, or in train/ and test/), or as Parquet with the columns image and file_name"
)


class Images(abc.ABC):
    """Image files with their classes; may be pickled, and read by many processes at once."""

    names: list[str]  # sorted keys
    identity: str  # changes when an image does: of the archive, or of names, sizes and times
    notes: tuple[str, ...] = ()  # what a user should know about how they were found
    _where: Mapping[str, Any]  # place of each image, in the order of which reading is quickest

    def __init__(self, path: Path, splits: Iterable[tuple[str, str | None]], identity: str) -> None:
        """Take keys with the splits they are in; UserError if one occurs twice, or none."""
        self.path = path
        self.identity = identity
        self._splits: dict[str, str | None] = {}
        for name, split in splits:
            if name in self._splits:
                raise UserError(
                    f"{path}: {name} occurs more than once, but class and file name must identify "
                    "an image: remove the others, or give the folder that holds one copy"
                )
            if not name.isprintable():
                raise UserError(
                    f"{path}: the file name {name!r} is not plain text: rename the file"
                )
            self._splits[name] = split
        if not self._splits:
            raise UserError(f"{path} holds no images of classes. {LAYOUTS}")
        self.names = sorted(self._splits)

    def __len__(self) -> int:
        return len(self.names)

    def split_of(self, name: str) -> str | None:
        """Return `train` or `test` where the images are in folders of these names."""
        return self._splits[name]

    def as_stored(self, names: Iterable[str]) -> list[str]:
        """Return keys in the order of their images, which is the quickest to read."""
        return sorted(names, key=self._where.__getitem__)

    @abc.abstractmethod
    def read(self, name: str) -> bytes:
        """Return the bytes of a file; UserError if it is gone or not what it was when opened."""

    def _changed(self, name: str, why: str) -> UserError:
        return UserError(
            f"{name} of {self.path} could not be read ({why}): was it moved or changed? Put it "
            "back and give the same command again"
        )


def place(parts: Sequence[str]) -> tuple[str, str | None] | None:
    """Return key and split of a file from the parts of its path; None if it is of no class.

    >>> place(("imagenet-r", "n01443537", "art_0.jpg"))
    ('n01443537/art_0.jpg', None)
    >>> place(("test", "n01443537", "art_0.jpg"))
    ('n01443537/art_0.jpg', 'test')
    >>> place(("imagenet-r", "README.txt")) is None
    True
    """
    if parts[:1] == (_ROOT,):
        parts = parts[1:]
    split = None
    if len(parts) == 3 and parts[0] in SPLITS:
        split, parts = parts[0], parts[1:]
    if len(parts) != 2 or any(part.startswith(".") or part in NO_CLASSES for part in parts):
        return None
    if PurePosixPath(parts[1]).suffix.lower() not in images.SUFFIXES:
        return None
    return "/".join(parts), split


class TarImages(Images):
    """Images in a tar, read in place by their offsets."""

    def __init__(self, path: Path) -> None:
        """Index a tar, or take the cached index; UserError if it is damaged or not safe."""
        index = tar_index.read(path)
        self._where: dict[str, tuple[int, int]] = {}
        found: list[tuple[str, str | None]] = []
        for member, offset, size in index.members:
            placed = place(PurePosixPath(member).parts)
            if placed is not None:
                found.append(placed)
                self._where[placed[0]] = (offset, size)
        super().__init__(path, found, index.sha256)
        if index.sha256 != tar_index.PUBLISHED_SHA256:
            self.notes = (
                f"{path.name} is not the published ImageNet-R archive but another one of "
                f"{index.size:,} bytes, sha256 {index.sha256}",
            )

    def read(self, name: str) -> bytes:  # noqa: D102 - that of Images
        offset, size = self._where[name]
        try:
            if size > IMAGE:
                raise OSError(errno.EFBIG, f"it has {size:,} bytes, which no image has")
            with open_regular(self.path) as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise self._changed(name, error.strerror or str(error)) from error
        if len(data) != size:
            raise self._changed(name, f"{len(data)} of {size} bytes")
        return data


class FolderImages(Images):
    """Images as files in one folder per class."""

    def __init__(self, path: Path) -> None:
        """Look through the folders; UserError if no image is in a class folder."""
        self._where: dict[str, Path] = {}
        found: list[tuple[str, str | None]] = []
        digest = hashlib.sha256()
        dangling: list[str] = []
        for folder in walk(path, levels=3):
            for file in folder.files:
                placed = place((*folder.parts, file))
                if placed is None:
                    continue
                key = "/".join((*folder.parts, file))
                try:
                    state = file_state(folder.path / file)
                except FileNotFoundError:
                    dangling.append(key)
                    continue
                found.append(placed)
                self._where[placed[0]] = folder.path / file
                digest.update(f"{key}\0{state}\n".encode("utf-8", "surrogateescape"))
        if dangling:
            raise UserError(
                f"{path}: {pluralize(len(dangling), 'file')} of images are links to files that "
                f"are not there: {summarize(dangling)}. Fetch these (git annex get, where "
                "git-annex made the links), or remove the links"
            )
        super().__init__(path, found, digest.hexdigest())

    def read(self, name: str) -> bytes:  # noqa: D102 - that of Images
        try:
            return read_bytes(self._where[name], IMAGE)
        except OSError as error:
            raise self._changed(name, error.strerror or str(error)) from error
