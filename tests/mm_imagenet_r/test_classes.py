from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mm_imagenet_r.classes import classes, missing, strangers, style
from tests.standin import true_names


@pytest.fixture(scope="module")
def names(shared_data: Callable[[str], Path]) -> list[str]:
    return true_names(shared_data("coda_split"))


def test_the_true_names_are_complete(names: list[str]) -> None:
    assert len(names) == 30_000
    assert missing(names) == []
    assert strangers(names) == []
    counts = Counter(name.partition("/")[0] for name in names)
    assert [counts[cls.wnid] for cls in classes()] == [cls.images for cls in classes()]
    assert len({style(name) for name in names}) == 15


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (["n01443537/art_1.jpg"], ["n01443537/art_1.jpg"]),  # a gap
        (["n01443537/art_12.jpg"], ["1 more images of n01443537 (goldfish)"]),  # the last of them
        (["n02109525/"], ["all 51 images of n02109525 (saint_bernard)"]),
    ],
)
def test_what_is_missing_is_named(names: list[str], lost: list[str], said: list[str]) -> None:
    kept = [name for name in names if not name.startswith(tuple(lost))]
    assert len(kept) < len(names)
    assert missing(kept) == said


def test_classes_are_sorted_and_known(shared_data: Callable[[str], Path]) -> None:
    table = shared_data("imagenet_r_classes_full.csv").read_text().splitlines()
    for cls, row in zip(classes(), csv.DictReader(table), strict=True):
        assert cls.wnid == row["wnid"]
        assert cls.name == row["name"]
        assert cls.imagenet_index == int(row["imagenet1k_index"])
        assert cls.coda_label == int(row["coda_label"])
        assert cls.images == int(row["n_images"])
    identifiers = [cls.wnid for cls in classes()]
    assert identifiers == sorted(identifiers)
