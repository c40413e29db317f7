from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given
from hypothesis import strategies as st

from mm_imagenet_r import class_incremental
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.orders import class_order
from mm_imagenet_r.phases import phase_sizes


def labelled(labels: list[int], num_classes: int | None = None) -> Dataset:
    label = Value("int64") if num_classes is None else ClassLabel(num_classes=num_classes)
    features = Features({"label": label, "row": Value("int64")})
    rows = {"label": labels, "row": list(range(len(labels)))}
    return Dataset.from_dict(rows, features=features)


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 60) | st.none())
def test_sizes_share_out_all_classes_or_say_why_not(
    num_classes: int, phases: int, base: int | None
) -> None:
    possible = phases <= num_classes
    if base is not None:
        left = num_classes - base
        possible = possible and (left == 0 if phases == 1 else left >= phases - 1)
    if not possible:
        with pytest.raises(UserError):
            phase_sizes(num_classes, phases, base)
        return
    sizes = phase_sizes(num_classes, phases, base)
    assert sum(sizes) == num_classes
    assert len(sizes) == phases
    assert min(sizes) >= 1
    assert base is None or sizes[0] == base
    assert len(set(sizes[1 if base is None else 2 :])) <= 1


def test_order_is_a_permutation_and_depends_on_the_seed() -> None:
    assert sorted(class_order(50, 7)) == list(range(50))
    assert class_order(50, 7) != class_order(50, 8)
    with pytest.raises(UserError, match="seed -1"):
        class_order(50, -1)


def test_phases_are_views_that_cover_every_row_once() -> None:
    dataset = DatasetDict(
        train=labelled([0, 1, 2, 3, 4, 4, 3, 2, 1, 0], 5), test=labelled([4, 2, 0, 1], 5)
    )
    phases = class_incremental(dataset, 3, seed=1993)
    assert [label for phase in phases for label in phase.classes] == class_order(5, 1993)
    for split in dataset:
        rows = [row for phase in phases for row in phase[split]["row"][:]]
        assert sorted(rows) == list(range(len(dataset[split])))
        for phase in phases:
            assert set(phase[split]["label"][:]) <= set(phase.classes)
            assert phase[split]["row"][:] == sorted(phase[split]["row"][:])
            assert address(phase[split]) == address(dataset[split])  # no copy


def address(split: Dataset) -> int:
    found: int = split.data.table.column("row").chunk(0).buffers()[1].address
    return found


def test_a_class_without_rows_still_has_its_place() -> None:
    phases = class_incremental(labelled([0, 2], 3), 3, seed=None)
    assert [len(phase["train"]) for phase in phases] == [1, 0, 1]


@pytest.mark.parametrize(
    ("dataset", "phases", "message"),
    [
        (labelled([0, 1], 2), 3, "3 phases for 2 classes: give a number from 1 to 2"),
        (labelled([0, 1], 2), 0, "0 phases for 2 classes"),
        (labelled([0, -1]), 1, "class numbers"),
        (labelled([]), 1, "no rows"),
        (Dataset.from_dict({"target": [0, 1]}), 1, "no column 'label'"),
        (Dataset.from_dict({"label": ["cat", "dog"]}), 2, "class_encode_column"),
        (labelled([0, 1], 2).to_iterable_dataset(), 2, "without streaming"),
        (DatasetDict(a=labelled([0], 1), b=labelled([0], 2)), 1, "do not agree"),
        (None, 2, "of type NoneType, not a datasets.Dataset. Give what load_dataset"),
        ({"train": [0, 1]}, 2, "split 'train' cannot .* of type list"),
    ],
)
def test_mistakes_are_explained(dataset: object, phases: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        class_incremental(dataset, phases)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"phases": "5"}, "phases='5' is not a whole number: give one$"),
        ({"phases": None}, "phases=None is not a whole number"),
        ({"phases": 2.0}, "phases=2.0 is not a whole number"),
        ({"phases": True}, "phases=True is not a whole number"),
        ({"seed": "x"}, "seed='x' is not a whole number: give one or None"),
        ({"base_classes": "1"}, "base_classes='1' is not a whole number: give one or None"),
    ],
)
def test_numbers_must_be_numbers(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        class_incremental(labelled([0, 1, 2], 3), **{"phases": 2} | wrong)


def test_numbers_of_numpy_are_numbers() -> None:
    dataset, two = labelled([0, 1, 2], 3), np.int64(2)
    for phases in (class_incremental(dataset, two, two), class_incremental(dataset, 2, None, two)):
        assert [len(phase.classes) for phase in phases] == [2, 1]
