"""MM-ImageNet-R: the images of ImageNet-R with a set of captions, split into train and test.

A data folder holds the images in any form that `mm_imagenet_r.archive` reads, and `captions/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.archive import Images
from mm_imagenet_r.classes import classes, image_names, require_imagenet_r, style
from mm_imagenet_r.errors import UserError, did_you_mean, summarize
from mm_imagenet_r.folders import expanded
from mm_imagenet_r.open_images import open_images
from mm_imagenet_r.source import FileSource, row
from mm_imagenet_r.splits import Split, split

if TYPE_CHECKING:
    from mm_imagenet_r.captions.files import Captions

MASKED: Final = "-masked"

#: To be raised when the same files are to give other rows: cached copies are then void.
_RULES: Final = 2

#: Share of the images that may be without a caption.
_EMPTY: Final = 0.01
#: Metadata of captions that are not about their making, such as those an export adds.
_NOT_MAKING: Final = {
    "fingerprint", "captions", "caption_set", "empty_captions", "split", "split_sha256",
    "description",
}  # fmt: skip
#: What the description says of the making.
_DESCRIBED: Final = ("captions", "caption_set", "model", "revision", "prompt", "empty_captions")


@dataclass(frozen=True, slots=True)
class ImageNetR(FileSource):
    """The images of a data folder with one of its caption sets."""

    images: Images
    captions: Mapping[str, str]  # caption of each image, by its key
    caption_facts: Mapping[str, str]  # name of the caption set, and what is known of its making
    caption_file: Path  # where the captions were read, before any masking
    split: Split
    hashes: Mapping[str, str]  # SHA-256 of the file each caption was made of, where it is known

    def description(self) -> str:  # noqa: D102 - these are Source's
        making = {key: self.caption_facts[key] for key in _DESCRIBED if key in self.caption_facts}
        facts = {**making, "split": self.split.name, "split_sha256": self.split.sha256}
        sentences = ["; ".join(f"{key} {value}" for key, value in facts.items())]
        if absent := self.num_absent():
            sentences.append(f"{absent:,} images are absent, the others are split as always")
        return f"ImageNet-R with captions. {'. '.join([*sentences, *self.images.notes])}."

    def provenance(self) -> dict[str, str]:  # noqa: D102
        return {**self.caption_facts, "split": self.split.name, "split_sha256": self.split.sha256}

    def classes(self) -> dict[str, str]:  # noqa: D102
        return {cls.wnid: cls.name.replace("_", " ") for cls in classes()}

    def identity(self) -> str:  # noqa: D102
        facts = [_RULES, self.images.identity, self.provenance(), self.leaves_out]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for name in self.images.names:
            digest.update(f"{name}\0{self.captions[name]}\n{self.hashes.get(name, '')}".encode())
        return digest.hexdigest()

    def listed(self, split: str, labels: Collection[int]) -> Iterator[dict[str, Any]]:
        """Yield rows without images in the order of the sorted keys, as their labels are."""
        known = {cls.wnid: (label, cls) for label, cls in enumerate(classes())}
        names = self.classes()
        for name in self.split.train if split == "train" else self.split.test:
            label, cls = known[name.partition("/")[0]]
            if label in labels:
                caption, index = self.captions[name], cls.imagenet_index
                yield row(name, label, caption, names[cls.wnid], index, style(name))

    def read(self, split: str, file_name: str) -> bytes:  # noqa: D102
        from mm_imagenet_r.captions.files import other_images

        data = self.images.read(file_name)
        if self.hashes.get(file_name) not in (None, hashlib.sha256(data).hexdigest()):
            raise other_images(self.caption_file, self.place, [file_name])
        return data

    def num_absent(self) -> int:  # noqa: D102
        return len(image_names()) - len(self.images)

    def captions_read(self) -> Captions:  # noqa: D102
        from mm_imagenet_r.captions.files import read_captions

        return read_captions(self.caption_file)


def find_imagenet_r(
    captions: str, data_dir: str, split_name: str | None = None, *, partial: bool = False
) -> ImageNetR:
    """Join the images of a data folder with one of its caption sets.

    A caption set is a file or folder in `captions/`. `NAME-masked` has its captions without the
    names of the own class; of several sets in one folder `NAME@<start of the fingerprint>` names
    one, and `NAME` the only one that has captions of all images. With `partial` images may be
    missing or broken, and any number of those there are without a caption: they must all be in the
    caption set.

    Raises:
        UserError: There is no such folder or caption set, images or captions are missing, ...
    """
    folder = expanded(data_dir).absolute()
    path, wanted, masked = _caption_set(captions, folder)  # before the images, which take longer
    images = open_images(folder)
    require_imagenet_r(images, partial=partial)
    path = _one_set(path, wanted, images)
    texts, facts, hashes = _captions(path, masked, images, partial)
    cut = split(images, split_name, lists=[folder, folder / "splits"], partial=partial)
    facts = {"captions": captions, **facts}
    return ImageNetR(images.path, partial, images, texts, facts, path, cut, hashes)


def caption_sets(folder: Path) -> dict[str, list[Path]]:
    """Return the caption sets of a data folder by their names: one each, if all is well."""
    from mm_imagenet_r.captions.files import SUFFIXES

    place = folder / "captions"
    sets: dict[str, list[Path]] = {}
    for path in sorted(place.iterdir()) if place.is_dir() else []:
        if not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() in SUFFIXES):
            sets.setdefault(path.name if path.is_dir() else path.stem, []).append(path)
    return sets


def _caption_set(name: str, folder: Path) -> tuple[Path, str, bool]:
    """Where the captions of a configuration are, which of several, and whether to mask them."""
    if not folder.is_dir():
        raise UserError(
            f"data_dir {folder} is not a folder: give the one that holds imagenet-r.tar (or the "
            "unpacked images) and captions/"
        )
    sets = caption_sets(folder)
    plain = name.removesuffix(MASKED)
    base, _, wanted = plain.rpartition("@")
    for called, fingerprint in ((name, ""), (plain, ""), (base, wanted)):
        if len(found := sets.get(called, [])) > 1:
            raise UserError(
                f"caption set {called!r} may be {' or '.join(map(str, found))}: keep one of them, "
                "or rename the others"
            )
        if found and (called in (name, plain) or found[0].is_dir()):
            return found[0], fingerprint, called != name and plain != name
    known = did_you_mean(plain, sets) if sets else "there is none"
    raise UserError(
        f"no caption set {plain!r} in {folder / 'captions'}: {known}. Make one with "
        "python -m mm_imagenet_r.captions, or put a file with the columns file_name and caption "
        f"there: {plain}.parquet, .csv or .jsonl"
    )


def _one_set(path: Path, wanted: str, images: Images) -> Path:
    """The caption set whose fingerprint begins as wanted; else the one that has all images."""
    from mm_imagenet_r.captions.files import covers, described, finished_sets

    sets = finished_sets(path) if path.is_dir() else []
    if len(sets) < 2 and not wanted:
        return path  # a file, a set itself, or a folder of one
    if wanted:
        which = f"have a fingerprint that begins with {wanted!r}"
        found = [each for each in sets if each.name.startswith(wanted)]
    else:
        which = f"have captions of all {len(images):,} images"
        found = [each for each in sets if covers(each, images.names)]
    if len(found) == 1:
        return found[0]
    raise UserError(
        f"{len(found) or 'none'} of the {len(sets)} caption sets in {path} {which}. Name one: "
        + "; ".join(f"{path.name}@{each.name[:8]} ({described(each)})" for each in sets)
    )


def _captions(
    path: Path, masked: bool, images: Images, partial: bool
) -> tuple[dict[str, str], dict[str, str], Mapping[str, str]]:
    """Caption of each image, what is known of how they were made, and of which files."""
    from mm_imagenet_r.captions.files import identity_of, read_captions

    read = read_captions(path)
    # Images on which the captioner failed are known: they are not missing, their text is empty.
    texts = {**dict.fromkeys(read.failed, ""), **read.by_name}
    lacking = [key for key in images.names if key not in texts]
    if lacking:
        raise UserError(
            f"caption set {path} has no caption for {len(lacking):,} of {len(images):,} images: "
            f"{summarize(lacking)}. Its column file_name must hold names like these; finish the "
            "set with the command that started it, or add the rows"
        )
    captions = {key: texts[key] for key in images.names}
    empty = [key for key in images.names if not captions[key]]
    if len(empty) == len(images) or (len(empty) > _EMPTY * len(images) and not partial):
        name = next((key for key in empty if key in read.failed), empty[0])
        remedy = "Write the texts it lacks"
        if name in read.failed:
            remedy = "Repeat the command that made it, with --retry-errors"
        if len(empty) < len(images):
            remedy += ", or take these images without captions (partial=True, --partial)"
        raise UserError(
            f"caption set {path} has no caption for {len(empty):,} of {len(images):,} images, such "
            f"as {name} ({read.failed.get(name, 'an empty text')}). {remedy}"
        )
    if masked:
        from mm_imagenet_r.captions.leakage import mask

        captions = {key: mask(text, key.partition("/")[0]) for key, text in captions.items()}
    facts = {"caption_set": identity_of(captions, read.info.get("fingerprint"))}
    for key, value in read.info.items():
        if key not in _NOT_MAKING and value is not None:
            facts[key] = _readable(value)
    if empty:
        facts["empty_captions"] = str(len(empty))
    return captions, facts, read.hashes


def _readable(value: Any) -> str:
    """A setting as text; several by name as `--decoding` takes them.

    >>> _readable({"num_beams": 5, "do_sample": False})
    'do_sample=false num_beams=5'
    """
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_readable(value[key])}" for key in sorted(value))
    return value if isinstance(value, str) else json.dumps(value)
