"""What is wrong with the cells of a grid, found before any of them is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.devices import find_place
from benchmark.load_method import load_method
from benchmark.plan import divide, open_config_data
from benchmark.plan_check import check as check_alone
from benchmark.plan_check import refuse_itself
from benchmark.results.schema import Result
from benchmark.sweep.grid import reference_of
from benchmark.tuned_recipe import read as read_tuned
from mm_imagenet_r.errors import UserError, pluralize

#: Options that say which data are opened.
_OF_THE_DATA = (
    "dataset", "data_dir", "split_name", "partial", "captions", "image_column", "caption_column",
    "label_column", "bad_images", "test_fraction", "split_seed", "evaluate_on",
)  # fmt: skip


def check(
    cells: Sequence[RunConfig],
    found: Mapping[Path, Result | None],
    name: Callable[[RunConfig], str],
) -> None:
    """Raise UserError, before anything is run, that names every cell that cannot be, and why.

    `found` holds the result of each cell by its folder, None if it is missing.
    """
    faults: dict[str, list[str]] = {}
    for cell, fault in _faults(cells, found):
        faults.setdefault(fault, []).append(name(cell))
    if not faults:
        return
    lines = [f"{fault}\n" + "\n".join(f"    {one}" for one in names)
             for fault, names in faults.items()]  # fmt: skip
    count = sum(map(len, faults.values()))
    raise UserError(
        f"{pluralize(count, 'cell')} of {len(cells)} cannot be run, so nothing was started:\n  "
        + "\n  ".join(lines)
        + "\n  Leave these values out, or put them into a grid of their own"
    )


def _faults(
    cells: Sequence[RunConfig], found: Mapping[Path, Result | None]
) -> Iterator[tuple[RunConfig, str]]:
    data: dict[tuple[Any, ...], tuple[int, str] | UserError] = {}
    for cell in cells:
        result = found[cell.folder()]
        try:
            if result is None:
                _check_alone(cell, found)
            key = tuple(getattr(cell, option) for option in _OF_THE_DATA)
            if key not in data:
                data[key] = _open(cell)
            if isinstance(opened := data[key], UserError):
                raise opened
            num_classes, sha256 = opened
            divide(cell, num_classes)
            if cell.tuned_by is not None:
                read_tuned(cell.tuned_by).refuse_other(cell, sha256)
            if result is not None and result["dataset"]["data_sha256"] != sha256:
                raise UserError(
                    "the existing result was computed on other data: restore these data, or choose "
                    "another --output or --results"
                )
        except UserError as error:
            yield cell, str(error)


def _open(cell: RunConfig) -> tuple[int, str] | UserError:
    """Number of classes and hash of a cell's data, or why they cannot be opened."""
    try:
        data = open_config_data(cell)
    except UserError as error:
        return error
    return data.num_classes, data.data_sha256


def _check_alone(cell: RunConfig, found: Mapping[Path, Result | None]) -> None:
    find_place(cell)
    refuse_itself(cell)
    reference = reference_of(cell)
    if reference is not None and reference.folder() in found:  # it is run before, or done
        cell = dataclasses.replace(cell, match_exemplars_of=None, set=())
    check_alone(cell)


def imports(cells: Sequence[RunConfig]) -> list[str]:
    """Modules that the methods of some cells will import."""
    methods = {load_method(name)[0] for cell in cells for name in cell.method}
    return sorted({module for method in methods for module in method.imports})
