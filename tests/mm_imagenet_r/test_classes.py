from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mm_imagenet_r.classes import classes, image_names, missing, style, unknown_names


@pytest.fixture(scope="module")
def names(shared_data: Callable[[str], Path]) -> list[str]:
    """All names, sorted, as the lists of CODA-Prompt have them."""
    prefix = "- data/imagenet-r/"
    return sorted(
        line.strip().removeprefix(prefix)
        for part in ("train", "test")
        for line in (shared_data("coda_split") / f"imagenet-r_{part}.yaml").read_text().splitlines()
        if line.startswith(prefix)
    )


def test_the_true_names_are_complete(names: list[str]) -> None:
    assert list(image_names()) == names
    assert missing(names) == []
    assert unknown_names(names) == []
    counts = Counter(name.partition("/")[0] for name in names)
    assert [counts[cls.wnid] for cls in classes()] == [cls.images for cls in classes()]
    assert len({style(name) for name in names}) == 15


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (["n01443537/art_1.jpg"], ["n01443537/art_1.jpg"]),  # a gap
        (["n01443537/art_12.jpg"], ["n01443537/art_12.jpg"]),  # the last of them
        (["n02109525/"], ["all 51 images of n02109525 (saint_bernard)"]),
        (
            ["n01443537/art_", "n02109525/"],  # counted by class, those that are gone first
            [
                "all 51 images of n02109525 (saint_bernard)",
                "13 of 230 images of n01443537 (goldfish)",
            ],
        ),
    ],
)
def test_what_is_missing_is_named(names: list[str], lost: list[str], said: list[str]) -> None:
    kept = [name for name in names if not name.startswith(tuple(lost))]
    assert len(kept) < len(names)
    assert missing(kept) == said


def test_strangers_are_named() -> None:
    wrong = ["n01443537/art_13.jpg", "n01443537/cat.jpg", "cats/art_0.jpg", "n01443537/art_00.jpg"]
    assert unknown_names([*image_names(), *wrong]) == [
        "n01443537/art_13.jpg is not an image of ImageNet-R",
        "n01443537/cat.jpg is not an image of ImageNet-R",
        "cats is not a class of ImageNet-R",
        "n01443537/art_00.jpg is not an image of ImageNet-R",
    ]


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
