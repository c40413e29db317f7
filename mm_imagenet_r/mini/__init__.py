"""The embedded data set: drawn, captioned and labeled by code, with nothing to download.

As in ImageNet-R a class is a shape that must be recognized across renditions, while colors,
textures and backgrounds vary freely. All of it follows from `settings.py`.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from mm_imagenet_r.mini.captions import caption
from mm_imagenet_r.mini.grammar import MiniClass, base_classes, classes
from mm_imagenet_r.mini.renditions import RENDITIONS, render
from mm_imagenet_r.mini.scenes import SPLITS, compose
from mm_imagenet_r.mini.settings import EDITIONS, FIRST, SECOND, Edition
from mm_imagenet_r.mini.words import vocabulary
from mm_imagenet_r.source import Source, row

__all__ = [
    "EDITIONS",
    "FIRST",
    "SECOND",
    "Drawn",
    "Edition",
    "Mini",
    "MiniClass",
    "base_classes",
    "classes",
    "draw",
    "rows",
    "vocabulary",
]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture."""

    image: bytes  # a JPEG file
    caption: str  # two to four sentences about it
    style: str  # the rendition, one of ImageNet-R's
    file_name: str  # <wnid>/<style>_<n>.jpg, different for every picture of a class
    parts: NDArray[np.uint8]  # (height, width): 1 + index in `SLOTS` of the part seen, 0 for none

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the object is seen, (height, width)."""
        return self.parts > 0


def draw(cls: MiniClass, split: str, index: int) -> Drawn:
    """Draw picture `index` of a class; any `index` from 0 on, also beyond the data set.

    The same arguments give the same picture in any process and any order.

    >>> draw(classes()[3], "train", 7).image == draw(classes()[3], "train", 7).image
    True
    """
    scene = compose(cls, split, index)
    style = list(RENDITIONS)[int(scene.rng.integers(len(RENDITIONS)))]
    picture, backdrop = render(scene, style)
    gray = bool(scene.rng.random() < cls.edition.grayscale)
    low, high = cls.edition.quality
    file = io.BytesIO()
    (picture.convert("L") if gray else picture).save(
        file, "JPEG", quality=int(scene.rng.integers(low, high + 1)), subsampling="4:2:0"
    )
    return Drawn(
        image=file.getvalue(),
        caption=caption(cls, split, index, scene, style, backdrop, gray),
        style=style,
        file_name=f"{cls.wnid}/{style}_{2 * index + SPLITS.index(split)}.jpg",
        parts=scene.parts,
    )


def rows(
    split: str, labels: Sequence[int] | None = None, edition: Edition = SECOND
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split with these labels (by default all), sorted by class."""
    count = edition.train_per_class if split == "train" else edition.test_per_class
    known = classes(edition)
    for label in range(len(known)) if labels is None else labels:
        cls = known[label]
        for index in range(count):
            drawn = draw(cls, split, index)
            found = row(drawn.file_name, label, drawn.caption, cls.name, style=drawn.style)
            image = {"bytes": drawn.image, "path": drawn.file_name.replace("/", "__")}
            yield {**found, "image": image}


@dataclass(frozen=True)
class Mini(Source):
    """An edition of the embedded data set as a source of the catalog."""

    edition: Edition
    drawn = True

    def description(self) -> str:  # noqa: D102 - these are Source's
        return "40 drawn classes with captions, made by code in seconds; nothing is downloaded."

    def provenance(self) -> dict[str, str]:  # noqa: D102
        return {"captions": self.edition.name, "split": self.edition.name}

    def classes(self) -> dict[str, str]:  # noqa: D102
        return {cls.wnid: cls.name for cls in classes(self.edition)}

    def rows(self, split: str, labels: Sequence[int]) -> Iterator[dict[str, Any]]:  # noqa: D102
        return rows(split, labels, self.edition)

    def identity(self) -> str:
        """Hash the code that draws, and the version of Pillow, whose encoder makes the bytes."""
        digest = hashlib.sha256(f"pillow {PIL.__version__}".encode())
        for path in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()


first = functools.partial(Mini, FIRST)
second = functools.partial(Mini, SECOND)
