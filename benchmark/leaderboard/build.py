"""`python -m benchmark.leaderboard build RESULTS --out SITE`: the page from result files."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmark.leaderboard.check import check_and_read
from benchmark.leaderboard.levels import RECORD, Level, lifted, recorded, safe
from benchmark.leaderboard.method_page import method_page
from benchmark.leaderboard.rules import unchecked
from benchmark.report.board.boards import describe, rank
from benchmark.report.board.collect import Collection, LeftOut, Shown, collect
from benchmark.report.board.document import MARK, index, slugs
from benchmark.results.tables import Row
from benchmark.table.compare import Table
from benchmark.table.formats import csv_text, records
from mm_imagenet_r.command_line import Parser, path_of
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.files import check_writable, write_atomic

INDEX: Final = "index.html"
CSV: Final = "leaderboard.csv"
METHODS: Final = "methods"
JSON: Final = "leaderboard.json"


def parser() -> argparse.ArgumentParser:
    """Its command line."""
    command = Parser(
        prog="python -m benchmark.leaderboard build",
        description="Write a page of all results in a folder, each checked first: tables, "
        "charts, a page for each method, and the figures as CSV and JSON. It needs no server and "
        "loads nothing from elsewhere.",
        epilog="example: python -m benchmark.leaderboard build results --out docs/leaderboard",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("results", type=path_of, metavar="RESULTS", help=f"a folder of results, perhaps {RECORD}")
    add("--out", type=path_of, required=True, metavar="SITE", help="the folder to write")
    return command


def main(arguments: Sequence[str]) -> int:
    """Build; 0, also where some results are left out, which is reported.

    Raises:
        UserError: A mistake in the command line, nothing to show, or a folder that cannot be
            written.
    """
    given = parser().parse_args(arguments)
    check_writable(given.out, "--out")
    found = build(given.results, given.out)
    for name, why in found.left_out:
        print(f"left out: {safe(name)}: {why}")
    print(f"{given.out / INDEX}: {pluralize(len(found.shown), 'result')}")
    return 0


def build(root: Path, out: Path) -> Collection:
    """Write the page of all results below a folder, at the levels that `verified.json` records.

    Returns what the page shows and what it leaves out; an earlier page is replaced.

    Raises:
        UserError: There is no result, none can be shown, another page lies where it would be
            written, or a file cannot be written.
    """
    _refuse_foreign(root, out)
    found = _checked(root)
    if not found.shown:
        reasons = "; ".join(f"{safe(name)}: {safe(why)}" for name, why in found.left_out[:3])
        raise UserError(f"{root} has no result that can be shown: {reasons}")
    write(found, out)
    return found


def write(found: Collection, out: Path) -> None:
    """Write the page of some results; pages of methods of an earlier one go.

    Raises:
        UserError: A file cannot be written.
    """
    ranked = rank(found)
    names = slugs({one.result["method"] for one in found.shown})
    pages = {name: f"{METHODS}/{slug}.html" for name, slug in names.items()}
    levels = [(level.word, level.meaning) for level in Level]
    data = describe(found, ranked, pages, levels)
    for path in _pages_of(out / JSON) - set(pages.values()):
        (out / path).unlink(missing_ok=True)  # first: only the earlier JSON knows of them
    counts = [
        pluralize(len(found.shown), "result"),
        pluralize(len(names), "method"),
        pluralize(len(ranked["own"]), "table"),
    ]
    page = index(data, title="Leaderboard", counts=counts, files=(CSV, JSON))
    write_atomic(out / INDEX, page.encode())  # first: it says whose the other files are
    for name, path in pages.items():
        text = method_page(name, ranked["own"], found.shown, f"../{INDEX}")
        write_atomic(out / path, text.encode())
    write_atomic(out / CSV, _csv(found, ranked["all"]).encode())
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(out / JSON, text.encode())


def _refuse_foreign(root: Path, out: Path) -> None:
    """A page is written over an earlier one of these alone, and not among results."""
    within = out.resolve().is_relative_to(root.resolve())
    if out.resolve() == root.resolve() or (within and any(out.rglob("result.json*"))):
        raise UserError(f"--out {out} is a folder of results: choose another one for the page")
    there = [name for name in (INDEX, CSV, JSON, METHODS) if os.path.lexists(out / name)]
    page = out / INDEX
    if there and not (page.is_file() and MARK in page.read_text("utf-8", errors="replace")):
        raise UserError(
            f"{out / there[0]} is not part of such a page and would be overwritten: choose another "
            "folder, or remove it"
        )


def _pages_of(path: Path) -> set[str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["entries"]
        found = {str(entry["page"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {page for page in found if re.fullmatch(rf"{METHODS}/[\w-]+\.html", page, re.ASCII)}


def _csv(found: Collection, tables: Sequence[Table]) -> str:
    """Every row with plain numbers and its level; no text is a formula for a spreadsheet."""
    levels = {one.folder: one.level for one in found.shown}

    def level(row: Row) -> dict[str, str]:
        known = [level for f in row.folders if f and (level := levels[f]) is not None]
        return {"level": Level(min(known)).word if known else ""}

    return csv_text(records(tables, level))


def _checked(root: Path) -> Collection:
    """The results below a folder, each at its level; two of one run with equal figures are one."""
    records = recorded(root)
    top = root if root.is_dir() else root.parent
    shown, refused = [], []
    for verdict, result in check_and_read([root], records):
        below = verdict.folder.relative_to(top)
        name = below.as_posix() if below.parts else verdict.folder.resolve().name
        if result is None:
            refused.append(LeftOut(name, f"refused: {verdict.reasons[0]}"))
        else:
            level = lifted(verdict, records).level
            open_facts = unchecked(result) if level is Level.CONSISTENT else ()
            shown.append(Shown(result, verdict.folder, name, level, unchecked=open_facts))
    shown.sort(key=lambda one: -(one.level or 0))  # of equal results the first one is shown
    return collect(shown, refused)
