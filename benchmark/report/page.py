"""The frame of every page: one file, nothing loaded from anywhere."""

from __future__ import annotations

import importlib.resources

from mm_imagenet_r.markup import Html, document, el

# The page may load nothing: not even a class name from a strange data set could make it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline'"
_SCRIPT = (
    "document.querySelectorAll('button').forEach(b=>b.onclick=()=>navigator.clipboard"
    ".writeText(b.previousElementSibling.textContent).then(()=>{b.textContent='Copied'}))"
)


def page(title: str, body: Html) -> str:
    """A whole HTML document around a body, style sheet within."""
    here = importlib.resources.files("benchmark.report")
    style = "".join(
        here.joinpath(f"{name}.css").read_text("utf-8") for name in ("tokens", "report")
    )
    check = el("code", "python -m benchmark.results FOLDER --verify")
    foot = el(
        "footer", el("p", "Every number follows from the run's files: check with ", check, ".")
    )
    return document(title, style, _POLICY, body, foot, el("script", Html(_SCRIPT)))
