"""What a named data set is read through: the base class of all sources, and of those of files."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_imagenet_r.errors import UserError, pluralize, summarize
from mm_imagenet_r.images import check_header

if TYPE_CHECKING:
    from mm_imagenet_r.captions.files import Captions


class Source(abc.ABC):
    """What the builder asks of a data set; pickled when several processes build it."""

    __slots__ = ()

    #: Whether the images are drawn by our own code, so that none can be broken.
    drawn: bool = False

    @abc.abstractmethod
    def description(self) -> str:
        """Return one paragraph: what the rows are, with the hashes a result should name."""

    @abc.abstractmethod
    def provenance(self) -> dict[str, str]:
        """Return names of the `captions` and the `split`, and what identifies them (or nothing)."""

    @abc.abstractmethod
    def classes(self) -> dict[str, str]:
        """Return the names of the classes by their identifiers, in the order of the labels."""

    @abc.abstractmethod
    def rows(self, split: str, labels: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield the rows (see `row`) of a split with these labels, sorted by label.

        UserError if a file is not an image.
        """

    @abc.abstractmethod
    def identity(self) -> str:
        """Return a hash of what the rows depend on: the name of their cached copy."""

    def unusable(self, used: Collection[str] = ()) -> dict[str, str]:
        """Return what is wrong with each file that is not an image, except those `used`."""
        return {}

    def num_absent(self) -> int:
        """Return how many images were published and are not there."""
        return 0

    def captions_read(self) -> Captions | None:
        """Return the captions as they were read, which know how each was made, if there are any."""
        return None


@dataclass(frozen=True, slots=True)
class FileSource(Source):
    """A data set of image files, some of which may turn out not to be images."""

    place: Path  # where the files are
    leaves_out: bool  # files that are not images; they are an error otherwise

    @abc.abstractmethod
    def listed(self, split: str, labels: Collection[int]) -> Iterator[dict[str, Any]]:
        """Yield rows without their images, sorted by label."""

    @abc.abstractmethod
    def read(self, split: str, file_name: str) -> bytes:
        """Return the bytes of an image file."""

    def rows(self, split: str, labels: Sequence[int]) -> Iterator[dict[str, Any]]:  # noqa: D102
        left_out: dict[str, str] = {}
        for found in self.listed(split, set(labels)):
            name = found["file_name"]
            data = self.read(split, name)
            if (wrong := check_header(data)) is None:
                yield {**found, "image": {"bytes": data, "path": name.replace("/", "__")}}
            elif self.leaves_out:
                left_out[name] = wrong
            else:
                faults = self.unusable()
                raise UserError(
                    f"{pluralize(len(faults), 'file')} of {self.place} cannot be used: "
                    f"{_listed(faults)}. Replace them by the published ones, or leave them out "
                    "(partial=True, --partial)"
                )
        if left_out:
            files = pluralize(len(left_out), "file")
            warnings.warn(f"left out: {files} of {self.place}: {_listed(left_out)}", stacklevel=2)

    def unusable(self, used: Collection[str] = ()) -> dict[str, str]:  # noqa: D102
        looked = (
            (name, check_header(self.read(split, name)))
            for split in ("train", "test")
            for found in self.listed(split, range(len(self.classes())))
            if (name := found["file_name"]) not in used
        )
        return {name: wrong for name, wrong in looked if wrong is not None}


def row(
    file_name: str,
    label: int,
    caption: str,
    class_name: str,
    imagenet_index: int | None = None,
    style: str = "",
) -> dict[str, Any]:
    """Return a row without its image: the columns of every data set of this package.

    >>> row("tacos/tacos_1.jpg", 0, "Fish tacos", "tacos")["wnid"]
    'tacos'
    """
    return {
        "file_name": file_name,
        "label": label,
        "caption": caption,
        "wnid": file_name.partition("/")[0],
        "class_name": class_name,
        "imagenet_index": imagenet_index,
        "style": style,
    }


def _listed(faults: Mapping[str, str]) -> str:
    return summarize([f"{name} {wrong}" for name, wrong in faults.items()], most=10)
