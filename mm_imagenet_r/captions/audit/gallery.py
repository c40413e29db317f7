"""Images with their captions, in which the names of their classes are marked."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mm_imagenet_r import images as decoding
from mm_imagenet_r.captions.audit import Audit
from mm_imagenet_r.captions.leakage import imagenet_r, lexicon_around
from mm_imagenet_r.markup import Html, el, join

if TYPE_CHECKING:
    from mm_imagenet_r.archive import Images

_SIDE: Final = 420
_EMPTY: Final = el("p", "(empty)", class_="soft")


def figures(found: Audit, names: Iterable[str], images: Images | None) -> list[Html]:
    """Return a figure for each name: image if there is one, class, caption with marks."""
    known = set(images.names) if images is not None else set()
    made = []
    for name in names:
        wnid = name.split("/")[-2]
        picture = None
        if images is not None and name in known:
            url = thumbnail(images.read(name))
            picture = url and el("img", src=url, alt=name)
        caption = found.captions.by_name[name]
        made.append(
            el(
                "figure",
                picture,
                el("h4", readable(wnid), el("small", name)),
                el("p", marked(caption, wnid)) if caption.strip() else _EMPTY,
            )
        )
    return made


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
