"""What the page is put together from: sections, cards, rows of bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mm_imagenet_r.captions.audit import Group
from mm_imagenet_r.captions.leakage import GRADES
from mm_imagenet_r.markup import Child, Html, el

_GRADE_WORDS: Final = {
    "label": "by ImageNet's label",
    "lemma": "by another name of WordNet",
    "head": "by a head noun only",
}


def section(title: str, side: str, *body: Child, open_: bool = False) -> Html:
    """A section with its title and a remark beside it; text in the body is said softly."""
    return el(
        "section",
        el("div", el("h2", title), el("p", side), class_="side"),
        el("div", [el("p", b, class_="soft") if type(b) is str else b for b in body]),
        class_="open" if open_ else None,
    )


def card(name: str, figure: str, unit: str, under: str, kind: str = "") -> Html:
    """One large figure, what it is and what goes with it."""
    return el(
        "div",
        el("h3", name),
        el("p", figure, el("small", unit) if unit else None, class_="figure"),
        el("p", under),
        class_=f"card {kind}".strip(),
    )


def legend() -> Html:
    """What the colours of `grade_bars` stand for."""
    items = [el("li", el("i", class_=grade), _GRADE_WORDS[grade]) for grade in GRADES]
    return el("ul", items, class_="legend")


def grade_bars(groups: dict[str, Group]) -> Html:
    """How many captions of each group name their class, by grade."""
    return bars(
        [
            (name, [(grade, its.grades[grade] / its.count) for grade in GRADES],
             percent(its.share))
            for name, its in groups.items()
        ]
    )  # fmt: skip


def bars(rows: Sequence[tuple[str, Sequence[tuple[str, float]], str]]) -> Html:
    """Rows of a name, a bar in parts of a whole (kind and share), and a number."""
    cells = [
        (
            el("span", name, class_="name"),
            el(
                "span",
                [el("i", class_=kind, style=f"width:{100 * s:.2f}%") for kind, s in parts if s],
                class_="bar",
            ),
            el("span", number, class_="n"),
        )
        for name, parts, number in rows
    ]
    return el("div", cells, class_="bars")


def figure(share: float) -> tuple[str, str]:
    """A share as number and unit of a card."""
    return f"{100 * share:.1f}", "%"


def percent(share: float) -> str:
    r"""A share in a sentence, which does not break it.

    >>> percent(0.5)
    '50.0\xa0%'
    """
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def short(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= 240 else text[:239] + "…"
