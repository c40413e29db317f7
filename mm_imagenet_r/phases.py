"""Class-incremental phases: a class order, the sizes of the phases, and views of a data set.

A phase is a list of indices: nothing is copied, and one cached data set serves every number of
phases and every order.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mm_imagenet_r.errors import UserError, require_whole
from mm_imagenet_r.orders import class_order, named_order

__all__ = ["Phase", "class_incremental", "class_order", "phase_sizes"]


@dataclass(frozen=True, slots=True)
class Phase:
    """What a learner sees in one phase."""

    index: int  # number of the phase, from 0
    classes: tuple[int, ...]  # labels of the data set, in the order in which they appear
    splits: Mapping[str, Any]  # the rows of these classes by split, in the data set's order

    def __getitem__(self, split: str) -> Any:
        """Return one split, as in `phase["train"]`."""
        return self.splits[split]


def phase_sizes(num_classes: int, phases: int, base_classes: int | None = None) -> list[int]:
    """Return how many classes each phase brings; UserError if one would have no class.

    From scratch the phases are equal, and the remainder goes to the first. With `base_classes` the
    first phase has that many, and the others share the rest in the same way.

    >>> phase_sizes(200, 10)
    [20, 20, 20, 20, 20, 20, 20, 20, 20, 20]
    >>> phase_sizes(101, 5)  # UPMC Food-101
    [21, 20, 20, 20, 20]
    >>> phase_sizes(200, 6, base_classes=100)
    [100, 20, 20, 20, 20, 20]
    >>> phase_sizes(10, 4, base_classes=3)
    [3, 3, 2, 2]
    """
    require_whole("phases", phases)
    require_whole("base_classes", base_classes, or_none=True)
    if not 1 <= phases <= num_classes:
        raise UserError(
            f"{phases} phases for {num_classes} classes: give a number from 1 to {num_classes}, as "
            "each phase needs a class"
        )
    if base_classes is None:
        size = num_classes // phases
        return [num_classes - (phases - 1) * size, *[size] * (phases - 1)]
    left = num_classes - base_classes
    if base_classes < 1 or left < phases - 1 or (phases == 1 and left):
        raise UserError(
            f"{phases} phases with {base_classes} base classes: each phase needs at least one of "
            f"the {num_classes} classes, and each class needs a phase. Change one of "
            "the two numbers"
        )
    return [base_classes, *(phase_sizes(left, phases - 1) if phases > 1 else [])]


def class_incremental(
    dataset: Any,
    phases: int,
    seed: int | None = 1993,
    base_classes: int | None = None,
    *,
    order: str | None = None,
) -> list[Phase]:
    """Divide a data set into phases, each a view of the rows of its classes.

    The `datasets.DatasetDict` has a column `label`; a `Dataset` is one split under its own name, or
    `train`. For `seed` see `class_order`, for `base_classes` `phase_sizes`; `order` is a published
    class order of ImageNet-R instead of `seed`, see `orders.named_order`.

    Raises:
        UserError: The data set cannot be divided like this.

    >>> from datasets import Dataset
    >>> numbers = Dataset.from_dict({"label": [0, 1, 2, 3, 3, 0]})
    >>> for phase in class_incremental(numbers, phases=2, seed=1):
    ...     print(phase.classes, phase["train"]["label"][:])
    (3, 2) [2, 3, 3]
    (0, 1) [0, 1, 0]
    """
    splits: dict[str, Any]
    if isinstance(dataset, Mapping):
        splits = {str(name): split for name, split in dataset.items()}
    else:
        splits = {str(getattr(dataset, "split", None) or "train"): dataset}
    labels = {name: _labels(name, split) for name, split in splits.items()}
    num_classes = _num_classes(splits, labels)
    sizes = phase_sizes(num_classes, phases, base_classes)
    labels_in_order = class_order(num_classes, seed)
    if order is not None:
        labels_in_order = _published(order, num_classes, seed)
    left = iter(labels_in_order)
    classes = [tuple(itertools.islice(left, size)) for size in sizes]
    phase_of = {label: index for index, group in enumerate(classes) for label in group}
    rows: dict[str, list[list[int]]] = {name: [[] for _ in sizes] for name in splits}
    for name, found in labels.items():
        for row, label in enumerate(found):
            rows[name][phase_of[label]].append(row)
    return [
        Phase(index, group, {n: splits[n].select(rows[n][index]) for n in splits})
        for index, group in enumerate(classes)
    ]


def _published(order: str, num_classes: int, seed: int | None) -> list[int]:
    found = named_order(order)
    if len(found) != num_classes:
        raise UserError(
            f"class order {order!r} is one of ImageNet-R's {len(found)} classes, but the data set "
            f"has {num_classes}: give a seed instead"
        )
    if seed != 1993:
        raise UserError(f"order={order!r} and seed={seed} are two class orders: give one of them")
    return found


def _labels(name: str, split: Any) -> Sequence[int]:
    if not (hasattr(split, "column_names") and hasattr(split, "select")):
        raise UserError(
            f"split {name!r} cannot be divided into phases: it is of type {type(split).__name__}, "
            "not a datasets.Dataset. Give what load_dataset or mm_imagenet_r.load returns without "
            "streaming"
        )
    if "label" not in split.column_names:
        raise UserError(
            f"split {name!r} has no column 'label' but {', '.join(split.column_names)}: "
            "rename the one that holds the class, ds.rename_column(old, 'label')"
        )
    if len(split) == 0:
        return []
    found: list[int] = split.select_columns("label").with_format("numpy")["label"][:].tolist()
    if not all(isinstance(label, int) and label >= 0 for label in found):
        raise UserError(
            f"split {name!r} has labels that are not class numbers from 0 on: "
            "encode them first, ds.class_encode_column('label')"
        )
    return found


def _num_classes(splits: Mapping[str, Any], labels: Mapping[str, Sequence[int]]) -> int:
    counts = {getattr(split.features["label"], "num_classes", None) for split in splits.values()}
    if len(counts) > 1:
        raise UserError("the splits do not agree on the number of classes: load them together")
    declared = counts.pop() if counts else None
    seen = 1 + max((label for found in labels.values() for label in found), default=-1)
    if seen == 0:
        raise UserError("the data set has no rows: there is nothing to divide into phases")
    return int(declared) if declared is not None else seen
