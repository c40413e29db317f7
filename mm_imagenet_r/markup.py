"""HTML and SVG put together from elements, so that text from data can never become markup."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Union

_VOID = {"br", "hr", "img", "meta"}


class Html(str):
    """Text that is markup already, for templates too."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


Child = Union[str, int, float, None, "Sequence[Child]"]


def el(tag: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """One element. Text is escaped, `Html` is not; None and False leave a thing out.

    Attribute names lose a trailing underscore and get dashes for the others.

    >>> el("p", "1 < 2 & ", el("b", "so"), class_="x y", title='"')
    '<p class="x y" title="&quot;">1 &lt; 2 &amp; <b>so</b></p>'
    >>> el("rect", x=1.0, stroke_width=0.25, hidden=True, fill=None)
    '<rect x="1" stroke-width="0.25" hidden></rect>'
    """
    written = "".join(
        f" {key.removesuffix('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(_text(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: Child) -> Html:
    """Several children one after the other, escaped unless they are markup.

    >>> join("<", [el("i", "a"), None, 2])
    '&lt;<i>a</i>2'
    """
    parts: list[str] = []
    for child in children:
        if isinstance(child, Html):
            parts.append(str(child))
        elif isinstance(child, (str, int, float)):
            parts.append("" if child is False else html.escape(_text(child)))
        elif child is not None:
            parts.append(join(*child))
    return Html("".join(parts))


def _text(value: str | int | float) -> str:
    """Numbers short: charts hold thousands of coordinates."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
