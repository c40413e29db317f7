"""`python -m benchmark.leaderboard build RESULTS --out SITE`: the page from result files."""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmark.leaderboard.check import check_and_read
from benchmark.leaderboard.levels import RECORD, Level, lifted, recorded, safe
from benchmark.leaderboard.method_page import MARK as METHOD_MARK
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
from mm_imagenet_r.folders import is_folder, resolved
from mm_imagenet_r.reading import TABLE, open_regular, parse_json, read_text

INDEX: Final = "index.html"
CSV: Final = "leaderboard.csv"
METHODS: Final = "methods"
JSON: Final = "leaderboard.json"
_BEGINNING: Final = 2**20  # bytes of a page in which its mark stands


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
        UserError: A file cannot be written, or another one is called as that of a method.
    """
    ranked = rank(found)
    names = slugs({one.result["method"] for one in found.shown})
    pages = {name: f"{METHODS}/{slug}.html" for name, slug in names.items()}
    levels = [(level.word, level.meaning) for level in Level]
    data = describe(found, ranked, pages, levels)
    for path in pages.values():
        if os.path.lexists(out / path) and not _has(out / path, METHOD_MARK):
            raise _foreign(out / path)
    for path in _pages_of(out / JSON) - set(pages.values()):
        if _has(out / path, METHOD_MARK):
            (out / path).unlink()  # first: only the earlier JSON knows of them
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
    place, results = resolved(out), resolved(root)
    within = place.is_relative_to(results)
    if place == results or (within and any(out.rglob("result.json*"))):
        raise UserError(f"--out {out} is a folder of results: choose another one for the page")
    paths = (out / name for name in (INDEX, CSV, JSON, METHODS))
    there = [path for path in paths if os.path.lexists(path)]
    for path in there:
        is_own = stat.S_ISDIR if path.name == METHODS else stat.S_ISREG
        if not is_own(path.lstat().st_mode):  # as a link, which leads to what is not of the page
            raise _foreign(path)
    if there and not _has(out / INDEX, MARK):
        raise _foreign(there[0])


def _foreign(path: Path) -> UserError:
    return UserError(
        f"{path} is not part of such a page and would be overwritten: choose another folder, or "
        "remove it"
    )


def _has(page: Path, mark: str) -> bool:
    """Whether a file is a page of this program."""
    try:
        with open_regular(page, follow=False) as file:
            return mark.encode() in file.read(_BEGINNING)
    except OSError:
        return False


def _pages_of(path: Path) -> set[str]:
    try:
        entries = parse_json(read_text(path, TABLE))["entries"]
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
    top = root if is_folder(root) else root.parent
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
