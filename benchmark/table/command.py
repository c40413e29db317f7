"""The command: find and read results, compare, write."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.figures import check_path
from benchmark.results.io import find_runs, read
from benchmark.results.schema import Result
from benchmark.results.tables import copies, table
from benchmark.table.compare import ACCURACIES, DEFAULT, READINGS, Reading, Table, compare
from benchmark.table.curve import left_out, write_curve
from benchmark.table.formats import (
    LABEL,
    cell,
    csv_text,
    json_text,
    latex,
    markdown,
    print_terminal,
    records,
)
from benchmark.table.frame import frame
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError, printable

if TYPE_CHECKING:
    from rich.console import Console


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; return the exit code: 0, or 2 for a mistake or a file left out."""
    return command_line.run(_main, arguments)


def tables(
    paths: Iterable[Path | str],
    *,
    metrics: Sequence[str] = DEFAULT,
    baseline: str | None = None,
    reading: Reading = "all",
) -> list[Table]:
    """The tables of all finished runs below some folders.

    `metrics` are names of `compare.ACCURACIES`, the first of which ranks the rows. `baseline` is
    the method or label to compare with (None: the best row of each table), `reading` says which
    classifiers' rows are shown: own, linear or all.

    Raises:
        UserError: There is no result, one cannot be read, two are the same run with other figures,
            or an argument is unknown.
    """
    folders = find_runs(map(Path, paths))
    rows = table([read(folder) for folder in folders], folders)
    return compare(rows, metrics=metrics, baseline=baseline, reading=reading)


def print_table(folders: Sequence[Path], console: Console) -> None:
    """Print the tables of some runs.

    Raises:
        UserError: A result cannot be read, or one is there twice with other figures.
    """
    found = [read(folder) for folder in folders]
    _say_left_out(found)
    print_terminal(compare(table(found, folders)), console)


def _main(arguments: Sequence[str] | None) -> None:
    given = _parse(arguments)
    for path in given.curve:
        check_path(path)
    folders, results, broken = [], [], []
    for folder in find_runs(given.runs):
        try:
            results.append(read(folder))
            folders.append(folder)
        except UserError as error:
            broken.append(error)
            print(f"left out: {error}", file=sys.stderr)
    _say_left_out(results)
    rows = table(results, folders)
    metrics = list(dict.fromkeys(given.metric or DEFAULT))
    found = compare(rows, metrics=metrics, baseline=given.baseline, reading=given.reading)
    for path in given.curve:
        print(f"curve: {write_curve(found, path)}", file=sys.stderr)
    if given.curve and (names := ", ".join(map(printable, left_out(found)))):
        print(
            f"left out of the curve, as they have only one amount of memory: {names}",
            file=sys.stderr,
        )
    if given.format == "terminal":
        from mm_imagenet_r.progress import make_console

        print_terminal(found, make_console(), wide=given.wide)
    elif given.format == "latex":
        print(latex(found, caption=given.caption, label=given.label, wide=given.wide), end="")
    elif given.format == "long":
        print(frame(folders).map(cell).to_csv(index=False, lineterminator="\n"), end="")
    else:
        write: dict[str, Callable[[Sequence[Table]], str]]
        write = {"markdown": markdown, "json": json_text, "csv": lambda t: csv_text(records(t))}
        print(write[given.format](found), end="")
    if broken:
        count = f"{len(broken)} of {len(broken) + len(results)} results"
        raise UserError(f"{count} cannot be read and are left out of the tables")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line.Parser(
        prog="python -m benchmark.table",
        description="Tables of all finished runs in some folders, one for each setting: mean and "
        "deviation over class orders and seeds, paired differences with 95 % intervals.",
        epilog="example: python -m benchmark.table results runs --baseline replay "
        "--format latex --curve memory.pdf > table.tex",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or result.json files")
    parser.add_argument(
        "--format",
        choices=("terminal", "markdown", "latex", "csv", "json", "long"),
        default="terminal",
        help="csv and json: every figure of each row, p-values too; long: CSV with a line for each "
        "run, classifier and phase, as `benchmark.table.frame` (default: terminal)",
    )
    parser.add_argument(
        "--wide",
        action="store_true",
        help="all columns in a terminal or LaTeX; the other formats always have all (default: "
        "accuracy, differences, exemplars, tuning)",
    )
    parser.add_argument(
        "--metric",
        action="append",
        metavar="NAME",
        help=f"accuracy to compare in: {', '.join(ACCURACIES)}; may be repeated, the first one "
        f"ranks the rows and is drawn (default: {' and '.join(DEFAULT)})",
    )
    parser.add_argument(
        "--baseline",
        metavar="METHOD",
        help="what each row is compared with: a method or a row's label (default: the best row)",
    )
    parser.add_argument(
        "--reading",
        choices=READINGS,
        default=READINGS[0],
        help="which classifiers: the method's own, the linear head where there is one, or all of "
        f"them (default: {READINGS[0]})",
    )
    parser.add_argument("--caption", help="LaTeX at the beginning of the caption")
    parser.add_argument("--label", default=LABEL, help=f"LaTeX label (default: {LABEL})")
    parser.add_argument(
        "--curve",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="also draw accuracy and exemplars over memory: .svg, .pdf or .png; may be repeated",
    )
    given = parser.parse_args(arguments)
    if given.format != "latex":
        for option, default in (("caption", None), ("label", LABEL)):
            if getattr(given, option) != default:
                raise UserError(f"--{option} needs --format latex")
    if given.wide and given.format not in ("terminal", "latex"):
        raise UserError(f"--format {given.format} has all columns: leave --wide out")
    return given


def _say_left_out(found: Sequence[Result]) -> None:
    for count, kind in (
        (sum(not result["complete"] for result in found), "unfinished"),
        (copies(found), "repeated with equal figures"),
    ):
        if count:
            print(f"left out: {count} {kind} of {len(found)} runs", file=sys.stderr)
