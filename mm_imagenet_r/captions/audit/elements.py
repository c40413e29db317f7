"""Building blocks of the page: sections, cards, rows of bars, images with marked captions."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from mm_imagenet_r import images as decoding
from mm_imagenet_r.archive import Images
from mm_imagenet_r.captions.audit import Audit, Group
from mm_imagenet_r.captions.leakage import GRADES, imagenet_r, lexicon_around
from mm_imagenet_r.markup import Child, Html, el, join

_SIDE: Final = 420
_EMPTY: Final = el("p", "(empty)", class_="soft")


def section(title: str, side: str, *body: Child) -> Html:
    """A section with its title and a remark beside it; plain text in the body is a soft note."""
    return el(
        "section",
        el("div", el("h2", title), el("p", side), class_="side"),
        el("div", [el("p", b, class_="soft") if type(b) is str else b for b in body]),
    )


def sub(title: str) -> Html:
    """A title within a section."""
    return el("h3", title, class_="sub")


def card(name: str, number: str, unit: str, under: str, kind: str = "") -> Html:
    """One large number, what it is and what goes with it."""
    figure = el("p", number, el("small", unit) if unit else None, class_="figure")
    return el("div", el("h3", name), figure, el("p", under), class_=f"card {kind}".strip())


def grade_bars(groups: Mapping[str, Group]) -> Html:
    """How many captions of each group name their class, by grade."""
    return bars(
        (name, [(grade, its.grades[grade] / its.count) for grade in GRADES], percent(its.share))
        for name, its in groups.items()
    )


def bars(rows: Iterable[tuple[str, Sequence[tuple[str, float]], str]]) -> Html:
    """Rows of a name, a bar in parts of a whole (kind and share), and a number."""
    cells = []
    for name, shares, number in rows:
        parts = [el("i", class_=kind, style=f"width:{100 * s:.2f}%") for kind, s in shares if s]
        cells += [el("span", name, class_="name"), el("span", parts, class_="bar")]
        cells.append(el("span", number, class_="n"))
    return el("div", cells, class_="bars")


def percent(share: float) -> str:
    r"""A share in a sentence, with a space that does not break the line.

    >>> percent(0.5)
    '50.0\xa0%'
    """
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def gallery(found: Audit, names: Iterable[str], images: Images | None) -> Html:
    """A figure for each name: the image if there is one, the class, the caption with marks."""
    known = set(images.names) if images is not None else set()
    figures = []
    for name in names:
        wnid, caption = name.split("/")[-2], found.captions.by_name[name]
        url = thumbnail(images.read(name)) if images is not None and name in known else None
        text = el("p", marked(caption, wnid)) if caption.strip() else _EMPTY
        figures.append(
            el(
                "figure",
                url and el("img", src=url, alt=name),
                el("h4", readable(wnid), el("small", name)),
                text,
            )
        )
    return el("div", figures, class_="gallery")


def marked(caption: str, wnid: str) -> Html:
    """Return a caption with the names of its class marked by their grades.

    >>> marked("A polar bear < a bear.", "n02134084")
    'A <mark class="lemma">polar bear</mark> &lt; a <mark class="head">bear</mark>.'
    """
    parts: list[str] = []
    end = 0
    for mention in lexicon_around(wnid).mentions(caption):
        if wnid in mention.grades:
            name = caption[mention.start : mention.end]
            parts += [caption[end : mention.start], el("mark", name, class_=mention.grades[wnid])]
            end = mention.end
    return join(parts, caption[end:])


def readable(wnid: str) -> str:
    """Return ImageNet's label of a class, or its folder's name.

    >>> readable("n02134084"), readable("apple_pie")
    ('ice bear', 'apple pie')
    """
    names = imagenet_r().get(wnid)
    return names.label if names is not None else wnid.replace("_", " ")


def thumbnail(data: bytes) -> str | None:
    """Return a small copy of an image as a data: address, None if it is broken."""
    image = decoding.rgb_or_fault(data)
    if isinstance(image, str):
        return None
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
