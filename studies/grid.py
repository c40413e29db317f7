"""Folding the results of many cells into tables."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence

from benchmark import results
from benchmark.cells import cells as written
from benchmark.config import RunConfig
from benchmark.metrics import Spread, mean_std
from benchmark.results.schema import Result
from benchmark.sweep.command import How, sweep
from mm_imagenet_r.errors import UserError


def run_all(cells: Sequence[RunConfig], jobs: int) -> None:
    """Run the cells that are not done.

    Raises:
        UserError: Some failed.
    """
    if sweep([one for cell in cells for one in written(cell)], How(jobs=jobs)):
        raise UserError("the page is written once all cells are done")


def with_seeds(cell: RunConfig, seeds: Iterable[int]) -> list[RunConfig]:
    """The same cell with each seed."""
    return [dataclasses.replace(cell, seeds=(seed,)) for seed in seeds]


def load(cells: Iterable[RunConfig]) -> list[Result]:
    """Results of cells that have run."""
    return [results.read(one.folder()) for cell in cells for one in written(cell)]


def average(found: Sequence[Result]) -> Spread:
    """Average incremental accuracy over runs."""
    return _figure(found, "average_incremental_accuracy")


def last(found: Sequence[Result]) -> Spread:
    """Last accuracy over runs."""
    return _figure(found, "last_accuracy")


def _figure(found: Sequence[Result], name: str) -> Spread:
    return mean_std([value for run in found if (value := run["metrics"][name]) is not None])


def exemplars(found: Sequence[Result]) -> float:
    """Mean number of exemplars a class at the end."""
    return statistics.fmean(
        r["phases"][-1]["memory"]["exemplars"] / r["dataset"]["num_classes"] for r in found
    )


def kilobytes(found: Sequence[Result]) -> float:
    """Mean size of the memory at the end, in kB."""
    return statistics.fmean(r["phases"][-1]["memory"]["bytes"] for r in found) / 1000


def spread(value: Spread) -> str:
    """Mean and standard deviation as text."""
    return f"{value.mean:.1f}" + (f" ± {value.std:.1f}" if value.std is not None else "")


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
