"""`python -m benchmark.leaderboard build RESULTS --out SITE`: the page from result files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmark.leaderboard.levels import Level, Verdict, lifted, recorded
from benchmark.leaderboard.site.boards import describe
from benchmark.leaderboard.site.collect import LeftOut, Shown, collect
from benchmark.leaderboard.site.document import index
from benchmark.leaderboard.site.text import clean
from benchmark.results.io import find
from benchmark.results.verify import verify_all
from mm_imagenet_r import command_line
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.markup import el


def main(arguments: Sequence[str] | None = None) -> int:
    return command_line.run(_main, arguments)


def _main(arguments: Sequence[str] | None) -> None:
    given = parser().parse_args(arguments)
    build(given.results, given.out)


def parser() -> argparse.ArgumentParser:
    found = command_line.Parser(prog="python -m benchmark.leaderboard build")
    found.add_argument("results", type=Path)
    found.add_argument("--out", type=Path, required=True)
    return found


def build(root: Path, out: Path) -> None:
    records = recorded(root)
    shown, left_out = [], []
    for checked in verify_all(find([root])):
        if checked.found or checked.result is None:
            left_out.append(LeftOut(checked.folder, checked.found[0]))
            continue
        verdict = lifted(Verdict(checked.folder, Level.CONSISTENT), records)
        shown.append(Shown(checked.result, checked.folder, verdict.level))
    found = collect(shown)
    data = describe(found, pages=False)
    data["notes"] = []
    data["left_out"] = [[clean(str(f)), clean(w)] for f, w in [*left_out, *found.left_out]]
    text = index(
        data,
        title="Leaderboard",
        lead=el("p", f"{len(found.shown)} results", class_="lead"),
        downloads=True,
    )
    write_atomic(out / "index.html", text.encode())
