"""The page as one HTML file: skeleton, style sheet, scripts and data; it loads nothing.

Its policy allows the very scripts and styles that stand in it, by their hashes, and nothing else: a
name in a result that became markup could neither run nor load anything.
"""

from __future__ import annotations

import html
import importlib.resources
import json
from string import Template
from typing import Any

from benchmark.report.page import style_sheet
from mm_imagenet_r.markup import Html, policy

_HERE = importlib.resources.files("benchmark.leaderboard.site")
#: Stands in every page of this kind, so that no other one is overwritten.
MARK = '<meta name="generator" content="benchmark.leaderboard">'
_SCRIPTS = ("elements.js", "state.js", "strips.js", "table.js", "charts.js", "page.js")


def index(data: Any, *, title: str, lead: Html, footer: Html) -> str:
    """The page with all boards.

    Args:
        data: What `boards.describe` returns, and what else the scripts show.
        title: Its title.
        lead: What stands below it.
        footer: What stands at the end.
    """
    script = "\n".join(_HERE.joinpath(name).read_text("utf-8") for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();'
    style = style_sheet("benchmark.report", "tokens.css")
    style += style_sheet("benchmark.leaderboard.site", "site.css")
    return Template(_HERE.joinpath("index.html").read_text("utf-8")).substitute(
        policy=policy(style, script),
        title=html.escape(title),
        mark=MARK,
        lead=lead,
        style=style,
        footer=footer,
        data=as_script(data),
        script=script,
    )


def as_script(data: Any) -> str:
    r"""JSON that no HTML parser can take for markup, wherever it stands.

    >>> as_script({"name": "</script><b>"})
    '{"name":"\\u003c/script\\u003e\\u003cb\\u003e"}'
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
