"""Data sets that come as tables: their parts, columns, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import ClassLabel, Image, concatenate_datasets

from benchmark.data import columns as find_columns
from benchmark.data.dataset import ColumnNames
from benchmark.data.open_table import Opened, explained
from benchmark.data.raw_dataset import NO_CAPTIONS, TEST_NAMES, TRAIN_NAMES, RawDataset
from benchmark.data.samples import Rows
from benchmark.data.stored_images import ColumnImages, IntArray
from mm_imagenet_r.errors import UserError, summarize


def read(name: str, opened: Opened, wanted: ColumnNames, *, captions_given: bool) -> RawDataset:
    """Find the parts and the columns of a table.

    `wanted` are the columns the user named; where `captions_given`, none is needed for captions.
    UserError if a column is missing, ambiguous or damaged, or rows have no label.
    """

    def action() -> RawDataset:
        return _read(name, opened, wanted, captions_given=captions_given)

    return explained(name, action, "check that its files are whole")


def _read(name: str, opened: Opened, wanted: ColumnNames, *, captions_given: bool) -> RawDataset:
    parts, notes = _choose_parts(name, opened.table)
    features = next(iter(parts.values())).features
    columns = find_columns.resolve(name, features, wanted, captions_given=captions_given)
    used = [column for column in vars(columns).values() if column is not None]
    for part, table in parts.items():
        if any(table.features.get(column) != features[column] for column in used):
            raise UserError(
                f"{name}: the columns {', '.join(used)} differ between its parts (see {part}): "
                "write all parts with the same columns, types and class names"
            )
    if columns.caption is None and not captions_given:
        notes.append("no captions: all texts are empty (--captions FILE gives them)")
    tables: list[Any] = []
    captions: list[str] = []
    keys: list[str] = []
    labels: list[Any] = []
    for part, table in parts.items():
        piece = table.with_format(None).select_columns([columns.image])
        piece = piece.rename_column(columns.image, "image") if columns.image != "image" else piece
        tables.append(piece.cast_column("image", Image(decode=False)))
        labels += _values(table, columns.label)
        captions += [text or "" for text in _values(table, columns.caption)]
        names = _values(table, columns.file_name)
        keys += [str(key) if columns.file_name else f"{part}/{n}" for n, key in enumerate(names)]
    numbers, class_names = _classes(name, labels, features[columns.label])
    sizes = [len(table) for table in parts.values()]
    return RawDataset(
        name=name,
        rows=Rows(ColumnImages(concatenate_datasets(tables), opened.folders), captions, keys),
        labels=numbers,
        is_test=np.repeat([False, True], sizes) if len(sizes) == 2 else None,
        class_names=class_names,
        captions=columns.caption or NO_CAPTIONS,
        notes=notes,
    )


def _values(table: Any, column: str | None) -> list[Any]:
    """A column as Python values, whatever the format of the table; all None if there is none."""
    if column is None:
        return [None] * len(table)
    found: list[Any] = table.select_columns([column]).with_format("arrow")[:][column].to_pylist()
    return found


def _choose_parts(name: str, loaded: Any) -> tuple[dict[str, Any], list[str]]:
    """{part: table}, one part or training and test in this order; and notes."""
    if not isinstance(loaded, Mapping):
        loaded = {"train": loaded}
    given = {str(part): table for part, table in loaded.items() if len(table)}
    if not given:
        raise UserError(f"{name} has no rows: check that it was written to the end")
    train = next((part for part in TRAIN_NAMES if part in given), None)
    test = next((part for part in TEST_NAMES if part in given), None)
    if train is None and len(given) > 1:
        raise UserError(
            f"{name} has the parts {summarize(list(given))}, but none of them is called train: "
            "rename one"
        )
    chosen = list(given) if len(given) == 1 else [p for p in (train, test) if p is not None]
    unused = [part for part in given if part not in chosen]
    notes = [f"not used: {summarize(unused)}"] if unused else []
    return {part: given[part] for part in chosen}, notes


def _classes(name: str, found: list[Any], feature: Any) -> tuple[IntArray, list[str]]:
    """Labels 0, 1, ... of all rows, and the names of the classes that occur."""
    known = isinstance(feature, ClassLabel)
    lacking = sum(value is None or (known and value < 0) for value in found)
    if lacking:
        raise UserError(
            f"{name}: {lacking} of {len(found)} rows have no label (empty, or -1 as in hidden test "
            "sets): remove these rows"
        )
    occurring = sorted(set(found))
    number = {value: label for label, value in enumerate(occurring)}
    if known and occurring[-1] >= len(feature.names):
        raise UserError(
            f"{name}: its labels go up to {occurring[-1]}, but it names {len(feature.names)} "
            "classes: write it again with the names of all classes"
        )
    names = [feature.names[value] if known else str(value) for value in occurring]
    return np.array([number[value] for value in found], dtype=np.int64), names
