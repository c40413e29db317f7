"""What is known of published data sets without having them: hashes, counts, labels by file name.

`known.json` is written by `python -m benchmark.data.known`. Results are verified against it, so
that their labels, sizes and hashes need not be believed.
"""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmark.data.identity import KNOWN, shipped
from mm_imagenet_r.catalog import CATALOG, MM_IMAGENET_R

if TYPE_CHECKING:
    from benchmark.data import Samples

#: Frozen: mean bytes of an untouched sample of `mini-1` for results of schema 1.
_UNIT_SCHEMA_1: Final = 4154.4295
#: The schema since which the bytes of a sample include its framing, as they do now.
_FRAMED: Final = "2"
#: Of the list that CODA-Prompt publishes; it is not shipped here.
_CODA_SHA256: Final = "9e7f6243e605e2223739b158f26e442480eb940f9e24508bf6c02c939efdcc26"
#: Of the weights that are shipped, as `Method.provenance` reports them.
_BACKBONES: Final = {
    "tiny": "33adba8f6e96f1c550ec7afc22ecac5330c319897d60a280cad2f9d4a559b87f",
    "tiny-1": "fe776856cede325d7a61f93344d563b4dc0f18508d0bc11ab1f5434c748813b7",
}


@dataclass(frozen=True)
class Part:
    """One way of dividing a data set: which split, and evaluated on `test` or `validation`."""

    split_sha256: str  # hash of the file names evaluated on
    train: tuple[int, ...] = ()  # training samples per class, in the order of labels; () if unknown
    test: tuple[int, ...] = ()  # samples evaluated on, likewise
    units: tuple[tuple[int, float], ...] = ()  # mean bytes of an untouched sample, by schema

    def unit(self, schema: int) -> float | None:
        """Mean bytes of an untouched training sample; None if unknown."""
        known = [value for least, value in self.units if least <= schema]
        return known[-1] if known else None


@dataclass(frozen=True)
class Known:
    """A data set."""

    name: str  # as `--dataset` names it
    folders: tuple[str, ...]  # folder of the images of each class, in the order of labels
    class_names: tuple[str, ...]  # likewise
    data_sha256: str  # hash of all data; "" if unknown, as it depends on images or captions
    captions_id: str  # identity of the captions; "" if unknown
    part: Part | None  # the division in question; None if that is unknown

    def label(self, file_name: str) -> int | None:
        """The data set's label of an image; None if it has no such folder."""
        folder = file_name.partition("/")[0]
        return self.folders.index(folder) if folder in self.folders else None


@functools.lru_cache(maxsize=64)
def known(name: str, split: str, evaluated: str, split_seed: int = 0) -> Known | None:
    """What is known of a data set and of one way of dividing it; None where nothing is.

    `name` is as `--dataset` has it, `split` as a result has it, `evaluated` is test or validation.
    """
    if name.partition(":")[0] == MM_IMAGENET_R:
        return _imagenet_r(name, split, evaluated, split_seed)
    if (found := shipped().get(name)) is None:
        return None
    part = None
    if evaluated == "test" or (evaluated in found["parts"] and split_seed == 0):
        facts = found["parts"][evaluated]
        units = tuple((int(schema), unit) for schema, unit in sorted(facts["units"].items()))
        part = Part(facts["split_sha256"], tuple(facts["train"]), tuple(facts["test"]), units)
    names = tuple(found["folders"]), tuple(found["class_names"])
    return Known(name, *names, found["data_sha256"], found["captions_id"], part)


def namesake(data_sha256: str, split_sha256: str) -> tuple[str, str] | None:
    """The known data set and its split that a hash of data or of a test part belongs to, if any.

    The names are as a result has them; the split is "" where the data set has only one.
    """
    for name, found in shipped().items():
        test = found["parts"]["test"]["split_sha256"]
        if data_sha256 == found["data_sha256"] or split_sha256 == test:
            return name, ""
    for split in ("seed42", "coda"):
        found = known(MM_IMAGENET_R, split, "test")
        if found and found.part and found.part.split_sha256 == split_sha256:
            return MM_IMAGENET_R, split
    return None


def backbone_named(sha256: str) -> str | None:
    """The pretrained model of this program that has a hash."""
    return next((name for name, own in _BACKBONES.items() if own == sha256), None)


def backbone_sha256(name: str) -> str | None:
    """Hash of a pretrained model that is part of this program; None for any other."""
    return _BACKBONES.get(name)


def _imagenet_r(name: str, split: str, evaluated: str, split_seed: int) -> Known:
    """MM-ImageNet-R, whose file names and seeded splits follow from the table of its classes."""
    from mm_imagenet_r.classes import classes, image_names
    from mm_imagenet_r.splits import list_sha256, published_test, stratified_cut

    names, table = image_names(), classes()
    folders = tuple(one.wnid for one in table)
    part = None
    test = published_test(split)
    if test is None and split == "coda" and evaluated == "test":
        part = Part(_CODA_SHA256)
    elif test is not None:
        train = [key for key in names if key not in test]
        if evaluated == "validation":
            from benchmark.data import VALIDATION_FRACTION

            owners = [key.partition("/")[0] for key in train]
            held = stratified_cut(owners, train, VALIDATION_FRACTION, split_seed)
            test = {key for key, out in zip(train, held, strict=True) if out}
            train = [key for key in train if key not in test]
        part = Part(list_sha256(test), _counts(train, folders), _counts(test, folders))
    return Known(name, folders, tuple(one.name.replace("_", " ") for one in table), "", "", part)


def _counts(names: Iterable[str], folders: Sequence[str]) -> tuple[int, ...]:
    counts = Counter(name.partition("/")[0] for name in names)
    return tuple(counts[folder] for folder in folders)


def measure(name: str) -> dict[str, Any]:
    """The facts of a data set that needs no files, as `known.json` holds them."""
    from benchmark.data import open_data
    from benchmark.plan import whole_bytes

    def counts(samples: Samples) -> list[int]:
        of_label = Counter(samples.labels.tolist())
        return [of_label[label] for label in range(data.num_classes)]

    parts: dict[str, Any] = {}
    for evaluated in ("test", "validation"):
        data = open_data(name, validation=evaluated == "validation")
        costs = whole_bytes(data)
        units = {_FRAMED: sum(costs) / len(costs)}
        if name == "mini-1" and evaluated == "test":
            units["1"] = _UNIT_SCHEMA_1
        parts[evaluated] = {
            "split_sha256": data.split_sha256,
            "train": counts(data.train),
            "test": counts(data.test),
            "units": dict(sorted(units.items())),
        }
    keys = zip(data.train.labels.tolist(), data.train.file_names, strict=True)
    folders = {label: key.partition("/")[0] for label, key in keys}
    return {
        "data_sha256": data.data_sha256,
        "captions_id": data.captions_id,
        "class_names": list(data.class_names),
        "folders": [folders[label] for label in sorted(folders)],
        "parts": parts,
    }


def main() -> int:
    """Write known.json."""
    from mm_imagenet_r.files import write_atomic

    facts = {name: measure(name) for name, entry in CATALOG.items() if not entry.needs}
    text = json.dumps(facts, ensure_ascii=False) + "\n"
    write_atomic(Path(__file__).with_name(KNOWN), text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
