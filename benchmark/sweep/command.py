"""The command: which cells there are, which are missing, and running those."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import isolation
from benchmark.options import Command, add_options, read_values
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError, pluralize

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark.config import RunConfig
    from benchmark.sweep.ledger import Failure, Ledger
    from benchmark.sweep.progress import Progress
    from benchmark.sweep.schedule import Engine

_TEXTS = {
    "overwrite": "start unfinished cells again, such as those of an older version; finished ones "
    "are not repeated",
    "dry_run": "list the cells and what is missing, train nothing",
}


@dataclass(frozen=True)
class How:
    """How a grid is run, which changes no result."""

    engine: str = "local"  # or ray
    jobs: int | None = None  # cells at once; None: as many as there are cores or GPUs for
    threads: int = 1  # of each cell
    results: Path | None = None  # where the small form of finished runs is kept, None for nowhere


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 if all cells are done, 1 if some failed, 2 for a user's mistake."""
    isolation.computes_nothing()
    failures: list[Failure] = []

    def command(words: Sequence[str] | None) -> None:
        cells, notes, how, dry_run = parse(words)
        failures.extend(sweep(cells, how, notes=notes, dry_run=dry_run))

    code = command_line.run(command, arguments, has_processes=True)
    return 1 if code == 0 and failures else code


def parser() -> Command:
    """The command line: that of `benchmark.run`, whose options may have several values."""
    command = Command(
        "sweep",
        description="Run every cell of a grid that is not done yet. Options of benchmark.run with "
        "several values are the grid's axes.",
        epilog=(
            "examples:\n"
            "  python -m benchmark.sweep --method replay exemplar_masking --memory 1 5 \\\n"
            "      --currency bytes samples --class-order-seed 1993 1994 1995\n"
            "  python -m benchmark.sweep --config grids.toml --results results --dry-run\n"
            "A sweep that was stopped resumes when the same command is given again, and cells\n"
            "that failed are tried again."
        ),
    )
    group = command.add_argument_group("the sweep")
    group.add_argument(
        "--config", type=Path,
        help="TOML or JSON file of options; lists of values are axes, several grids go under "
        "[[grid]]. Options of the command line hold for all of them",
    )  # fmt: skip
    group.add_argument("--engine", choices=("local", "ray"), help="where cells run: processes of "
                       "this machine, or tasks of a Ray cluster (default: local)")  # fmt: skip
    group.add_argument("--jobs", type=int, metavar="N", help="cells at once (default: cores / "
                       "threads, with --device cuda the number of GPUs; ray: all)")  # fmt: skip
    group.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads of each cell (default: 1)"
    )
    group.add_argument(
        "--results", type=Path, metavar="PATH",
        help="folder that keeps finished results: cells found there count as done, and new ones "
        "are copied there without exemplars, state and report",
    )  # fmt: skip
    add_options(command, axes=True, texts=_TEXTS)
    return command


def parse(arguments: Sequence[str] | None = None) -> tuple[list[RunConfig], list[str], How, bool]:
    """Return the cells, notes on them, how to run them, and whether to list them only.

    Raises:
        UserError: The arguments or the file do not describe a grid.
    """
    options = parser().read(arguments)
    from benchmark.sweep.grid import OF_THE_SWEEP, expand, read_axes, read_grids

    file, dry_run = options.pop("config", None), options.pop("dry_run", False)
    own: dict[str, Any] = {name: options.pop(name) for name in OF_THE_SWEEP if name in options}
    check_counts(own)
    grids = read_grids(read_values(file), str(file)) if file else [{}]
    line = read_axes(options, "the command line", option=True)
    with isolation.foreign_code():
        cells, notes = expand({**grid, **line} for grid in grids)
    from benchmark.tuned_recipe import notes_on

    notes += notes_on(cells)
    return cells, notes, How(**own), dry_run


def check_counts(given: Mapping[str, Any]) -> None:
    """Raise UserError for a number of trials, jobs or threads below 1."""
    for name in ("trials", "jobs", "threads"):
        if given.get(name, 1) < 1:
            raise UserError(f"--{name} must be at least 1, not {given[name]}")


