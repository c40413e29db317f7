"""The 200 classes of ImageNet-R, and what a complete copy of its images consists of."""

from __future__ import annotations

import csv
import functools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Final

#: `<style>_<n>.jpg`: one word of small letters, and a number (203 is the largest there is).
_FILE: Final = re.compile(r"(?P<style>[a-z]+)_(?P<number>0|[1-9]\d{0,2})\.jpg")


@dataclass(frozen=True, slots=True)
class ImageNetRClass:
    """One class.

    Attributes:
        wnid: WordNet identifier, the name of its folder.
        name: As in the README of ImageNet-R, with underscores.
        imagenet_index: Its number among the 1000 classes of ImageNet-1k.
        coda_label: Its number in the lists of CODA-Prompt, which shuffle the classes.
        images: How many images it has.
    """

    wnid: str
    name: str
    imagenet_index: int
    coda_label: int
    images: int


@functools.cache
def classes() -> tuple[ImageNetRClass, ...]:
    """Return the classes in the order of their labels: sorted by `wnid`, as in ImageNet-1k.

    >>> len(classes()), sum(cls.images for cls in classes())
    (200, 30000)
    >>> classes()[0]
    ImageNetRClass(wnid='n01443537', name='goldfish', imagenet_index=1, coda_label=122, images=230)
    """
    text = (resources.files("mm_imagenet_r") / "classes.csv").read_text(encoding="utf-8")
    return tuple(
        ImageNetRClass(
            row["wnid"],
            row["name"],
            int(row["imagenet_index"]),
            int(row["coda_label"]),
            int(row["images"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


def style(name: str) -> str:
    """Return the rendition a file name speaks of; ImageNet-R calls it a noisy hint.

    >>> style("n01443537/art_0.jpg")
    'art'
    """
    return name.rpartition("/")[2].rpartition("_")[0]


def strangers(names: Iterable[str]) -> list[str]:
    """Say which of the names cannot be ImageNet-R's, a sentence each.

    >>> strangers(["n01443537/art_0.jpg", "n01443537/cat.jpg", "cats/art_0.jpg"])
    ['n01443537/cat.jpg is not called <style>_<number>.jpg', 'cats is no class of ImageNet-R']
    """
    known = {cls.wnid for cls in classes()}
    found: dict[str, None] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder not in known:
            found[f"{folder or name} is no class of ImageNet-R"] = None
        elif not _FILE.fullmatch(file):
            found[f"{name} is not called <style>_<number>.jpg"] = None
    return list(found)


def missing(names: Iterable[str]) -> list[str]:
    """Say what names lack of ImageNet-R's 30,000 images, a sentence each; nothing if complete.

    No list of files is needed: the numbers of each class and style run from 0 without a gap, and
    the number of images of each class is known.

    >>> names = [f"n01443537/art_{n}.jpg" for n in (0, 1, 3)]
    >>> missing(names)[0]
    'all 207 images of n01484850 (great_white_shark)'
    >>> missing(names)[-2:]
    ['n01443537/art_2.jpg', '226 more images of n01443537 (goldfish)']
    """
    numbers: dict[tuple[str, str], set[int]] = {}
    counts: Counter[str] = Counter()
    for name in names:
        folder, _, file = name.rpartition("/")
        counts[folder] += 1
        if match := _FILE.fullmatch(file):
            numbers.setdefault((folder, match["style"]), set()).add(int(match["number"]))
    gaps: dict[str, list[str]] = {}
    for (folder, of_style), present in sorted(numbers.items()):
        absent = sorted(set(range(max(present))) - present)
        gaps.setdefault(folder, []).extend(f"{folder}/{of_style}_{n}.jpg" for n in absent)
    whole: list[str] = []
    parts: list[str] = []
    for cls in classes():
        if not counts[cls.wnid]:
            whole.append(f"all {cls.images} images of {cls.wnid} ({cls.name})")
            continue
        named = gaps.get(cls.wnid, [])
        parts += named
        if (more := cls.images - counts[cls.wnid] - len(named)) > 0:
            parts.append(f"{more} more images of {cls.wnid} ({cls.name})")
    return [*whole, *parts]
