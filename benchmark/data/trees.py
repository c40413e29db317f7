"""Data sets that come as image files in one folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark.data.raw_dataset import NO_CAPTIONS, TEST_NAMES, TRAIN_NAMES, RawDataset
from benchmark.data.samples import Rows
from benchmark.data.stored_images import FileImages
from mm_imagenet_r import images
from mm_imagenet_r.captions.files import SUFFIXES, read_captions
from mm_imagenet_r.errors import UserError, pluralize, summarize
from mm_imagenet_r.folders import Folder, is_visible, look, walk

_LAYOUTS = (
    "Images are expected in one folder per class: <class>/*.jpg or {train,test}/<class>/*.jpg; "
    "where a class has images of its own, those in folders further down belong to it too"
)


def read(root: Path, name: str, *, captions_given: bool) -> RawDataset:
    """Read `root/<class>/*.jpg`, or `root/{train,test}/<class>/*.jpg`.

    Images in folders further down belong to the class too, as in torchvision's ImageFolder, but
    each class must have some of its own: else it is not known which of the folders are the classes.
    Files that are not images are ignored. Keys are paths relative to `root`. Captions are taken
    from `captions.csv`, `.tsv`, `.jsonl`, `.parquet` or `metadata.csv`, `.jsonl` in `root`, unless
    they are given otherwise. UserError if the folder is empty, is laid out otherwise, or a class
    has no image.
    """
    parts, notes = _parts(root)
    keys: list[str] = []
    classes: list[str] = []  # of each image
    sizes: list[int] = []  # of each part
    empty: list[str] = []
    deeper: list[str] = []
    again: list[str] = []
    for part in parts:
        for class_name in _folders(part):
            found, below, links = _of_class(root, (*part.parts, class_name))
            if not found:
                empty.append("/".join((*part.parts, class_name)))
                continue
            deeper += below
            again += links
            keys += [*found, *below]
            classes += [class_name] * (len(found) + len(below))
        sizes.append(len(keys) - sum(sizes))
    if not keys:
        raise UserError(_nothing_in(root, name))
    if empty:
        raise UserError(
            f"{name}: no image is directly in {summarize(empty)}. Each folder is one class: "
            f"remove these, or move images ({', '.join(sorted(images.SUFFIXES))}) there"
        )
    if deeper:
        count, places = pluralize(len(deeper), "image"), summarize(deeper, 2)
        notes.append(f"{count} in folders within a class folder taken for that class: {places}")
    if again:
        notes.append(f"not followed, as links to folders of the same class: {summarize(again)}")
    for key in keys:
        if not key.isprintable():  # bytes that are not UTF-8, control characters
            raise UserError(f"{name}: the file name {key!r} is not plain text: rename the file")
    class_names = sorted(set(classes))
    number = {class_name: label for label, class_name in enumerate(class_names)}
    source = RawDataset(
        name=name,
        rows=Rows(FileImages(root, keys), [""] * len(keys), keys),
        labels=np.array([number[class_name] for class_name in classes], dtype=np.int64),
        is_test=np.repeat([False, True], sizes) if len(parts) == 2 else None,
        class_names=class_names,
        captions=NO_CAPTIONS,
        notes=notes,
    )
    if not captions_given:
        _take_captions_beside(root, source)
    return source


def _parts(root: Path) -> tuple[list[Folder], list[str]]:
    """The folder of class folders, or those for training and for testing; and notes."""
    top = look(root)

    def part(names: Sequence[str]) -> Folder | None:
        """The first of these folders that holds classes: one called "train" may be a class."""
        for name in names:
            if name in top.folders:
                found = look(root / name, (name,))
                if _folders(found) and not _image_files(found):
                    return found
        return None

    train, test = part(TRAIN_NAMES), part(TEST_NAMES)
    if train is None:
        astray = _image_files(top)
        return [top], [f"not used, as in no class folder: {summarize(astray)}"] if astray else []
    parts = [train, *([test] if test else [])]
    unused = [name for name in _folders(top) if (name,) not in [each.parts for each in parts]]
    return parts, [f"not used: {summarize(unused)}"] if unused else []


def _of_class(root: Path, parts: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Keys of the images in a class folder, of those further down, and links not followed."""
    found: tuple[list[str], list[str], list[str]] = ([], [], [])
    for folder in walk(root.joinpath(*parts)):
        above = "/".join((*parts, *folder.parts))
        found[bool(folder.parts)].extend(f"{above}/{file}" for file in _image_files(folder))
        if folder.again:
            found[2].append(above)
    return found


def _folders(folder: Folder) -> list[str]:
    return [name for name in folder.folders if is_visible(name)]


def _image_files(folder: Folder) -> list[str]:
    """Names of what must be images; what is none, or a link to nothing, is told when it is read."""
    visible = (name for name in folder.files if is_visible(name))
    return [name for name in visible if f".{name.rpartition('.')[2].lower()}" in images.SUFFIXES]


def _nothing_in(root: Path, name: str) -> str:
    top = look(root)
    if not (top.folders or top.files):
        return f"the folder {name} is empty. {_LAYOUTS}"
    if _image_files(top):
        return f"{name}: the images are directly in the folder, so they have no classes. {_LAYOUTS}"
    for inner in _folders(top):
        if any(_image_files(each) for each in walk(root / inner, levels=1) if each.parts):
            return f"{name} holds no class folders, but {root / inner} does: give that one"
    return f"the folder {name} holds no images and no Parquet. {_LAYOUTS}"


def _take_captions_beside(root: Path, source: RawDataset) -> None:
    """Use the captions file in the folder of images, if there is one."""
    own = [path for suffix in SUFFIXES if _is_there(path := root / f"captions{suffix}")]
    if len(own) > 1:
        raise UserError(
            f"{source.name} holds {summarize([path.name for path in own])}: "
            "choose one with --captions"
        )
    for path in (root / "metadata.csv", root / "metadata.jsonl"):
        if _is_there(path) and not own:
            try:
                read_captions(path)
            except UserError as error:  # the file may be about something else
                source.notes.append(f"{path.name} is not used: {error}")
            else:
                own.append(path)
    if own:
        source.take_captions(own[0])
    else:
        source.notes.append(
            "no captions: all texts are empty (give --captions FILE, or put captions.csv with the "
            "columns file_name and caption into the folder)"
        )


def _is_there(path: Path) -> bool:
    """Whether there is a file or a link to nothing, which reading then tells."""
    return os.path.lexists(path) and not path.is_dir()
