"""`python -m mm_imagenet_r.captions audit SET`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mm_imagenet_r.captions.audit import Audit, audit
from mm_imagenet_r.captions.audit.page import page
from mm_imagenet_r.captions.audit.text_only import is_available
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.captions.progress import make_console
from mm_imagenet_r.command_line import Parser
from mm_imagenet_r.files import write_atomic


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = Parser(
        prog="python -m mm_imagenet_r.captions audit",
        description="Look at captions: lengths, faults, and how far they give the class away. "
        "Writes one HTML page that needs nothing else.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("captions", type=Path, metavar="SET",
        help="folder of a caption set, or csv, tsv, jsonl, Parquet")  # fmt: skip
    add("--images", type=Path, help="where the images lie, to show some of them")
    add("--split-name", metavar="NAME",
        help="which cut of ImageNet-R into train and test (default: that of the data; of other "
        "images a fifth of each class)")  # fmt: skip
    add("--output", type=Path, metavar="FILE",
        help="the page (default: audit.html, beside a file NAME-audit.html)")  # fmt: skip
    return command


def run(arguments: Sequence[str]) -> Path:
    """Audit captions, print the findings and write the page.

    Returns:
        The page.

    Raises:
        UserError: The captions or the images cannot be read.
    """
    from mm_imagenet_r.captions.audit.parts import split_of

    given = parser().parse_args(arguments)
    captions = read_captions(given.captions)
    images = None
    if given.images is not None:
        from mm_imagenet_r.open_images import open_images

        images = open_images(given.images)
    found = audit(captions, split_of(captions, given.captions, images, given.split_name))
    console = make_console()
    for line in summary(found):
        console.print(line, markup=False)
    place, name = given.captions, given.captions.stem
    beside = place / "audit.html" if place.is_dir() else place.with_name(f"{name}-audit.html")
    output: Path = given.output or beside
    write_atomic(output, page(found, images, name).encode())
    console.print(f"page: {output}", markup=False, soft_wrap=True)
    return output


def summary(found: Audit) -> list[str]:
    """Return the findings in a few lines."""
    count = found.overall.count
    lines = [
        f"{count:,} captions, {found.mean_words:.0f} words on average "
        f"(1 % have fewer than {found.quantile(0.01)}, 1 % more than {found.quantile(0.99)})",
        f"{found.flagged / count:.1%} have a fault: "
        + (
            ", ".join(f"{flag} {len(names):,}" for flag, names in found.flags.items() if names)
            or "none"
        ),
        f"{found.duplicated / count:.1%} are the caption of another image as well",
        f"{found.overall.share:.1%} name their class ({found.overall.grades['label'] / count:.1%} "
        f"by its label), a further {found.overall.grades['head'] / count:.1%} by a head noun; "
        f"{found.others / count:.1%} name another class",
    ]
    if found.captions.failed:
        lines.insert(1, f"{len(found.captions.failed):,} images have no caption")
    if found.text_only is not None:
        lines.append(
            f"text alone tells the class in {found.text_only.raw:.1%}, with its names masked in "
            f"{found.text_only.masked:.1%}, the most frequent class in "
            f"{found.text_only.majority:.1%} (split {found.split.name}: "
            f"{len(found.split.test):,} for testing)"
        )
    elif not is_available():
        lines.append("text-only accuracy needs scikit-learn: pip install -e '.[audit]'")
    return lines
