"""Training and test parts by name, and parts for tuning.

ImageNet-R has no official split, and numbers on different splits cannot be compared. So each has a
name and a hash, to be printed and stored with every result:

* `seed42`: the rule of the PyTorch port of DualPrompt at its default seed, which the published log
  of PILOT was made on. It needs no file and is the default.
* `coda`: the list that CODA-Prompt publishes and Mammoth uses.
* `seeded`, `seeded:7`: a fifth of each class, by a hash of seed and file name.
* `folder`: what lies in folders (or Parquet files) called train and test.

All but `folder` cut the 30,000 published images: where some are absent, the others lie where they
always do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.classes import image_names, unknown_names
from mm_imagenet_r.errors import UserError, did_you_mean, summarize

if TYPE_CHECKING:
    from mm_imagenet_r.archive import Images

DEFAULT: Final = "seed42"
#: Rules that cut the published images, whichever of them are there.
CUTS: Final = (DEFAULT, "coda", "seeded")
NAMES: Final = (*CUTS, "folder")
TEST_FRACTION: Final = 0.2

_CODA_URL: Final = (
    "https://raw.githubusercontent.com/GT-RIPL/CODA-Prompt/"
    "6417d4f68754be68b697c7ca2323ee61e791e1a3/dataloaders/splits/"
)
_CODA_FILE: Final = "imagenet-r_test.yaml"
_CODA_MD5: Final = "3ea5a3aa2e96578874254d4ee87321b3"
_CODA_PREFIX: Final = "- data/imagenet-r/"


@dataclass(frozen=True, slots=True)
class Split:
    """A cut of all images in two.

    Attributes:
        name: Of the rule.
        train: Sorted keys of the training images.
        test: Sorted keys of the test images.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of the file list."""
        return list_sha256(self.test)


def list_sha256(test: Iterable[str]) -> str:
    """Hash by which splits are told apart: of the test images' sorted keys, joined by newlines.

    >>> list_sha256(["b/art_0.jpg", "a/art_0.jpg"])[:8]
    '3dabbb99'
    """
    return hashlib.sha256("\n".join(sorted(test)).encode()).hexdigest()


def split(
    images: Images,
    name: str | None = None,
    *,
    lists: Sequence[Path] = (),
    partial: bool = False,
) -> Split:
    """Cut images by a named rule.

    Args:
        images: What to cut.
        name: See the top of this file; if not given, `folder` where there are such folders and
            else `seed42`.
        lists: Folders in which the list of `coda` may lie; it is downloaded otherwise.
        partial: Images may be missing: the split is then the same one without them.

    Raises:
        UserError: There is no such rule, its list cannot be had, or the images are not those that
            it cuts.
    """
    in_folders = {key for key in images.names if images.split_of(key) is not None}
    if name is None:
        name = "folder" if in_folders else DEFAULT
    name = canonical(name)
    rule, _, seed = name.partition(":")
    if rule == "folder":
        if len(in_folders) < len(images):
            raise UserError(
                f"split 'folder': {images.path} has no folders train and test that all images lie "
                f"in. Choose another split: {', '.join(CUTS)}"
            )
        test = {key for key in images.names if images.split_of(key) == "test"}
    else:
        _require_published(images, rule, partial)
        if rule == "seed42":
            test = _seed42()
        elif rule == "coda":
            test = _coda(lists)
        else:
            test = _seeded(int(seed or 0))
    train = tuple(key for key in images.names if key not in test)
    return Split(name, train, tuple(key for key in images.names if key in test))


def canonical(name: str) -> str:
    """Return the name of a split in its one way of writing.

    Raises:
        UserError: There is no such rule.

    >>> canonical("coda"), canonical("seeded:007"), canonical("seeded:0")
    ('coda', 'seeded:7', 'seeded')
    """
    rule, _, seed = name.partition(":")
    if rule not in NAMES or (seed and not (rule == "seeded" and seed.isdecimal())):
        raise UserError(f"no split {name!r} of ImageNet-R: {did_you_mean(name, NAMES)}")
    return f"{rule}:{int(seed)}" if int(seed or 0) else rule


def published_test(name: str) -> set[str] | None:
    """Keys of the test images of a split of all published images; None if it takes a file or more.

    >>> len(published_test("seed42")), published_test("coda")
    (6000, None)
    """
    rule, _, seed = name.partition(":")
    if rule == "seed42":
        return _seed42()
    return _seeded(int(seed or 0)) if rule == "seeded" and (seed or "0").isdecimal() else None


def _require_published(images: Images, rule: str, partial: bool) -> None:
    if wrong := unknown_names(images.names):
        raise UserError(
            f"split {rule!r} cuts ImageNet-R, and {images.path} holds other images: "
            f"{summarize(wrong)}. Remove what does not belong there"
        )
    if not partial and (absent := sorted(set(image_names()).difference(images.names))):
        raise UserError(
            f"split {rule!r} names {len(absent):,} images that {images.path} lacks: "
            f"{summarize(absent)}. Complete the images, or do without them (partial=True, "
            "--partial)"
        )


def _seed42() -> set[str]:
    """The last fifth of a permutation of the sorted names (dualprompt-pytorch's random_split)."""
    names = image_names()
    order = torch_randperm(len(names), 42)
    return {names[i] for i in order[int((1 - TEST_FRACTION) * len(names)) :]}


def _seeded(seed: int) -> set[str]:
    names = image_names()
    held_out = stratified_cut([n.partition("/")[0] for n in names], names, TEST_FRACTION, seed)
    return {name for name, out in zip(names, held_out, strict=True) if out}


def torch_randperm(n: int, seed: int) -> list[int]:
    """Return `torch.randperm(n)` after `torch.manual_seed(seed)` on a CPU, without torch.

    Both libraries draw from the Mersenne twister MT19937 and fill it from a seed in the same way.
    torch swaps place i with place i + word % (n - i), taking one 32-bit word for each place but
    the last (`randperm_cpu` in ATen/native/TensorFactories.cpp).

    >>> torch_randperm(6, 42)
    [0, 3, 2, 4, 1, 5]
    """
    import numpy as np  # here, as the package must be quick to import

    words = np.frombuffer(np.random.RandomState(seed).bytes(4 * max(0, n - 1)), dtype="<u4")
    order = list(range(n))
    for i, word in enumerate(words.tolist()):
        j = i + word % (n - i)
        order[i], order[j] = order[j], order[i]
    return order


def _coda(folders: Sequence[Path]) -> set[str]:
    """Keys in the published list: local, downloaded before, or downloaded now."""
    from mm_imagenet_r.fetch import fetch
    from mm_imagenet_r.tar_index import cache_folder

    cached = cache_folder() / "coda" / _CODA_FILE
    places = [folder / _CODA_FILE for folder in (*folders, cached.parent)]
    path = next((place for place in places if place.is_file()), cached)
    if not path.exists():
        if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
            raise UserError(
                f"split 'coda' needs {_CODA_FILE} and HF_HUB_OFFLINE forbids the download: put it "
                f"beside the images. It lies at {_CODA_URL}{_CODA_FILE}"
            )
        fetch(_CODA_URL + _CODA_FILE, path, md5=_CODA_MD5)
    data = path.read_bytes()
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != _CODA_MD5:
        raise UserError(
            f"{path} is not the published list (md5 {found}, published {_CODA_MD5}): delete it and "
            "it is downloaded, or put the published one there"
        )
    lines = data.decode().splitlines()
    return {line.removeprefix(_CODA_PREFIX) for line in lines if line.startswith(_CODA_PREFIX)}


def stratified_cut(
    classes: Sequence[Any], keys: Sequence[str], fraction: float, seed: int
) -> list[bool]:
    """Choose the samples of each class that are held out.

    Each class is put in the order of a hash of seed and key, and the first are taken: the choice
    for a class depends on nothing but its own keys and the seed, not on how they are listed.

    Args:
        classes: (n,) class of each sample.
        keys: (n,) unique names.
        fraction: Share held out of each class: rounded, at least one, never all.
        seed: Another seed gives another choice.

    Returns:
        (n,) True where a sample is held out.

    >>> stratified_cut([0, 0, 0, 0, 0, 1, 1], list("abcdefg"), 0.4, seed=0)
    [False, True, True, False, False, False, True]
    >>> stratified_cut([1, 0, 0, 0, 0, 0, 1], list("gbcdeaf"), 0.4, seed=0)
    [True, True, True, False, False, False, False]
    """
    ranks = [hashlib.sha256(f"{seed}/{key}".encode()).digest() for key in keys]
    members: dict[Any, list[int]] = {}
    for index, of_class in enumerate(classes):
        members.setdefault(of_class, []).append(index)
    held_out = [False] * len(keys)
    for indices in members.values():
        count = min(max(1, int(fraction * len(indices) + 0.5)), len(indices) - 1)
        for index in sorted(indices, key=ranks.__getitem__)[:count]:
            held_out[index] = True
    return held_out


def hold_out(dataset: Any, fraction: float = 0.2, seed: int = 0) -> Any:
    """Cut a validation part from the training part of a loaded data set, for tuning.

    Args:
        dataset: A `DatasetDict` with a split `train` that has the columns `label` and
            `file_name`. It is not copied: the parts are views.
        fraction: Share of each class that is held out.
        seed: Another seed gives another choice.

    Returns:
        A `DatasetDict` with `train` cut in `train` and `validation`, and the other splits as they
        are.

    Raises:
        UserError: There is no training part, or one of that form.

    >>> from datasets import Dataset, DatasetDict
    >>> train = Dataset.from_dict({"label": [0, 0, 1, 1], "file_name": list("abcd")})
    >>> {name: part["file_name"][:] for name, part in hold_out(DatasetDict(train=train)).items()}
    {'train': ['a', 'd'], 'validation': ['b', 'c']}
    """
    from datasets import DatasetDict

    if not isinstance(dataset, Mapping) or "train" not in dataset or "validation" in dataset:
        raise UserError(
            "hold_out cuts the split 'train' of a DatasetDict without 'validation': load the data "
            "set without naming a split"
        )
    train = dataset["train"]
    if not hasattr(train, "select") or not {"label", "file_name"} <= set(train.column_names):
        raise UserError(
            "hold_out needs a split 'train' that is not streamed and has the columns label and "
            "file_name: load the data set without streaming, and rename its columns"
        )
    if not 0 < fraction < 1:
        raise UserError(f"hold_out: the fraction lies between 0 and 1, not {fraction}")
    columns = train.select_columns(["label", "file_name"]).with_format(None)
    held_out = stratified_cut(columns["label"][:], columns["file_name"][:], fraction, seed)
    parts = {
        "train": train.select([i for i, out in enumerate(held_out) if not out]),
        "validation": train.select([i for i, out in enumerate(held_out) if out]),
    }
    return DatasetDict({**parts, **{k: v for k, v in dataset.items() if k != "train"}})
