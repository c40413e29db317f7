"""The editions of the embedded data set as sources of the catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL

from mm_imagenet_r import mini
from mm_imagenet_r.source import Source


@dataclass(frozen=True)
class Mini(Source):
    """An edition of the embedded data set."""

    edition: mini.Edition
    drawn = True

    def description(self) -> str:  # noqa: D102 - these are Source's
        return "40 drawn classes with captions, made by code in seconds; nothing is downloaded."

    def provenance(self) -> dict[str, str]:  # noqa: D102
        return {"captions": self.edition.name, "split": self.edition.name}

    def classes(self) -> dict[str, str]:  # noqa: D102
        return {cls.wnid: cls.name for cls in mini.classes(self.edition)}

    def rows(self, split: str, labels: Sequence[int]) -> Iterator[dict[str, Any]]:  # noqa: D102
        return mini.rows(split, labels, self.edition)

    def identity(self) -> str:
        """Hash the code that draws, and the version of Pillow, whose encoder makes the bytes."""
        digest = hashlib.sha256(f"pillow {PIL.__version__}".encode())
        for path in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()


def first() -> Mini:
    """Return the source of `mini-1`."""
    return Mini(mini.FIRST)


def second() -> Mini:
    """Return the source of `mini`."""
    return Mini(mini.SECOND)
