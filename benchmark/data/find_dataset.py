"""Find out what the name of a data set means, and have it read."""

from __future__ import annotations

import os
import re
from pathlib import Path

from benchmark.data import named, open_table, tables, trees
from benchmark.data.dataset import ColumnNames, DatasetOptions
from benchmark.data.raw_dataset import RawDataset
from mm_imagenet_r import catalog
from mm_imagenet_r.errors import UserError, did_you_mean
from mm_imagenet_r.folders import expanded

#: org/name[@REVISION][:CONFIG]
_HUB_ID = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?:@(?P<revision>[\w./-]+))?(?::(?P<config>[\w.@-]+))?"
)


def find_dataset(
    name: str, columns: ColumnNames, captions: Path | None, archive: DatasetOptions, bad_images: str
) -> RawDataset:
    """Read the data set that `name` means; UserError if nothing does, or it cannot be read.

    A name of the catalog comes before a folder of the same name (which `./name` reaches), a folder
    before the Hub.
    """
    named.refuse_unused(name, archive, bad_images)
    try:
        source = _find(name, columns, archive, captions_given=captions is not None)
    except OSError as error:
        raise UserError(
            f"--dataset {name} cannot be read ({error.strerror or error}): check the permissions "
            "of the folder and its files"
        ) from error
    if captions is not None:
        source.take_captions(captions)
    source.note_missing_captions()
    return source


def _find(
    name: str, columns: ColumnNames, archive: DatasetOptions, *, captions_given: bool
) -> RawDataset:
    if not name:
        raise UserError("--dataset is empty: give a name, a folder, Parquet or a Hub id")
    path, entry = expanded(name), catalog.named(name)
    is_tree = not entry and path.is_dir() and not open_table.is_table(path)
    if columns != ColumnNames() and (is_tree or entry):
        raise UserError(f"--dataset {name} is not a table: leave out the --...-column options")
    if entry:
        return named.read(name, entry, archive, captions_given=captions_given)
    if is_tree:
        return trees.read(path, name, captions_given=captions_given)
    with open_table.waiting(f"opening {name}"):
        opened = _load(name, path)
    return tables.read(name, opened, columns, captions_given=captions_given)


def _load(name: str, path: Path) -> open_table.Opened:
    """Load a table: what is at a path, with or without a configuration, or on the Hub."""
    config = None
    if not path.exists() and ":" in name:
        target, _, config = name.rpartition(":")
        path = expanded(target)
    if path.exists():
        return open_table.load(name, path, config)
    target, at, _ = name.partition("@")
    if at and (catalog.named(target) or expanded(target).exists()):
        raise UserError(
            f"--dataset {name}: {target} has no revisions, only data sets on the Hub do "
            f"(org/name@REVISION): give --dataset {target}"
        )
    if found := _HUB_ID.fullmatch(name):
        return open_table.load_hub(name, **found.groupdict())
    if os.sep in name or path.suffix:
        raise UserError(f"--dataset {name}: there is no such folder or file. Check the path")
    raise UserError(
        f"--dataset {name} is unknown: {did_you_mean(name, catalog.CATALOG)}. A folder of images, "
        "Parquet or a Hub id org/name works as well (there is no folder of that name here)"
    )
