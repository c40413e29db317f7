"""Where the rows of a configuration come from, found by its name.

`mini` is embedded, and so is its first edition, `mini-1`; `upmc_food101` is another data set, every
other name is a caption set of MM-ImageNet-R.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import PIL

from mm_imagenet_r import mini
from mm_imagenet_r.errors import UserError


class Source(Protocol):
    """What the builder asks of a data set; pickled when several processes build it."""

    def description(self) -> str:
        """Return one paragraph: what the rows are, with the hashes a result should name."""

    def provenance(self) -> dict[str, str]:
        """Return `captions`, `split` and whatever identifies these, to be stored with results."""

    def classes(self) -> dict[str, str]:
        """Return the names of the classes by their identifiers, in the order of the labels."""

    def rows(self, split: str, labels: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a split that belong to given labels, in the order of the labels."""

    def unusable(self, used: Collection[str] = ()) -> dict[str, str]:
        """Return the files that are no images, less those `used`, and what is wrong with each."""

    def identity(self) -> str:
        """Return what the rows depend on, as a hash: the name of their cached copy."""


@dataclass(frozen=True)
class Mini:
    """An edition of the embedded data set."""

    edition: mini.Edition

    def description(self) -> str:  # noqa: D102 - these are Source's
        return "40 drawn classes with captions, made by code in seconds; nothing is downloaded."

    def provenance(self) -> dict[str, str]:  # noqa: D102
        return {"captions": self.edition.name, "split": self.edition.name}

    def classes(self) -> dict[str, str]:  # noqa: D102
        return {cls.wnid: cls.name for cls in mini.classes(self.edition)}

    def rows(self, split: str, labels: Sequence[int]) -> Iterator[dict[str, Any]]:  # noqa: D102
        return mini.rows(split, labels, self.edition)

    def unusable(self, used: Collection[str] = ()) -> dict[str, str]:  # noqa: D102
        return {}

    def identity(self) -> str:
        """Hash the code that draws, and the version of Pillow, whose encoder makes the bytes."""
        digest = hashlib.sha256(f"pillow {PIL.__version__}".encode())
        for path in [*sorted(Path(mini.__file__).parent.glob("*.py")), Path(__file__)]:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()


SOURCES: Final[dict[str, Source]] = {name: Mini(edition) for name, edition in mini.EDITIONS.items()}


def find_source(
    name: str,
    data_dir: str | None = None,
    split_name: str | None = None,
    *,
    partial: bool = False,
) -> Source:
    """Return the source of a configuration.

    Args:
        name: Of the configuration: `mini`, `mini-1`, `upmc_food101`, or a caption set of
            MM-ImageNet-R.
        data_dir: Where its images and captions lie; for MM-ImageNet-R the environment variable
            MM_IMAGENET_R_DATA_DIR if not given.
        split_name: Which cut into train and test, see `mm_imagenet_r.splits`.
        partial: Images may be missing or broken, and captions missing.

    Raises:
        UserError: There is no such configuration, or its files are absent or damaged.
    """
    if name not in (*SOURCES, "upmc_food101"):
        from mm_imagenet_r import imagenet_r

        return imagenet_r.find_imagenet_r(name, data_dir, split_name, partial=partial)
    options: dict[str, object] = {"split_name": split_name}
    if name in SOURCES:
        options |= {"data_dir": data_dir, "partial": partial}
    for option, value in options.items():
        if value:
            raise UserError(
                f"configuration {name!r} of mm_imagenet_r takes no {option}: leave it out, and "
                "give configurations that take it in a command of their own"
            )
    if name in SOURCES:
        return SOURCES[name]
    if not data_dir:
        raise UserError(f"{name} needs data_dir: the folder with its images and texts")
    from mm_imagenet_r import food101

    return food101.source(data_dir, partial=partial)
