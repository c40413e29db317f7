"""Several runs of one's own on one page: the board without verification and without other pages."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from benchmark.report.board.boards import describe, rank
from benchmark.report.board.collect import Shown, collect
from benchmark.report.board.document import index
from benchmark.results.io import read
from benchmark.results.tables import copies
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.pages import check_page

_REPORT = "report.html"
_NAMED = 3  # methods in the name of a page


def comparison_name(folders: Sequence[Path]) -> str:
    """A file name for the page of runs in SETTING/METHOD/RUN; other runs never have the same one.

    >>> runs = [Path("runs/mini/replay/seed0-1a"), Path("runs/mini/joint/seed0-2b")]
    >>> comparison_name(runs), comparison_name(runs) == comparison_name(runs[::-1])
    ('comparison-joint-replay-803ee0f8.html', True)
    """
    runs = sorted("/".join(folder.resolve().parts[-3:]) for folder in folders)
    methods = sorted({re.sub(r"[^\w@.-]+", "-", run.split("/")[-2]) for run in runs})
    more = [f"and-{len(methods) - _NAMED}-more"] if len(methods) > _NAMED else []
    return "-".join(["comparison", *methods[:_NAMED], *more, json_sha256(runs)[:8]]) + ".html"


def write_comparison(folders: Sequence[Path], path: Path) -> Path:
    """Write a page that compares runs; return its path.

    Raises:
        UserError: A result is missing or broken, none is finished, or one is there twice with
            other figures; or the page would be written over another file.
    """
    check_page(path)
    found = collect([_shown(folder, path.parent) for folder in folders])
    if not found.shown:
        raise UserError("none of these runs is finished: give their commands again to resume them")
    results = [one.result for one in found.shown]
    data = describe(found, rank(found), {})
    page = index(
        data,
        title="Comparison",
        counts=[
            pluralize(len(results) - copies(results), "run"),
            pluralize(len({result["method"] for result in results}), "method"),
            pluralize(len(data["boards"]), "table"),
        ],
    )
    write_atomic(path, page.encode())
    return path


def _shown(folder: Path, beside: Path) -> Shown:
    """A run, and where its report lies seen from a page in `beside`."""
    name = Path(os.path.relpath(folder, beside)).as_posix()
    report = f"{quote(name)}/{_REPORT}" if (folder / _REPORT).is_file() else None
    return Shown(read(folder), folder, name, report=report)
