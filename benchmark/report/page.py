"""The frame of every page: one file, nothing loaded from anywhere."""

from __future__ import annotations

import importlib.resources

from mm_imagenet_r.markup import Html, document, el, policy

_SCRIPT = (
    "document.querySelectorAll('button').forEach(b=>b.onclick=()=>navigator.clipboard"
    ".writeText(b.previousElementSibling.textContent).then(()=>{b.textContent='Copied'}))"
)


def page(title: str, body: Html, *, check: str = "benchmark.results FOLDER --verify") -> str:
    """A whole HTML document around a body, style sheet within.

    Args:
        title: Its title.
        body: Header and main part.
        check: The module and its arguments that check what the page shows.
    """
    style = style_sheet("benchmark.report", "tokens.css", "report.css")
    code = el("code", f"python -m {check}")
    foot = el(
        "footer", el("p", "Every number follows from the run's files: check with ", code, ".")
    )
    allowed = policy(style, _SCRIPT)
    return document(title, style, allowed, body, foot, el("script", Html(_SCRIPT)))


def style_sheet(package: str, *names: str) -> str:
    """Style sheets of a package, one after the other."""
    here = importlib.resources.files(package)
    return "".join(here.joinpath(name).read_text("utf-8") for name in names)
