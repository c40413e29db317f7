from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features

from mm_imagenet_r import class_incremental
from mm_imagenet_r.classes import classes
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.orders import NAMES, named_order


@pytest.mark.parametrize("name", [*NAMES, "pilot:7", "coda:0", "coda:2", "mammoth:0", "mammoth:5"])
def test_an_order_is_a_permutation(name: str) -> None:
    assert sorted(named_order(name)) == list(range(200))


def test_coda_is_the_order_of_the_targets(shared_data: Callable[[str], Path]) -> None:
    text = (shared_data("coda_split") / "imagenet-r_test.yaml").read_text().splitlines()
    middle = text.index("targets:")
    wnids = [line.split("/")[2] for line in text[1:middle]]
    targets = [int(line.removeprefix("- ")) for line in text[middle + 1 :]]
    wnid_of = dict(zip(targets, wnids, strict=True))
    known = [cls.wnid for cls in classes()]
    assert [known[label] for label in named_order("coda")] == [wnid_of[t] for t in range(200)]
    order = list(range(200))
    random.seed(3)
    random.shuffle(order)
    assert [known[label] for label in named_order("coda:3")] == [wnid_of[t] for t in order]
    # Mammoth rewrites the targets: the class of target t comes at place perm[t].
    perm = np.random.RandomState(3).permutation(200)
    place_of = {wnid_of[t]: perm[t] for t in range(200)}
    ordered = [known[label] for label in named_order("mammoth:3")]
    assert ordered == sorted(known, key=place_of.__getitem__)
    assert named_order("mammoth") == named_order("coda") == named_order("coda:0")


@pytest.mark.parametrize("name", ["natural:1", "coda:", "coda:x", "pilot:-1", "pilot:4294967296"])
def test_numbers_that_are_none(name: str) -> None:
    with pytest.raises(UserError, match="class order"):
        named_order(name)


def test_phases_in_a_published_order() -> None:
    def data(count: int) -> Dataset:
        features = Features({"label": ClassLabel(num_classes=count)})
        return Dataset.from_dict({"label": list(range(count))}, features=features)

    phases = class_incremental(data(200), 10, order="coda")
    assert [label for phase in phases for label in phase.classes] == named_order("coda")
    with pytest.raises(UserError, match="did you mean 'coda'"):
        class_incremental(data(200), 10, order="code")
    with pytest.raises(UserError, match="200 classes, but the data set has 5"):
        class_incremental(data(5), 2, order="coda")
    with pytest.raises(UserError, match="are two class orders"):
        class_incremental(data(200), 10, 7, order="coda")
