"""`python -m benchmark.run`: parse, plan, run, report.

python -m benchmark.run --method exemplar_masking
python -m benchmark.run --list
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.config import RunConfig, parse
from benchmark.method import REGISTRY, describe_settings, find, make_settings
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, or 2 for a mistake of the user."""
    try:
        config, given = parse(arguments)
        if "list" in given:
            _list(given.list)
        else:
            run(config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def run(config: RunConfig) -> list[Path]:
    """Run every cell of a configuration that is not done yet and write its report.

    Returns:
        The cells' folders.
    """
    for cell in config.cells():  # all names and settings are checked before anything is trained
        method, preset = find(cell.method[0])
        make_settings(method, preset, cell.settings_of(cell.method[0]))
    if config.dry_run:
        from benchmark.plan import print_plan

        print_plan(config)
        return []

    from accelerate import PartialState

    from benchmark import report, results
    from benchmark.display import Display
    from benchmark.experiment import open_data_of, run_cell

    main_process = PartialState(cpu=config.device == "cpu").is_main_process
    display = Display(silent=not main_process)
    data = open_data_of(config)
    folders = []
    try:
        for cell in config.cells():
            folders.append(run_cell(cell, display, data))
            if main_process:
                page = report.write_report(folders[-1])
                display.console.print(f"report: {page}", soft_wrap=True)
    finally:
        display.stop()
    if main_process:
        results.print_table(folders, display.console)
        if len(folders) > 1:
            page = report.write_comparison(folders, config.output / "comparison.html")
            display.console.print(f"comparison: {page}", soft_wrap=True)
    return folders


def _list(name: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    if not name:
        table.add_column("method", style="bold")
        table.add_column("what it does")
        for method, (_, summary) in REGISTRY.items():
            table.add_row(method, summary)
        console.print(table)
        console.print("[dim]--list METHOD shows a method's settings and presets[/]")
        return
    _settings_table(name, console)


def _settings_table(name: str, console: Console) -> None:
    from rich.table import Table

    method, preset = find(name)
    table = Table("--set", "default", "meaning", box=None, pad_edge=False)
    chosen = method.presets.get(preset, {})
    for key, default, text in describe_settings(method):
        table.add_row(key, str(chosen.get(key, default)), text)
    console.print(f"[bold]{name}[/]: {(method.__doc__ or '').strip().splitlines()[0]}")
    console.print(table)
    for key, values in method.presets.items():
        listed = ", ".join(f"{k}={v}" for k, v in values.items())
        console.print(f"preset [bold]{name.partition('@')[0]}@{key}[/]: {listed}")


if __name__ == "__main__":
    sys.exit(main())
