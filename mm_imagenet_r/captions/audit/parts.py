"""The training and the test part of a caption set, as the data that it belongs to are split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mm_imagenet_r.archive import Images
from mm_imagenet_r.captions.files import Captions
from mm_imagenet_r.classes import unknown_names
from mm_imagenet_r.errors import UserError, summarize
from mm_imagenet_r.splits import Split, split


def split_of(
    captions: Captions, path: Path, images: Images | None, name: str | None
) -> Split | None:
    """Split the images of a caption set as they are split for training.

    Args:
        captions: The caption set; images that could not be captioned count.
        path: Where it is, for messages.
        images: The images, if available: folders called train and test are a split.
        name: See `mm_imagenet_r.splits`; by default that of the data.

    Returns:
        The split; None for images that are not ImageNet-R's, for which no split is known.

    Raises:
        UserError: There is no such split.
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
