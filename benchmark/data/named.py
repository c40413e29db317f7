"""The data sets of `mm_imagenet_r` under their names: mini, MM-ImageNet-R, UPMC Food-101."""

from __future__ import annotations

import dataclasses
import os
import warnings
from typing import Any, Final

from benchmark.data import tables
from benchmark.data.dataset import ColumnNames, DatasetOptions
from benchmark.data.messages import waiting
from benchmark.data.raw_dataset import RawDataset
from benchmark.option_names import dashed
from mm_imagenet_r.builder import MMImageNetR
from mm_imagenet_r.classes import image_names
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.food101 import Food101
from mm_imagenet_r.imagenet_r import DEFAULT, ENVIRONMENT, ImageNetR
from mm_imagenet_r.sources import SOURCES

IMAGENET_R: Final = "mm_imagenet_r"
FOOD101: Final = "upmc_food101"

#: Fields of `DatasetOptions` that mean something, by the name of the data set.
_OPTIONS: Final = {
    **dict.fromkeys(SOURCES, ()),
    IMAGENET_R: ("data_dir", "split_name", "partial"),
    FOOD101: ("data_dir", "partial"),
}
NAMES: Final = tuple(_OPTIONS)
_NEEDED: Final = {
    IMAGENET_R: f"(or set {ENVIRONMENT}): it holds imagenet-r.tar, which python -m "
    "mm_imagenet_r.download DIR fetches, and captions/, which python -m mm_imagenet_r.captions "
    "makes",
    FOOD101: "into which it was unpacked: it holds images/ and texts/",
}


def is_name(text: str) -> bool:
    """Whether a `--dataset` is one of these; a caption set may follow `mm_imagenet_r:`."""
    return text in NAMES or text.startswith(f"{IMAGENET_R}:")


def refuse_unused(name: str, archive: DatasetOptions, bad_images: str) -> None:
    """Raise UserError if an option is given that means nothing for a data set of any kind."""
    kind, colon, _ = name.partition(":")
    if colon and kind in NAMES and kind != IMAGENET_R:
        raise UserError(f"{kind} has no caption sets to name: give --dataset {kind}")
    allowed = _OPTIONS.get(kind, ()) if is_name(name) else ()
    if bad_images != "error" and is_name(name):
        instead = "--partial does it there" if "partial" in allowed else "its images are drawn"
        raise UserError(f"--bad-images {bad_images} is not for --dataset {name}: {instead}")
    for spec in dataclasses.fields(archive):
        if getattr(archive, spec.name) != spec.default and spec.name not in allowed:
            takers = [name for name, options in _OPTIONS.items() if spec.name in options]
            raise UserError(
                f"--{dashed(spec.name)} is for --dataset {' or '.join(takers)}: leave it out, "
                f"--dataset {name} has no use for it"
            )


def read(name: str, archive: DatasetOptions, *, captions_given: bool) -> RawDataset:
    """Prepare a data set, if it is not in the cache of `datasets`, and read it from there.

    Args:
        name: One for which `is_name` holds.
        archive: Its files; see `mm_imagenet_r.load`.
        captions_given: The captions come from a file of the user's.

    Raises:
        UserError: The folder, images or captions are missing or damaged, or there is no such
            caption set or split.
    """
    kind, _, captions = name.partition(":")
    somewhere = archive.data_dir or (kind == IMAGENET_R and os.environ.get(ENVIRONMENT))
    if kind in _NEEDED and not somewhere:
        raise UserError(f"--dataset {name} needs --data-dir DIR, the folder {_NEEDED[kind]}")
    if kind == IMAGENET_R and captions in (*SOURCES, FOOD101):
        raise UserError(f"{captions} is no caption set of {kind}: give --dataset {captions}")
    if kind == IMAGENET_R and captions_given:
        raise UserError(
            f"--captions is not for --dataset {kind}: put the file into captions/ of its folder "
            f"and name it, --dataset {kind}:NAME for captions/NAME.csv"
        )
    with waiting(f"preparing {name}"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "left out: ")  # a note tells it each time
        builder = MMImageNetR(
            config_name=(captions or DEFAULT) if kind == IMAGENET_R else kind,
            **dataclasses.asdict(archive),
        )
        builder.download_and_prepare()
        loaded = builder.as_dataset()
    found = tables.read(name, loaded, ColumnNames(), captions_given=captions_given)
    facts, class_names = builder.source.provenance(), builder.source.classes()
    found.class_names = [class_names[wnid] for wnid in found.class_names]
    found.captions, found.captions_id = facts["captions"], facts.get("caption_set", "")
    found.split = facts["split"]
    found.absent = _absent(builder.source)
    found.left_out = builder.source.unusable(used=set(found.rows.file_names))
    found.leaves_out = "--partial"
    found.drawn = kind in SOURCES
    if not found.drawn:
        found.notes.append(builder.source.description())
    return found


def _absent(source: Any) -> int:
    """How many images were published and are not there."""
    if isinstance(source, ImageNetR):
        return len(image_names()) - len(source.images)
    return len(source.absent) if isinstance(source, Food101) else 0
