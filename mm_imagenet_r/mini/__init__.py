"""The embedded data set: drawn, captioned and labelled by code, with nothing to download.

As in ImageNet-R a class is a shape that must be recognised across renditions, while colours,
textures and backgrounds vary freely. All of it follows from `settings.py`; every picture depends
on its own class, split and number only, so they may be drawn in any order and by any number of
processes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm_imagenet_r.mini.captions import caption
from mm_imagenet_r.mini.grammar import MiniClass, base_classes, classes
from mm_imagenet_r.mini.renditions import RENDITIONS, render
from mm_imagenet_r.mini.scenes import SPLITS, compose
from mm_imagenet_r.mini.settings import EDITIONS, FIRST, SECOND, Edition
from mm_imagenet_r.mini.words import vocabulary
from mm_imagenet_r.source import row

__all__ = [
    "EDITIONS",
    "FIRST",
    "SECOND",
    "Drawn",
    "Edition",
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
    """Yield the rows of a split, sorted by class: the columns of every data set of this package.

    Args:
        split: `train` or `test`.
        labels: Only these classes; all if not given.
        edition: Which data set.
    """
    count = edition.train_per_class if split == "train" else edition.test_per_class
    known = classes(edition)
    for label in range(len(known)) if labels is None else labels:
        cls = known[label]
        for index in range(count):
            drawn = draw(cls, split, index)
            found = row(drawn.file_name, label, drawn.caption, cls.name, style=drawn.style)
            image = {"bytes": drawn.image, "path": drawn.file_name.replace("/", "__")}
            yield {**found, "image": image}
