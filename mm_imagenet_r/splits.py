"""Training and test parts by name, and parts for tuning.

ImageNet-R has no official split, and numbers on different splits cannot be compared. So each has a
name and a hash, which are printed and stored with every result.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.classes import image_names, require_imagenet_r
from mm_imagenet_r.errors import UserError, did_you_mean, few
from mm_imagenet_r.reading import SETTINGS, read_bytes

if TYPE_CHECKING:
    from mm_imagenet_r.archive import Images

DEFAULT: Final = "seed42"
#: Rules that cut the published images, whichever of them are there.
CUTS: Final = (DEFAULT, "coda", "seeded")
NAMES: Final = (*CUTS, "folder")
TEST_FRACTION: Final = 0.2

#: Digits of the longest seed; Python refuses to read thousands of them.
_SEED: Final = 100
_CODA_URL: Final = (
    "https://raw.githubusercontent.com/GT-RIPL/CODA-Prompt/"
    "6417d4f68754be68b697c7ca2323ee61e791e1a3/dataloaders/splits/"
)
_CODA_FILE: Final = "imagenet-r_test.yaml"
_CODA_MD5: Final = "3ea5a3aa2e96578874254d4ee87321b3"
_CODA_PREFIX: Final = "- data/imagenet-r/"


@dataclass(frozen=True, slots=True)
class Split:
    """A division of all images in two."""

    name: str  # of the rule
    train: tuple[str, ...]  # sorted keys
    test: tuple[str, ...]  # sorted keys

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
    """Split images by a named rule: by default `folder` if there are such folders, else `seed42`.

    * `seed42`: the rule of the PyTorch port of DualPrompt at its default seed, which the published
      log of PILOT was made on.
    * `coda`: the list that CODA-Prompt publishes and Mammoth uses. It is downloaded unless one of
      the folders `lists` holds it.
    * `seeded`, `seeded:7`: a fifth of each class, by a hash of seed and file name.
    * `folder`: what is in folders (or Parquet files) called train and test.

    All but `folder` split the 30,000 published images: where some are absent, which they may be if
    `partial`, the others stay in the part they belong to.

    Raises:
        UserError: There is no such rule, its list is not available, or the images are not those
            that it splits.
    """
    in_folders = {key for key in images.names if images.split_of(key) is not None}
    if name is None:
        name = "folder" if in_folders else DEFAULT
    name = canonical(name)
    rule = name.partition(":")[0]
    if rule == "folder":
        if len(in_folders) < len(images):
            raise UserError(
                f"split 'folder': {images.path} has no folders train and test that hold all "
                f"images. Choose another split: {', '.join(CUTS)}"
            )
        test = {key for key in images.names if images.split_of(key) == "test"}
    else:
        require_imagenet_r(images, partial=partial)
        test = _coda(lists) if rule == "coda" else _computed(name)
    train = tuple(key for key in images.names if key not in test)
    return Split(name, train, tuple(key for key in images.names if key in test))


def canonical(name: str) -> str:
    """Return the name of a split in its canonical form; UserError if there is no such rule.

    >>> canonical("coda"), canonical("seeded:007"), canonical("seeded:0")
    ('coda', 'seeded:7', 'seeded')
    """
    rule, _, seed = name.partition(":")
    if rule not in NAMES or (seed and not (rule == "seeded" and _is_seed(seed))):
        raise UserError(f"no split {few(repr(name))} of ImageNet-R: {did_you_mean(name, NAMES)}")
    return f"{rule}:{int(seed)}" if int(seed or 0) else rule


def published_test(name: str) -> set[str] | None:
    """Keys of the test images of a split of all published images; None if that takes a file.

    >>> len(published_test("seed42")), published_test("coda")
    (6000, None)
    """
    rule, _, seed = name.partition(":")
    known = rule in ("seed42", "seeded") and _is_seed(seed or "0")
    return _computed(name) if known else None


def _is_seed(text: str) -> bool:
    return text.isdecimal() and len(text) <= _SEED


def _computed(name: str) -> set[str]:
    """Keys of the test images of `seed42` or a seeded split."""
    names, (rule, _, seed) = image_names(), name.partition(":")
    if rule == "seed42":  # the last fifth of a permutation, dualprompt-pytorch's random_split
        order = torch_randperm(len(names), 42)
        return {names[i] for i in order[int((1 - TEST_FRACTION) * len(names)) :]}
    classes = [name.partition("/")[0] for name in names]
    held_out = stratified_cut(classes, names, TEST_FRACTION, int(seed or 0))
    return set(itertools.compress(names, held_out))


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
    from mm_imagenet_r.caches import cache_folder
    from mm_imagenet_r.fetch import fetch

    cached = cache_folder() / "coda" / _CODA_FILE
    places = [folder / _CODA_FILE for folder in (*folders, cached.parent)]
    path = next((place for place in places if os.path.lexists(place)), cached)
    if not os.path.lexists(path):
        for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            if os.environ.get(variable, "0") not in ("", "0"):
                raise UserError(
                    f"split 'coda' needs {_CODA_FILE}, and {variable} forbids the download: put "
                    f"it beside the images. It is at {_CODA_URL}{_CODA_FILE}"
                )
        fetch(_CODA_URL + _CODA_FILE, path, most=SETTINGS, md5=_CODA_MD5)
    try:
        data = read_bytes(path, SETTINGS)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): put the published list there, or "
            "delete it to download it again"
        ) from error
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != _CODA_MD5:
        raise UserError(
            f"{path} is not the published list (md5 {found}, published {_CODA_MD5}): delete it "
            "to download it again"
        )
    lines = data.decode().splitlines()
    return {line.removeprefix(_CODA_PREFIX) for line in lines if line.startswith(_CODA_PREFIX)}


def stratified_cut(
    classes: Sequence[Any], keys: Sequence[str], fraction: float, seed: int
) -> list[bool]:
    """Choose the samples of each class that are held out.

    Each class is sorted by a hash of seed and key, and the first are taken: the choice for a class
    depends only on its own keys and the seed, not on the order in which they are listed.
    `fraction` of each class is held out: rounded, at least one, never all. Takes (n,) classes and
    unique keys, and returns (n,) True where a sample is held out.

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
    """Split a validation part off the training part of a loaded data set, for tuning.

    In the returned `DatasetDict` `train` is divided into views `train` and `validation`, which has
    `fraction` of each class; another seed gives another choice.

    Raises:
        UserError: There is no `train` with the columns `label` and `file_name`.

    >>> from datasets import Dataset, DatasetDict
    >>> train = Dataset.from_dict({"label": [0, 0, 1, 1], "file_name": list("abcd")})
    >>> {name: part["file_name"][:] for name, part in hold_out(DatasetDict(train=train)).items()}
    {'train': ['a', 'd'], 'validation': ['b', 'c']}
    """
    from datasets import DatasetDict

    whole = isinstance(dataset, Mapping) and "validation" not in dataset
    train: Any = dataset.get("train") if whole else None
    if not hasattr(train, "select") or not {"label", "file_name"} <= set(train.column_names):
        raise UserError(
            "hold_out needs a DatasetDict without 'validation' and with a split 'train' that has "
            "the columns label and file_name: load the data set without naming a split and "
            "without streaming, and rename its columns"
        )
    if not 0 < fraction < 1:
        raise UserError(f"hold_out: give a fraction between 0 and 1, not {fraction}")
    columns = train.select_columns(["label", "file_name"]).with_format(None)
    held_out = stratified_cut(columns["label"][:], columns["file_name"][:], fraction, seed)
    rows = {out: [i for i, held in enumerate(held_out) if held == out] for out in (False, True)}
    parts = {"train": train.select(rows[False]), "validation": train.select(rows[True])}
    return DatasetDict({**parts, **{k: v for k, v in dataset.items() if k != "train"}})
