"""`python -m benchmark.run`: parse, plan, run, report.

python -m benchmark.run --method exemplar_masking
python -m benchmark.run --list
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import isolation
from benchmark.config import RunConfig, dashed
from benchmark.load_method import describe, load_method
from benchmark.options import parse
from benchmark.registry import REGISTRY
from mm_imagenet_r import command_line
from mm_imagenet_r.files import remove_temporaries, write_atomic

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark.data import Data
    from benchmark.display import Display

_ALL = "all"  # of --list


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, or 2 for a mistake of the user."""
    isolation.computes_nothing()
    return guarded(_main, arguments)


def guarded(
    command: Callable[[Sequence[str] | None], None], arguments: Sequence[str] | None
) -> int:
    """Run something that runs cells and return the exit code, as `mm_imagenet_r.command_line.run`.

    An exception of a method is told by its own traceback; the code is 1.
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


def _main(arguments: Sequence[str] | None) -> None:
    config, given = parse(arguments)
    if "list" in given:
        _list(given.list)
    else:
        run(config)


def run(config: RunConfig, display: Display | None = None) -> list[Path]:
    """Run every cell of a configuration that is not done yet and write its report.

    Args:
        config: What to run.
        display: Where it is told; by default the standard output.

    Returns:
        The cells' folders.
    """
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
    display = display or Display(silent=not place.main)
    plans = make_plans(config)
    for module in sorted({name for plan in plans for name in plan.method.imports}):
        importlib.import_module(module)  # once, and not in the process of every phase
    display.notes(dict.fromkeys(note for plan in plans for note in plan.notes))
    if config.dry_run:
        from benchmark.dry_run import print_plans

        print_plans(plans, place, display.console)
        return []
    try:
        folders = [run_cell(plan, place, display) for plan in plans]
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


def _write_left_out(data: Data, folders: Sequence[Path]) -> None:
    """Name the images that took no part beside the results."""
    if data.left_out:
        text = "".join(f"{name} {why}\n" for name, why in data.left_out)
        for folder in folders:
            write_atomic(folder / "left_out.txt", text.encode())


def _list(name: str) -> None:
    from rich.table import Table

    from benchmark.display import make_console

    console = make_console()
    if name:
        for number, one in enumerate(REGISTRY if name == _ALL else (name,)):
            if number:
                console.print()
            _settings_table(one, console)
        return
    table = Table("method", "kind", "paper", "what it does", box=None, pad_edge=False)
    for method, entry in REGISTRY.items():
        table.add_row(f"[bold]{method}[/]", entry.kind, entry.paper, entry.summary)
    console.print(table)
    console.print(
        f"[dim]--list METHOD shows a method's settings and presets, --list {_ALL} those of each[/]"
    )


def _settings_table(name: str, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    found = describe(name)
    table = Table("--set", "default", "tuned over", "meaning", box=None, pad_edge=False)
    for setting in found.settings:
        table.add_row(setting.name, setting.default, setting.search, escape(setting.text))
    console.print(f"[bold]{escape(name)}[/] ({found.kind}): {escape(found.summary)}")
    if source := ", ".join(v for k, v in found.about.items() if k != "name"):
        console.print(escape(source))
    if found.recipe:
        console.print("its own defaults: " + escape(_listed(found.recipe)))
    if found.unused:
        console.print("without effect on it: " + ", ".join(f"--{dashed(n)}" for n in found.unused))
    console.print(table if table.rows else "It has no settings.")
    for key, values in found.presets.items():
        preset = f"{escape(name.partition('@')[0])}@{key}"
        console.print(f"preset [bold]{preset}[/]: {_listed(values)}")


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())


if __name__ == "__main__":
    sys.exit(main())
