"""Find out what the name of a data set means, and have it read."""

from __future__ import annotations

import os
import re
from pathlib import Path

from benchmark.data import named, tables, trees
from benchmark.data.dataset import ColumnNames, DatasetOptions
from benchmark.data.messages import waiting
from benchmark.data.raw_dataset import RawDataset
from mm_imagenet_r.errors import UserError, did_you_mean

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.@-]+)?")


def find_dataset(
    name: str, columns: ColumnNames, captions: Path | None, archive: DatasetOptions, bad_images: str
) -> RawDataset:
    """Read the data set that `name` means; see `benchmark.data.open_data`.

    A named configuration comes before a folder of the same name (which `./name` reaches), a folder
    before the Hub.

    Raises:
        UserError: Nothing has that name, or it cannot be read as images with classes.
    """
    named.refuse_unused(name, archive, bad_images)
    try:
        return _find(name, columns, captions, archive)
    except OSError as error:
        raise UserError(
            f"--dataset {name} cannot be read ({error.strerror or error}): check the permissions "
            "of the folder and its files"
        ) from error


def _find(
    name: str, columns: ColumnNames, captions: Path | None, archive: DatasetOptions
) -> RawDataset:
    path = Path(name).expanduser()
    is_tree = bool(name) and path.is_dir() and not tables.is_table(path)
    if columns != ColumnNames() and (is_tree or named.is_name(name)):
        raise UserError(f"--dataset {name} is no table: leave out the --...-column options")
    given = captions is not None
    source: RawDataset | None
    if named.is_name(name):
        source = named.read(name, archive, captions_given=given)
    elif is_tree:
        source = trees.read(path, name, captions_given=given)
    elif not name:
        raise UserError("--dataset is empty: give a name, a folder, Parquet or a Hub id")
    else:
        with waiting(f"opening {name}"):
            loaded = tables.load(name, path, hub=_HUB_ID.fullmatch(name) is not None)
        if loaded is None:
            raise UserError(_unknown(name, path))
        source = tables.read(name, loaded, columns, captions_given=given)
    if captions is not None:
        source.take_captions(captions)
    source.note_missing_captions()
    return source


def _unknown(name: str, path: Path) -> str:
    if os.sep in name or path.suffix:
        return f"--dataset {name}: there is no such folder or file. Check the path"
    return (
        f"--dataset {name} is unknown: {did_you_mean(name, named.NAMES)}. A folder of images, "
        "Parquet or a Hub id org/name will do as well (no folder of that name is here)"
    )
