"""Data sets that come as image files in one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, Image

from benchmark.data.raw_dataset import NO_CAPTIONS, TEST_NAMES, TRAIN_NAMES, RawDataset
from benchmark.data.samples import Rows
from mm_imagenet_r import images
from mm_imagenet_r.captions.files import SUFFIXES, read_captions
from mm_imagenet_r.errors import UserError, pluralize, summarize

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
    found: list[tuple[Path, str, bool]] = []  # image, class, whether it is in the test part
    empty: list[Path] = []
    deeper: list[Path] = []
    for part, folder in enumerate(parts):
        for class_folder in _folders(folder):
            if files := _image_files(class_folder):
                deeper += (below := _images_below(class_folder))
                found += [(path, class_folder.name, part == 1) for path in (*files, *below)]
            else:
                empty.append(class_folder)
    if not found:
        raise UserError(_nothing_in(root, name))
    if empty:
        raise UserError(
            f"{name}: no image is directly in {_shown(empty, root)}. Each folder is one class: "
            f"remove these, or move images ({', '.join(sorted(images.SUFFIXES))}) there"
        )
    if deeper:
        count, places = pluralize(len(deeper), "image"), _shown(deeper, root, 2)
        notes.append(f"{count} in folders within a class folder taken for that class: {places}")
    keys = [path.relative_to(root).as_posix() for path, _, _ in found]
    for key in keys:
        if not key.isprintable():  # bytes that are not UTF-8, control characters
            raise UserError(f"{name}: the file name {key!r} is not plain text: rename the file")
    class_names = sorted({class_name for _, class_name, _ in found})
    number = {class_name: label for label, class_name in enumerate(class_names)}
    table = Dataset.from_dict(
        {"image": [{"bytes": None, "path": str(path.absolute())} for path, _, _ in found]},
        features=Features({"image": Image(decode=False)}),
    )
    source = RawDataset(
        name=name,
        rows=Rows(table, [""] * len(found), keys),
        labels=np.array([number[class_name] for _, class_name, _ in found], dtype=np.int64),
        is_test=np.array([test for _, _, test in found]) if len(parts) == 2 else None,
        class_names=class_names,
        captions=NO_CAPTIONS,
        notes=notes,
    )
    if not captions_given:
        _take_captions_beside(root, source)
    return source


def _shown(paths: Sequence[Path], root: Path, most: int = 5) -> str:
    return summarize([path.relative_to(root).as_posix() for path in paths], most)


def _parts(root: Path) -> tuple[list[Path], list[str]]:
    """The folder of class folders, or those for training and for testing; and notes."""

    def holds_classes(folder: Path) -> bool:
        return folder.is_dir() and bool(_folders(folder)) and not _image_files(folder)

    train = next((root / name for name in TRAIN_NAMES if holds_classes(root / name)), None)
    if train is None:  # a class may be called "train": then images lie in it
        astray = [path.name for path in _image_files(root)]
        return [root], [f"not used, as in no class folder: {summarize(astray)}"] if astray else []
    tests = [root / name for name in TEST_NAMES if holds_classes(root / name)]
    parts = [train, *tests[:1]]
    unused = [folder.name for folder in _folders(root) if folder not in parts]
    return parts, [f"not used: {summarize(unused)}"] if unused else []


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _image_files(folder: Path) -> list[Path]:
    known = [path for path in _visible(folder) if path.suffix.lower() in images.SUFFIXES]
    return [path for path in known if path.is_file()]


def _images_below(folder: Path, above: tuple[Path, ...] = ()) -> list[Path]:
    """Images in the folders of a folder, at any depth; a link back upwards is not followed."""
    above = (*above, folder.resolve())
    inner = [path for path in _folders(folder) if path.resolve() not in above]
    return [file for path in inner for file in (*_image_files(path), *_images_below(path, above))]


def _nothing_in(root: Path, name: str) -> str:
    if not any(root.iterdir()):
        return f"the folder {name} is empty. {_LAYOUTS}"
    if _image_files(root):
        return f"{name}: the images are directly in the folder, so they have no classes. {_LAYOUTS}"
    for folder in _folders(root):
        if any(_image_files(inner) for inner in _folders(folder)):
            return f"{name} holds no class folders, but {folder} does: give that one"
    return f"the folder {name} holds no images and no Parquet. {_LAYOUTS}"


def _take_captions_beside(root: Path, source: RawDataset) -> None:
    """Use the captions file in the folder of images, if there is one."""
    own = [path for suffix in SUFFIXES if (path := root / f"captions{suffix}").is_file()]
    if len(own) > 1:
        raise UserError(
            f"{source.name} holds {summarize([path.name for path in own])}: "
            "choose one with --captions"
        )
    for path in (root / "metadata.csv", root / "metadata.jsonl"):
        if path.is_file() and not own:
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
