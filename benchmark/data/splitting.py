"""Divide a data set into what is learned from and what is held out, class by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.data.raw_dataset import RawDataset
from benchmark.data.stored_images import IntArray
from mm_imagenet_r.errors import UserError, summarize
from mm_imagenet_r.splits import CUTS, TEST_FRACTION, stratified_cut


def held_out_for_test(
    source: RawDataset, good: NDArray[np.bool_], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Find the test samples: the source's own test part, or a share of each class.

    Takes (n,) whether each row is good, not to be left out; returns (n,) True for test samples.
    UserError if there is one class only, or a class without an image in one of the parts.
    """
    if len(source.class_names) < 2:
        raise UserError(
            f"{source.name} has only one class ({source.class_names[0]}): add a second one, or "
            "give the folder above"
        )
    kept = np.flatnonzero(good)
    if source.is_test is not None:
        _require(source, kept[~source.is_test[kept]], 1, "one training image")
        _require(source, kept[source.is_test[kept]], 1, "one test image")
        return source.is_test
    _require(source, kept, 2, "two images, one of them for testing")
    is_test = np.zeros(len(good), dtype=bool)
    is_test[kept] = _cut(source, kept, fraction, seed)
    return is_test


def split_name(source: RawDataset, fraction: float, seed: int) -> str:
    """What the division into training and test part is called, as in `mm_imagenet_r.splits`."""
    if source.split:
        return source.split
    if source.is_test is not None:
        return "as given"
    share = "" if fraction == TEST_FRACTION else f", {fraction:g} of each class"
    return f"seeded:{seed}{share}"


def refuse_unused(source: RawDataset, fraction: float, seed: int, *, validation: bool) -> None:
    """Raise UserError if options of a split are given where the source brings its own."""
    seed = 0 if validation else seed
    for option, given, unset in (
        ("--test-fraction", fraction, TEST_FRACTION),
        ("--split-seed", seed, 0),
    ):
        if source.is_test is not None and given != unset:
            raise UserError(
                f"{option} {given:g}: {source.name} has its own test part: leave the option out"
            )


def held_out_for_validation(
    source: RawDataset, train: IntArray, fraction: float, seed: int
) -> tuple[IntArray, IntArray]:
    """Divide training rows into those learned from and those evaluated on; UserError if too few."""
    _require(source, train, 2, "two training images, one of them for validation")
    held_out = _cut(source, train, fraction, seed)
    return train[~held_out], train[held_out]


def _cut(source: RawDataset, rows: IntArray, fraction: float, seed: int) -> NDArray[np.bool_]:
    """(n,) True where one of n rows is held out."""
    keys = [source.rows.file_names[row] for row in rows.tolist()]
    return np.array(stratified_cut(source.labels[rows].tolist(), keys, fraction, seed), dtype=bool)


def _require(source: RawDataset, rows: IntArray, least: int, what: str) -> None:
    counts = np.bincount(source.labels[rows], minlength=len(source.class_names))
    poor = [name for name, n in zip(source.class_names, counts, strict=True) if n < least]
    if poor:
        own = ""
        if source.split.partition(":")[0] in CUTS:
            own = (
                f". Split {source.split} is of the 30,000 published images; to split only those "
                "there are, give the folder of the class folders, --dataset FOLDER --captions FILE"
            )
        raise UserError(
            f"{source.name}: every class needs at least {what}, but {summarize(poor)} have fewer. "
            f"Add images to these classes or remove the classes{own}"
        )
