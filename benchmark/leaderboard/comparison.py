"""Several runs of one's own on one page: the board without verification and without other pages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from benchmark.leaderboard.site.boards import describe, rank
from benchmark.leaderboard.site.collect import Shown, collect
from benchmark.leaderboard.site.document import index
from benchmark.results.io import read
from benchmark.results.tables import copies
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.markup import el

_REPORT = "report.html"


def write_comparison(folders: Sequence[Path], path: Path) -> Path:
    """Write a page that compares runs.

    Args:
        folders: The runs' folders.
        path: The page to write.

    Returns:
        `path`.

    Raises:
        UserError: A result is missing or broken, none is finished, or one is there twice with
            other figures.
    """
    found = collect([_shown(folder, path.parent) for folder in folders])
    if not found.shown:
        raise UserError("none of these runs is finished: give their commands again to resume them")
    results = [one.result for one in found.shown]
    runs = pluralize(len(results) - copies(results), "run")
    methods = pluralize(len({result["method"] for result in results}), "method")
    data = describe(found, rank(found), {})
    lead = el(
        "p",
        el("b", runs),
        f" of {methods} in {pluralize(len(data['boards']), 'table')}. Only what may be compared "
        "stands in one table: the same data, captions, split, phases, training steps, backbone, "
        "memory and currency.",
        class_="lead",
    )
    check = el("code", "python -m benchmark.results FOLDER --verify")
    footer = el("p", "Nothing here is verified; check with ", check, ".")
    write_atomic(path, index(data, title="Comparison", lead=lead, footer=footer).encode())
    return path


def _shown(folder: Path, beside: Path) -> Shown:
    """A run, and where its report lies seen from a page in `beside`."""
    name = Path(os.path.relpath(folder, beside)).as_posix()
    report = f"{quote(name)}/{_REPORT}" if (folder / _REPORT).is_file() else None
    return Shown(read(folder), folder, name, report=report)
