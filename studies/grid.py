"""Running many cells side by side, and folding their results into tables.

A cell that is done is not run again, so a study can be stopped and started at any time.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmark import results
from benchmark.config import RunConfig
from benchmark.metrics import Spread, mean_std
from benchmark.results.schema import Result


def run_all(cells: Sequence[RunConfig], jobs: int) -> None:
    """Run cells in `jobs` processes of one thread each; those that match another wait for it."""
    todo = [cell for cell in cells if not (cell.folder() / results.RESULT).exists()]
    alone = [cell for cell in todo if cell.match_exemplars_of is None]
    for group in (alone, [cell for cell in todo if cell.match_exemplars_of is not None]):
        with ThreadPoolExecutor(jobs) as pool:
            for number, cell in enumerate(pool.map(_run, group), 1):
                print(f"{number}/{len(group)} {cell.command()}", flush=True)


def _run(cell: RunConfig) -> RunConfig:
    where = ["--device", cell.device, "--output", str(cell.output)]
    words = [*shlex.split(cell.command())[1:], *where]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"):
        environment[name] = "100000000"  # else glibc gives memory back after every layer
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{cell.command()}\n{done.stderr[-2000:]}")
    return cell


def with_seeds(cell: RunConfig, seeds: Iterable[int]) -> list[RunConfig]:
    """The same cell with each seed."""
    return [dataclasses.replace(cell, seeds=(seed,)) for seed in seeds]


def load(cells: Iterable[RunConfig]) -> list[Result]:
    """Results of cells that have run."""
    return [results.read(cell.folder()) for cell in cells]


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
