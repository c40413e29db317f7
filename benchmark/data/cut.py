"""Cut a data set into what is learned from and what is held out, class by class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.data import IntArray
from benchmark.data.messages import listing
from benchmark.data.sources import Source
from mm_imagenet_r.errors import UserError


def held_out_for_test(
    source: Source, good: NDArray[np.bool_], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Find the test samples: the source's own test part, or a cut.

    Args:
        source: n rows.
        good: (n,) False for rows that are left out.
        fraction: Share of each class that is cut off where the source has one part only.
        seed: Seed of the cut.

    Returns:
        (n,) True for test samples.

    Raises:
        UserError: Fewer than two classes, or a class without an image in one of the parts.
    """
    if len(source.class_names) < 2:
        raise UserError(
            f"{source.name} has one class alone ({source.class_names[0]}), and there is nothing to "
            "tell it from: add a second one, or give the folder above"
        )
    kept = np.flatnonzero(good)
    if source.is_test is not None:
        _require(source, kept[~source.is_test[kept]], 1, "one training image")
        _require(source, kept[source.is_test[kept]], 1, "one test image")
        return source.is_test
    _require(source, kept, 2, "two images, one of them for testing")
    is_test = np.zeros(len(good), dtype=bool)
    is_test[kept] = stratified_cut(source.labels[kept], _keys(source, kept), fraction, seed)
    return is_test


def held_out_for_validation(
    source: Source, train: IntArray, fraction: float, seed: int
) -> tuple[IntArray, IntArray]:
    """Cut training rows in two: what is still learned from, and what is evaluated on.

    Raises:
        UserError: A class has a single training image.
    """
    _require(source, train, 2, "two training images, one of them for validation")
    held_out = stratified_cut(source.labels[train], _keys(source, train), fraction, seed)
    return train[~held_out], train[held_out]


def stratified_cut(
    labels: Sequence[int] | IntArray, keys: Sequence[str], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Choose the samples of each class that are held out.

    Each class is put in the order of a hash of seed and key, and the first are taken: the choice
    for a class depends on nothing but its own file names and the seed, not on how they are listed.

    Args:
        labels: (n,) class of each sample.
        keys: (n,) unique names.
        fraction: Share held out of each class: rounded, at least one, never all.
        seed: Another seed gives another choice.

    Returns:
        (n,) True where a sample is held out.

    >>> stratified_cut([0, 0, 0, 0, 0, 1, 1], list("abcdefg"), 0.4, seed=0).tolist()
    [False, True, True, False, False, False, True]
    >>> stratified_cut([1, 0, 0, 0, 0, 0, 1], list("gbcdeaf"), 0.4, seed=0).tolist()
    [True, True, True, False, False, False, False]
    """
    held_out = np.zeros(len(keys), dtype=bool)
    ranks = [hashlib.sha256(f"{seed}/{key}".encode()).digest() for key in keys]
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(int(label), []).append(index)
    for indices in members.values():
        count = min(max(1, int(fraction * len(indices) + 0.5)), len(indices) - 1)
        held_out[sorted(indices, key=ranks.__getitem__)[:count]] = True
    return held_out


def _keys(source: Source, rows: IntArray) -> list[str]:
    return [source.rows.file_names[row] for row in rows.tolist()]


def _require(source: Source, rows: IntArray, least: int, what: str) -> None:
    counts = np.bincount(source.labels[rows], minlength=len(source.class_names))
    poor = [name for name, n in zip(source.class_names, counts, strict=True) if n < least]
    if poor:
        raise UserError(
            f"{source.name}: every class needs at least {what}; that is not so for "
            f"{listing(poor)}. Add images to these classes or remove the classes"
        )
