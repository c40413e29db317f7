"""Find out what the name of a data set means, and have it read."""

from __future__ import annotations

import os
import re
from pathlib import Path

import mm_imagenet_r
from benchmark.data import ColumnNames, tables, trees
from benchmark.data.messages import waiting
from benchmark.data.sources import Source
from mm_imagenet_r.builder import SOURCES
from mm_imagenet_r.errors import UserError, did_you_mean

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]+)?")


def find(name: str, columns: ColumnNames, captions: Path | None) -> Source:
    """Read the data set that `name` means; see `benchmark.data.open_data`.

    A named configuration comes before a folder of the same name (which `./name` reaches), a folder
    before the Hub.

    Raises:
        UserError: Nothing has that name, or it cannot be read as images with classes.
    """
    try:
        return _find(name, columns, captions)
    except OSError as error:
        raise UserError(
            f"--dataset {name} cannot be read ({error.strerror or error}): check the permissions "
            "of the folder and its files"
        ) from error


def _find(name: str, columns: ColumnNames, captions: Path | None) -> Source:
    path = Path(name).expanduser()
    is_tree = bool(name) and path.is_dir() and not tables.is_table(path)
    if columns != ColumnNames() and (is_tree or name in SOURCES):
        raise UserError(f"--dataset {name} is no table: leave out the --...-column options")
    given = captions is not None
    source: Source | None
    if name in SOURCES:
        with waiting(f"preparing {name}"):
            loaded = mm_imagenet_r.load(name)
        source = tables.read(name, loaded, columns, captions_given=given)
        source.captions, source.drawn = name, name == "mini"
    elif is_tree:
        source = trees.read(path, name, captions_given=given)
    elif not name:
        raise UserError("--dataset is empty: give mini, a folder, Parquet or a Hub id")
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
        f"--dataset {name} is unknown: {did_you_mean(name, SOURCES)}. A folder of images, "
        "Parquet or a Hub id org/name will do as well (no folder of that name is here)"
    )
