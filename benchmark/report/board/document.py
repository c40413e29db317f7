"""The page as one HTML file that loads nothing; texts and file names as it may hold them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.pages import as_script, render

#: Stands in every page of this kind, so that no other one is overwritten.
MARK = '<meta name="generator" content="benchmark.leaderboard">'
#: Control, formatting (which can turn the direction of what follows), surrogate, unassigned.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn"}
_LONGEST = 160
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


def clean(text: str) -> str:
    r"""Text on one line, without signs that cannot be seen, and not too long.

    >>> clean("replay\u202e\x00"), clean("a\n b"), len(clean("x" * 1000))
    ('replay', 'a b', 160)
    """
    shown = "".join(c for c in " ".join(text.split()) if unicodedata.category(c) not in _UNSEEN)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A file name for each name, no two alike on any file system.

    >>> slugs(["ease", "../Ease", "my.py:Ease"])["ease"]
    'ease'
    >>> slugs(["../x"])["../x"].startswith("x-")
    True
    """
    found = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:60]
        found[name] = plain if plain == name else f"{plain}-{json_sha256(name)[:8]}".strip("-")
    return found
