"""The 200 classes of ImageNet-R, and the names of all of its images."""

from __future__ import annotations

import csv
import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from mm_imagenet_r.errors import UserError, summarize

if TYPE_CHECKING:
    from mm_imagenet_r.archive import Images

#: As many missing images are named; more are counted per class.
_FEW: Final = 5
_FACTS: Final = ("wnid", "name", "imagenet_index", "coda_label")


@dataclass(frozen=True, slots=True)
class ImageNetRClass:
    """One class."""

    wnid: str  # WordNet identifier, the name of its folder
    name: str  # as in the README of ImageNet-R, with underscores
    imagenet_index: int  # its number among the 1000 classes of ImageNet-1k
    coda_label: int  # its number in the lists of CODA-Prompt, which shuffle the classes
    styles: Mapping[str, int]  # how many images it has of each style, numbered from 0

    @property
    def images(self) -> int:
        """How many images it has."""
        return sum(self.styles.values())


@functools.cache
def classes() -> tuple[ImageNetRClass, ...]:
    """Return the classes in the order of their labels: sorted by `wnid`, as in ImageNet-1k.

    >>> len(classes()), sum(cls.images for cls in classes())
    (200, 30000)
    >>> cls = classes()[0]
    >>> cls.wnid, cls.name, cls.imagenet_index, cls.coda_label, cls.images, cls.styles["art"]
    ('n01443537', 'goldfish', 1, 122, 230, 13)
    """
    text = (resources.files("mm_imagenet_r") / "classes.csv").read_text(encoding="utf-8")
    return tuple(
        ImageNetRClass(
            row["wnid"],
            row["name"],
            int(row["imagenet_index"]),
            int(row["coda_label"]),
            {key: int(count) for key, count in row.items() if key not in _FACTS and count != "0"},
        )
        for row in csv.DictReader(text.splitlines())
    )


@functools.cache
def image_names() -> tuple[str, ...]:
    """Return the keys of all images, sorted.

    >>> image_names()[0], image_names()[-1], len(image_names())
    ('n01443537/art_0.jpg', 'n12267677/sketch_9.jpg', 30000)
    """
    return tuple(
        sorted(
            f"{cls.wnid}/{of_style}_{number}.jpg"
            for cls in classes()
            for of_style, count in cls.styles.items()
            for number in range(count)
        )
    )


def style(name: str) -> str:
    """Return the rendition according to the file name; ImageNet-R calls it a noisy hint.

    >>> style("n01443537/art_0.jpg")
    'art'
    """
    return name.rpartition("/")[2].rpartition("_")[0]


def require_imagenet_r(images: Images, *, partial: bool = False) -> None:
    """Raise UserError if images are not ImageNet-R's, or unless `partial` not all of them."""
    if wrong := unknown_names(images.names):
        raise UserError(
            f"{images.path} is not ImageNet-R: {summarize(wrong)}. Give the folder that holds its "
            "200 class folders, or remove what does not belong there"
        )
    if not partial and (lacking := missing(images.names)):
        raise UserError(
            f"{images.path} has {len(images):,} of ImageNet-R's 30,000 images; missing: "
            f"{summarize(lacking)}{' classes' if len(lacking) > 5 else ''}. Add them, download the "
            "archive (python -m mm_imagenet_r.download), or continue with what is there "
            "(partial=True, --partial)"
        )


def unknown_names(names: Iterable[str]) -> list[str]:
    """Say which of the names are not ImageNet-R's, one sentence each.

    >>> unknown_names(["n01443537/art_0.jpg", "n01443537/art_13.jpg", "cats/art_0.jpg"])
    ['n01443537/art_13.jpg is not an image of ImageNet-R', 'cats is not a class of ImageNet-R']
    """
    known = {cls.wnid for cls in classes()}
    images = set(image_names())
    found: dict[str, None] = {}
    for name in names:
        folder = name.rpartition("/")[0]
        if folder not in known:
            found[f"{folder or name} is not a class of ImageNet-R"] = None
        elif name not in images:
            found[f"{name} is not an image of ImageNet-R"] = None
    return list(found)


def missing(names: Iterable[str]) -> list[str]:
    """List the images of ImageNet-R missing from `names`: a few by name, else counts per class.

    >>> missing(image_names()[1:])
    ['n01443537/art_0.jpg']
    >>> missing(name for name in image_names()[10:] if not name.startswith("n02007558"))
    ['all 377 images of n02007558 (flamingo)', '10 of 230 images of n01443537 (goldfish)']
    """
    absent = sorted(set(image_names()).difference(names))
    if len(absent) <= _FEW:
        return absent
    of_class = Counter(name.partition("/")[0] for name in absent)
    poor = [cls for cls in classes() if of_class[cls.wnid]]
    return [
        f"{'all' if gone == cls.images else f'{gone} of'} {cls.images} images of {cls.wnid} "
        f"({cls.name})"
        for cls in sorted(poor, key=lambda cls: of_class[cls.wnid] < cls.images)
        if (gone := of_class[cls.wnid])
    ]
