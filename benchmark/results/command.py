"""`python -m benchmark.results`: the table of all runs below some folders, or their check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.results.io import find, read
from benchmark.results.schema import Result
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console


def print_table(folders: Sequence[Path], console: Console | None = None) -> None:
    """Print mean and deviation over seeds of all finished runs, one table per setting.

    Raises:
        UserError: A result cannot be read, or one is there twice with other figures.
    """
    from benchmark.display import make_console
    from benchmark.results import formats as table_formats
    from benchmark.results import tables as result_tables

    found = [read(folder) for folder in folders]
    _say_left_out(found)
    table_formats.print_terminal(result_tables.table(found), console or make_console())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of all runs below some folders, or check them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.results",
        description="Mean and deviation over seeds of all finished runs, one table per setting.",
        epilog="example: python -m benchmark.results runs/ --format markdown > table.md",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or result.json files")
    parser.add_argument(
        "--format", choices=("terminal", "markdown", "latex", "csv"), default="terminal"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="instead recompute what follows from configuration, predictions and exemplars; "
        "exit 1 on a difference",
    )
    given = parser.parse_args(arguments)
    try:
        folders = find(given.runs)
        return _verify(folders) if given.verify else _tabulate(folders, given.format)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _verify(folders: Sequence[Path]) -> int:
    from benchmark.results.verify import UNCHECKED, verify_all

    failed = 0
    for verdict in verify_all(folders):
        failed += bool(verdict.found)
        many = "discrepancy" if len(verdict.found) == 1 else "discrepancies"
        words = f"{len(verdict.found)} {many}" if verdict.found else "verified"
        print(f"{verdict.folder}: {', '.join([words, *verdict.notes])}")
        for line in verdict.found:
            print(f"  {line}")
    print(UNCHECKED)
    return 1 if failed else 0


def _tabulate(folders: Sequence[Path], style: str) -> int:
    if style == "terminal":
        print_table(folders)
        return 0
    from benchmark.results import formats as table_formats
    from benchmark.results import tables as result_tables

    found = [read(folder) for folder in folders]
    _say_left_out(found)
    renderers = {
        "markdown": table_formats.markdown,
        "latex": table_formats.latex,
        "csv": table_formats.csv_text,
    }
    print(renderers[style](result_tables.table(found)), end="")
    return 0


def _say_left_out(found: Sequence[Result]) -> None:
    from benchmark.results.tables import copies

    for count, kind in (
        (sum(not result["complete"] for result in found), "unfinished"),
        (copies(found), "repeated with equal figures"),
    ):
        if count:
            print(f"left out: {count} {kind} of {len(found)} runs", file=sys.stderr)
