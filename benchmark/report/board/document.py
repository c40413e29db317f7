"""The page as one HTML file: skeleton, style sheet, scripts and data; it loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mm_imagenet_r.pages import as_script, render

#: Stands in every page of this kind, so that no other one is overwritten.
MARK = '<meta name="generator" content="benchmark.leaderboard">'
_SCRIPTS = ("elements.js", "state.js", "strips.js", "table.js", "charts.js", "page.js")


def index(data: Any, *, title: str, counts: Sequence[str], files: Sequence[str] = ()) -> str:
    """The page of what `boards.describe` returns; `files` hold its data as CSV and as JSON."""
    return render(
        "benchmark.report.board",
        "index.html",
        styles=["board.css"],
        scripts=_SCRIPTS,
        title=title,
        counts=counts,
        files=files,
        data=as_script(data),
    )
