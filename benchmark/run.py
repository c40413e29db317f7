"""`python -m benchmark.run` and, from Python, `benchmark.run(...)`: parse, plan, run, report."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import isolation, run_files
from benchmark.config import RunConfig
from benchmark.load_method import load_method
from benchmark.options import from_mapping, parse
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.files import remove_temporaries, write_atomic

if TYPE_CHECKING:
    from benchmark.data import Data
    from benchmark.display import Display
    from benchmark.plan import Plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, or 2 for a mistake of the user."""
    isolation.computes_nothing()
    return guarded(_main, arguments)


def guarded(
    command: Callable[[Sequence[str] | None], None], arguments: Sequence[str] | None
) -> int:
    """Run something that runs cells and return the exit code, as `mm_imagenet_r.command_line.run`.

    An exception of a method is shown by its own traceback; the code is 1.
    """
    again = "the same command, without --overwrite, resumes from here"
    try:
        return command_line.run(command, arguments, again=again, has_processes=True)
    except Exception as error:
        if not isinstance(error.__cause__, isolation.RemoteTracebackError):
            raise
        # Where in the method it happened is what helps; how the run got there does not.
        print(str(error.__cause__).strip(), file=sys.stderr)
        print("the run stopped by this exception in its method; it can be resumed", file=sys.stderr)
        return 1


def run_alone(cell: RunConfig, display: Display) -> int:
    """Run one cell in this process, which is its own, and return the exit code."""

    def work(_: Sequence[str] | None) -> None:
        run(cell, display=display)

    return guarded(work, None)


def _main(arguments: Sequence[str] | None) -> None:
    config, given = parse(arguments)
    if "list" in given:
        from benchmark.list_methods import list_methods

        list_methods(given["list"])
    else:
        run(config)


def run(
    config: RunConfig | None = None,
    *,
    display: Display | None = None,
    quiet: bool = False,
    **options: Any,
) -> list[Path]:
    """Run every cell of a configuration that is not done yet and write its report.

    `options` are fields of `RunConfig` that replace those of `config`: text, numbers, paths, lists,
    and for `set` a dictionary, as in a configuration file.

    Returns:
        The cells' folders, methods outermost; none of a dry run. `benchmark.read_result` reads
        one, `benchmark.frame` all of them.

    Raises:
        UserError: There is no such option, or the configuration cannot be run.
    """
    config = RunConfig() if config is None else config
    if not isinstance(config, RunConfig):
        raise UserError("benchmark.run takes its options by name: benchmark.run(method='replay')")
    config = dataclasses.replace(config, **from_mapping(options, source="benchmark.run"))

    from benchmark.plan import make_plans
    from benchmark.plan_check import check

    with isolation.foreign_code():
        for name in (*config.method, *filter(None, [config.match_exemplars_of])):
            load_method(name)
    check(config)

    from benchmark import table
    from benchmark.devices import find_place
    from benchmark.display import Display
    from benchmark.experiment import run_cell
    from benchmark.report.comparison import comparison_name, write_comparison

    place = find_place(config)
    display = display or Display(silent=quiet or not place.main)
    plans = make_plans(config)
    imports = sorted({name for plan in plans for name in plan.method.imports})
    for module in imports:
        importlib.import_module(module)  # once, and not in the process of every phase
    notes = [note for plan in plans for note in plan.notes]
    display.notes(dict.fromkeys([*notes, *place.notes]))
    if config.dry_run:
        from benchmark.dry_run import print_plans

        print_plans(plans, place, display.console)
        return []
    if config.jobs > 1 and len(plans) > 1:
        plans = _run_side_by_side(plans, imports, display)
    folders = []
    try:
        for plan in plans:
            folders.append(run_cell(plan, place, display))
            if place.main:
                _write_report(plan, folders[-1], display)
    finally:
        display.stop()
    if place.main:
        _write_left_out(plans[0].data, folders)
        table.print_table(folders, display.console)
        if len(folders) > 1:
            name = comparison_name(folders)
            remove_temporaries(config.output, name)
            display.wrote("comparison", write_comparison(folders, config.output / name))
    return folders


def _run_side_by_side(plans: list[Plan], imports: list[str], display: Display) -> list[Plan]:
    """Run the cells that are not done in processes, and return their plans, now all done."""
    from benchmark.older_runs import finished_elsewhere
    from benchmark.run_folder import RunFolder
    from benchmark.sweep.ledger import Ledger, log_file
    from benchmark.sweep.local import Local
    from benchmark.sweep.progress import Progress
    from benchmark.sweep.schedule import run_all

    config, ledger = plans[0].config, Ledger()
    replaced = plans if config.overwrite else []
    for plan in replaced:  # before anything is removed
        if (older := finished_elsewhere(plan.config)) is not None:
            raise UserError(f"{older} is of an older version: replace it with --jobs 1")
    for plan in replaced:
        folder = RunFolder(plan.config.folder(), note=display.note)
        with folder.locked():
            folder.clear()
    cells = [dataclasses.replace(plan.config, overwrite=False) for plan in plans]
    kept = [dataclasses.replace(p, config=c) for p, c in zip(plans, cells, strict=True)]
    missing = [cell for cell in cells if ledger.result(cell) is None]
    slots = min(config.jobs, len(missing))
    if missing:
        with Progress(cells, missing, slots, display.console) as progress:
            engine = Local(slots, config.threads or 1, run_alone, imports)
            failures = run_all(missing, engine, ledger, progress)
        if failures:
            lines = (f"{one.reason}, see {log_file(one.cell)}" for one in failures)
            again = "the same command" + ", without --overwrite," * config.overwrite
            raise UserError(
                f"{pluralize(len(failures), 'run')} of {len(plans)} failed, {again} "
                "tries again:\n  " + "\n  ".join(lines)
            )
    return kept


def _write_report(plan: Plan, folder: Path, display: Display) -> None:
    """Write the page of a run, unless it is there or an older version made the run."""
    from benchmark import report

    if folder == plan.config.folder() and not (folder / run_files.REPORT).exists():
        remove_temporaries(folder, run_files.REPORT)
        display.wrote("report", report.write_report(folder))


def _write_left_out(data: Data, folders: Sequence[Path]) -> None:
    """Name the images that took no part beside the results."""
    if data.left_out:
        text = "".join(f"{name} {why}\n" for name, why in data.left_out)
        for folder in folders:
            write_atomic(folder / "left_out.txt", text.encode())


class _Callable(types.ModuleType):
    """`benchmark.run(...)` beside `python -m benchmark.run`: the module itself can be called."""

    __wrapped__ = staticmethod(run)  # what `help` and `inspect.signature` show

    def __call__(self, config: RunConfig | None = None, **options: Any) -> list[Path]:
        return run(config, **options)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    from benchmark.run import main as main_of_the_module  # that processes find again by its name

    sys.exit(main_of_the_module())
