"""`python -m mm_imagenet_r.captions audit SET`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mm_imagenet_r.archive import Images
from mm_imagenet_r.captions.audit import Audit, audit
from mm_imagenet_r.captions.audit.page import page
from mm_imagenet_r.captions.audit.text_only import is_available
from mm_imagenet_r.captions.files import Captions, read_captions
from mm_imagenet_r.classes import unknown_names
from mm_imagenet_r.command_line import Parser
from mm_imagenet_r.errors import UserError, summarize
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.open_images import open_images
from mm_imagenet_r.pages import check_page
from mm_imagenet_r.progress import make_console
from mm_imagenet_r.splits import Split, split


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = Parser(
        prog="python -m mm_imagenet_r.captions audit",
        description="Audit captions: their lengths, their faults, and how far they give the class "
        "away. Writes one self-contained HTML page.",
        allow_abbrev=False,
    )
    add = command.add_argument
    # fmt: off
    add("captions", type=Path, metavar="SET",
        help="folder of a caption set, or a csv, tsv, jsonl or Parquet file")
    add("--images", type=Path, help="where the images are, to show some of them")
    add("--split-name", metavar="NAME",
        help="split of ImageNet-R into train and test (default: that of the data; for other "
        "images a fifth of each class is for testing)")
    add("--output", type=Path, metavar="FILE",
        help="the page (default: audit.html in the folder, NAME-audit.html beside a file)")
    # fmt: on
    return command


def run(arguments: Sequence[str]) -> Path:
    """Audit captions, print the findings, write the page and return its path."""
    given = parser().parse_args(arguments)
    place, name = given.captions, given.captions.stem
    beside = place / "audit.html" if place.is_dir() else place.with_name(f"{name}-audit.html")
    output: Path = given.output or beside
    check_page(output)
    captions = read_captions(given.captions)
    images = None if given.images is None else open_images(given.images)
    found = audit(captions, split_of(captions, given.captions, images, given.split_name))
    console = make_console()
    for line in summary(found):
        console.print(line, markup=False)
    write_atomic(output, page(found, images, name).encode())
    console.print(f"page: {output}", markup=False, soft_wrap=True)
    return output


def summary(found: Audit) -> list[str]:
    """Return the findings in a few lines."""
    count, grades, text = found.overall.count, found.overall.grades, found.text_only
    faults = ", ".join(f"{flag} {len(names):,}" for flag, names in found.flags.items() if names)
    lines = [
        f"{count:,} captions, {found.mean_words:.0f} words on average "
        f"(1 % have fewer than {found.quantile(0.01)}, 1 % more than {found.quantile(0.99)})",
        f"{found.flagged / count:.1%} have a fault: {faults or 'none'}",
        f"{found.duplicated / count:.1%} also belong to another image",
        f"{found.overall.share:.1%} name their class ({grades['label'] / count:.1%} by its label), "
        f"a further {grades['head'] / count:.1%} by a head noun; {found.others / count:.1%} name "
        "another class",
    ]
    if found.captions.failed:
        lines.insert(1, f"{len(found.captions.failed):,} images have no caption")
    if text is not None:
        lines.append(
            f"text-only accuracy {text.raw:.1%}, with names masked {text.masked:.1%}, of the most "
            f"frequent class {text.majority:.1%} (split {found.split.name}: "
            f"{len(found.split.test):,} for testing)"
        )
    elif not is_available():
        lines.append("text-only accuracy needs scikit-learn: pip install 'mm-imagenet-r[audit]'")
    return lines


def split_of(
    captions: Captions, path: Path, images: Images | None, name: str | None
) -> Split | None:
    """Split the images of a caption set, captioned or not, as they are split for training.

    Folders of the images that are called train and test are a split. `mm_imagenet_r.splits` knows
    the others by `name`, or raises UserError; the default is that of the data. None for images that
    are not ImageNet-R's, for which no split is known. `path` is for messages.
    """
    names = sorted({*captions.by_name, *captions.failed})
    if not names or (wrong := unknown_names(names)):
        if name is None:
            return None
        raise UserError(
            f"--split-name {name} splits ImageNet-R, and these captions are of other images "
            f"({summarize(wrong) if names else 'none'}): leave it out"
        )
    places = [] if images is None else [images.path, images.path.parent]
    lists = [folder for place in places for folder in (place, place / "splits")]
    return split(_Named(names, path, images), name, lists=lists, partial=True)


class _Named(Images):
    """Images of which only the names are known, and the folders if the images are available."""

    def __init__(self, names: Sequence[str], path: Path, images: Images | None) -> None:
        there = set() if images is None else set(images.names)
        folders = ((n, images.split_of(n) if images and n in there else None) for n in names)
        super().__init__(path, folders, "")

    def read(self, name: str) -> bytes:
        raise KeyError(name)
