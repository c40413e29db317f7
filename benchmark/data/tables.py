"""Data sets that come as tables: Parquet in a folder or a file, `save_to_disk`, the Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Image, concatenate_datasets, load_dataset, load_from_disk

from benchmark.data import columns as find_columns
from benchmark.data.dataset import ColumnNames
from benchmark.data.raw_dataset import NO_CAPTIONS, TEST_NAMES, TRAIN_NAMES, RawDataset
from benchmark.data.samples import IntArray, Rows
from mm_imagenet_r.errors import UserError, summarize

_SAVED = ("dataset_dict.json", "state.json")
_HUB_SECONDS = 5.0


def is_table(folder: Path) -> bool:
    """Whether a folder holds Parquet or a saved data set rather than image files."""
    return any((folder / name).is_file() for name in _SAVED) or bool(_parquet_files(folder))


def load(name: str, path: Path, *, hub: bool) -> Any | None:
    """Load what lies at a path, or on the Hub, by way of `datasets`.

    Args:
        name: As the user gave it; a configuration may follow after a colon.
        path: The same as a path.
        hub: Whether the name has the form of a Hub id.

    Returns:
        A `DatasetDict` or `Dataset`; None if there is no such path and it is no Hub id.

    Raises:
        UserError: It is there but cannot be loaded, or the Hub cannot be reached.
    """
    target, config = name, None
    if not path.exists() and ":" in name:
        target, _, config = name.rpartition(":")
        path = Path(target).expanduser()
    if path.is_file():
        if path.suffix != ".parquet":
            raise UserError(f"{name} is no Parquet file: give one, a folder of images or a Hub id")
        files = {"train": str(path)}
        return _loaded(name, lambda: load_dataset("parquet", data_files=files), "the file is whole")
    if path.is_dir():
        return _loaded(name, lambda: _load_folder(path, config), "its files are whole")
    if not hub:
        return None
    _require_hub(target)
    return _loaded(
        name,
        lambda: load_dataset(target, config),
        "the name is right and the network is up (nothing of that name is in a folder here)",
    )


def read(name: str, loaded: Any, wanted: ColumnNames, *, captions_given: bool) -> RawDataset:
    """Find the parts and the columns of a loaded data set.

    Args:
        name: What to call it in messages.
        loaded: `DatasetDict`, or a `Dataset` of one part.
        wanted: Columns the user named.
        captions_given: The captions come from elsewhere: no column is needed.

    Raises:
        UserError: A column is missing or ambiguous, or rows have no label.
    """
    parts, notes = _choose_parts(name, loaded)
    features = next(iter(parts.values())).features
    columns = find_columns.resolve(name, features, wanted, captions_given=captions_given)
    used = [column for column in vars(columns).values() if column is not None]
    for part, table in parts.items():
        if any(table.features.get(column) != features[column] for column in used):
            raise UserError(
                f"{name}: the columns {', '.join(used)} are not the same in all parts (see "
                f"{part}): write all parts with the same columns, types and class names"
            )
    if columns.caption is None and not captions_given:
        notes.append("no captions: all texts are empty (--captions FILE gives them)")
    images: list[Any] = []
    captions: list[str] = []
    keys: list[str] = []
    labels: list[Any] = []
    for part, table in parts.items():
        piece = table.with_format(None).select_columns([columns.image])
        piece = piece.rename_column(columns.image, "image") if columns.image != "image" else piece
        images.append(piece.cast_column("image", Image(decode=False)))
        labels += _values(table, columns.label)
        captions += (
            [text or "" for text in _values(table, columns.caption)]
            if columns.caption is not None
            else [""] * len(table)
        )
        keys += (
            [str(key) for key in _values(table, columns.file_name)]
            if columns.file_name is not None
            else [f"{part}/{row}" for row in range(len(table))]
        )
    numbers, class_names = _classes(name, labels, features[columns.label])
    sizes = [len(table) for table in parts.values()]
    return RawDataset(
        name=name,
        rows=Rows(concatenate_datasets(images), captions, keys),
        labels=numbers,
        is_test=np.repeat([False, True], sizes) if len(sizes) == 2 else None,
        class_names=class_names,
        captions=columns.caption or NO_CAPTIONS,
        notes=notes,
    )


def _values(table: Any, column: str | None) -> list[Any]:
    """A whole column as Python values, whatever the format and the selection of the table."""
    found: list[Any] = table.select_columns([column]).with_format("arrow")[:][column].to_pylist()
    return found


def _parquet_files(folder: Path) -> list[Path]:
    """Parquet files anywhere below; the captions file of a folder of images does not count."""
    return sorted(
        path
        for path in folder.rglob("*.parquet")
        if path.is_file() and path != folder / "captions.parquet"
    )


def _load_folder(folder: Path, config: str | None) -> Any:
    if any((folder / name).is_file() for name in _SAVED):
        return load_from_disk(str(folder))
    card = folder / "README.md"
    if card.is_file() and re.search(r"^configs:", card.read_text(encoding="utf-8"), re.MULTILINE):
        return load_dataset(str(folder), config)
    if config is not None:
        raise ValueError(f"it has no README.md with `configs`, so no configuration {config!r}")
    # `load_dataset(folder)` guesses a format from all files and may take a stray JSON for the data.
    files: dict[str, list[str]] = {}
    for path in _parquet_files(folder):
        words = re.split(r"[^a-z]+", path.relative_to(folder).as_posix().lower())
        part = next((word for word in words if word in TRAIN_NAMES + TEST_NAMES), "train")
        files.setdefault(part, []).append(str(path))
    return load_dataset("parquet", data_files=files)


def _loaded(name: str, action: Callable[[], Any], check: str) -> Any:
    try:
        return action()
    except Exception as error:  # `datasets` raises nearly every kind there is
        cause = error.__cause__ or error  # the outer one often says no more than "failed"
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise UserError(
            f"{name} could not be loaded ({lines[0].rstrip('.')}): check that {check}"
        ) from error


def _require_hub(name: str) -> None:
    """Ask the Hub for a sign of life: `datasets` would go on trying for half a minute."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return  # then `datasets` looks into its cache alone, and says at once if it is not there
    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_SECONDS)
    except Exception as error:
        raise UserError(
            f"there is no folder {name} here, and the Hub ({constants.ENDPOINT}) cannot be "
            f"reached ({type(error).__name__}): check the path or the network. A data set that was "
            "loaded before opens without network if HF_HUB_OFFLINE=1 is set"
        ) from error


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
    names = [feature.names[value] if known else str(value) for value in occurring]
    return np.array([number[value] for value in found], dtype=np.int64), names