def sweep(
    cells: Sequence[RunConfig],
    how: How | None = None,
    *,
    notes: Sequence[str] = (),
    dry_run: bool = False,
) -> list[Failure]:
    """Run the cells of one output folder that are not done; return and record those that failed.

    Raises:
        UserError: Some cell cannot be run; nothing was started.
    """
    from benchmark.formatting import seconds_words
    from benchmark.sweep.check import check, imports
    from benchmark.sweep.ledger import Ledger
    from benchmark.sweep.progress import Progress
    from mm_imagenet_r.progress import make_console

    how, cells = how or How(), list({cell.folder(): cell for cell in cells}.values())
    console, ledger = make_console(), Ledger(how.results)
    for note in notes:
        console.print(f"note: {note}", markup=False)
    found = {cell.folder(): ledger.result(cell) for cell in cells}
    missing = [cell for cell in cells if found[cell.folder()] is None]
    slots = _slots(how, cells[0].device)
    progress = Progress(cells, missing, slots if how.engine == "local" else None, console)
    for cell in cells:
        if result := found[cell.folder()]:
            progress.estimate.add(cell, result)
    if missing:
        check(cells, found, progress.name)
    words = f"{pluralize(len(cells), 'cell')}, {len(cells) - len(missing)} done"
    if missing:
        words += f", {len(missing)} missing"
        if (left := progress.left([], missing)) is not None:
            words += f" (about {seconds_words(left)}, judging by similar cells)"
        elif how.engine == "local":
            words += " (no similar results to estimate the time from)"
    console.print(words, markup=False)
    if dry_run:
        _list(console, cells, progress, ledger)
        return []
    for cell in cells:
        if found[cell.folder()]:
            ledger.keep(cell)
    failures: list[Failure] = []
    if missing:
        from benchmark.sweep.grid import reference_of
        from benchmark.sweep.schedule import run_all

        for reference in filter(None, map(reference_of, missing)):
            ledger.fetch(reference)
        with progress:
            engine = _engine(how, slots, missing, imports(missing))
            if how.engine == "ray":  # nothing is seen until a worker has finished a cell
                console.print("Ray has the cells; starting a worker for one takes a minute.")
            failures = run_all(missing, engine, ledger, progress)
    if not failures:
        where = how.results or cells[0].output
        console.print(f"all done: python -m benchmark.table {where}", soft_wrap=True, markup=False)
    for line in _failure_lines(failures) if failures else ():
        print(line, file=sys.stderr)
    return failures


def _slots(how: How, device: str) -> int:
    from benchmark.threads import cores

    if how.jobs or how.engine == "ray":
        return how.jobs or sys.maxsize
    import torch

    if device != "cpu" and (gpus := torch.cuda.device_count()):
        return gpus
    return max(1, cores() // how.threads)


def _engine(how: How, slots: int, missing: Sequence[RunConfig], modules: Sequence[str]) -> Engine:
    if how.engine == "ray":
        from benchmark.sweep.cluster import Cluster

        return Cluster(how.jobs, how.threads, missing[0].device)
    from benchmark.run import run_alone
    from benchmark.sweep.local import Local

    return Local(min(slots, len(missing)), how.threads, run_alone, modules)


def _list(console: Console, cells: Sequence[RunConfig], progress: Progress, ledger: Ledger) -> None:
    from benchmark.sweep.ledger import failure_file, finished_phases
    from benchmark.sweep.progress import figures

    for cell in cells:
        if (result := ledger.result(cell)) is not None:
            words = figures(result)
        else:
            phases = finished_phases(cell)
            words = "missing" if phases is None else f"missing, {phases} phases are done"
            words += ", failed before" * failure_file(cell).exists()
        console.print(f"{progress.name(cell)}: {words}", markup=False)


def _failure_lines(failures: Sequence[Failure]) -> Iterator[str]:
    from benchmark.sweep.ledger import log_file

    yield f"\n{pluralize(len(failures), 'cell')} failed; the same command tries again:"
    for failure in failures:
        yield f"\n{failure.command}"
        yield f"exit code {failure.code}, full output in {log_file(failure.cell)}:"
        yield from (f"  {line}" for line in failure.words.splitlines())
