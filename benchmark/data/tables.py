"""Data sets that come as tables: Parquet in a folder or a file, `save_to_disk`, the Hub."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import ClassLabel, Image, concatenate_datasets, load_dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError

from benchmark.data import columns as find_columns
from benchmark.data.dataset import ColumnNames
from benchmark.data.raw_dataset import NO_CAPTIONS, TEST_NAMES, TRAIN_NAMES, RawDataset
from benchmark.data.samples import IntArray, Rows
from mm_imagenet_r.errors import UserError, summarize

_HUB_SECONDS = 5.0


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show in a terminal what is going on, instead of the progress bars of `datasets`."""
    from rich.console import Console

    shown = not datasets.are_progress_bars_disabled()
    if shown:
        datasets.disable_progress_bars()
    try:
        with Console(stderr=True).status(what):
            yield
    finally:
        if shown:  # they are a setting of the whole program, and its owner's
            datasets.enable_progress_bars()


def is_table(folder: Path) -> bool:
    """Whether a folder holds Parquet or a saved data set rather than image files."""
    return _is_saved(folder) or bool(_parquet_files(folder))


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def load(name: str, path: Path, config: str | None) -> Any:
    """Load a `DatasetDict` or `Dataset` from Parquet, a folder of it, or a saved data set."""
    if path.is_dir():
        return _loaded(name, lambda: _load_folder(path, config), "check that its files are whole")
    if config is not None:
        raise UserError(f"{name}: a file has no configurations, leave {config!r} out")
    if path.suffix != ".parquet":
        raise UserError(f"{name} is not a Parquet file: give one, a folder of images or a Hub id")
    files = {"train": str(path)}
    return _loaded(
        name, lambda: load_dataset("parquet", data_files=files), "check that the file is whole"
    )


def load_hub(name: str, repository: str, revision: str | None, config: str | None) -> Any:
    """Load a `DatasetDict` or `Dataset` from the Hub, or where that is offline from the cache."""

    def action() -> Any:
        loaded = load_dataset(repository, config, revision=revision)
        if revision is not None:
            _require_revision(loaded, repository, revision)
        return loaded

    check = "check that the name is right and the network is up"
    if datasets.config.HF_HUB_OFFLINE:  # which HF_DATASETS_OFFLINE sets, too
        own = "HF_DATASETS_OFFLINE"
        variable = own if own in os.environ else "HF_HUB_OFFLINE"
        check = f"{variable} is set and the cache does not have it; unset that to download it once"
    else:
        _require_hub(repository)
    return _loaded(name, action, f"{check} (no folder of that name is here)")


def read(name: str, loaded: Any, wanted: ColumnNames, *, captions_given: bool) -> RawDataset:
    """Find the parts and the columns of a `DatasetDict`, or a `Dataset` of one part.

    `wanted` are the columns the user named; where `captions_given`, none is needed for captions.
    UserError if a column is missing or ambiguous, or rows have no label.
    """
    parts, notes = _choose_parts(name, loaded)
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
    images: list[Any] = []
    captions: list[str] = []
    keys: list[str] = []
    labels: list[Any] = []
    for part, table in parts.items():
        piece = table.with_format(None).select_columns([columns.image])
        piece = piece.rename_column(columns.image, "image") if columns.image != "image" else piece
        images.append(piece.cast_column("image", Image(decode=False)))
        labels += _values(table, columns.label)
        captions += [text or "" for text in _values(table, columns.caption)]
        names = _values(table, columns.file_name)
        keys += [str(key) if columns.file_name else f"{part}/{n}" for n, key in enumerate(names)]
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
    """A column as Python values, whatever the format of the table; all None if there is none."""
    if column is None:
        return [None] * len(table)
    found: list[Any] = table.select_columns([column]).with_format("arrow")[:][column].to_pylist()
    return found


def _parquet_files(folder: Path) -> list[Path]:
    """Parquet files anywhere below; the captions file of a folder of images does not count."""
    found = set(folder.rglob("*.parquet")) - {folder / "captions.parquet"}
    return sorted(path for path in found if path.is_file())


def _load_folder(folder: Path, config: str | None) -> Any:
    if _is_saved(folder):
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
    except UserError:
        raise
    except Exception as error:  # `datasets` raises nearly every kind there is
        hidden = isinstance(error, DatasetGenerationError)  # it says no more than "failed"
        cause = error.__cause__ if hidden and error.__cause__ else error
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise UserError(f"{name} could not be loaded ({lines[0].rstrip('.')}): {check}") from error


def _require_hub(name: str) -> None:
    """Ask the Hub for a sign of life: `datasets` would retry for half a minute."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_SECONDS)
    except Exception as error:
        raise UserError(
            f"there is no folder {name} here, and the Hub ({constants.ENDPOINT}) cannot be "
            f"reached ({type(error).__name__}): check the path or the network. A data set that was "
            "loaded before opens without network if HF_HUB_OFFLINE=1 is set"
        ) from error


def _require_revision(loaded: Any, repository: str, revision: str) -> None:
    """Refuse rows of another revision: those last cached, if this one could not be had."""
    from huggingface_hub import HfApi, scan_cache_dir

    commit: str | None = revision
    if not datasets.config.HF_HUB_OFFLINE:
        commit = HfApi().dataset_info(repository, revision=revision).sha
    elif not re.fullmatch("[0-9a-f]{40}", revision):  # a branch or tag
        commits = {
            repo.refs[revision].commit_hash
            for repo in scan_cache_dir().repos
            if (repo.repo_id, repo.repo_type) == (repository, "dataset") and revision in repo.refs
        }
        commit = next(iter(commits), None)
    parts = loaded.values() if isinstance(loaded, Mapping) else [loaded]
    files = [Path(file["filename"]) for part in parts for file in part.cache_files]
    if not all(file.parent.name == commit for file in files):
        raise UserError(
            f"revision {revision} of {repository} could not be fetched, and the cache holds "
            "another one: load it once with a network connection"
        )


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
