"""The exemplar gallery of a report: image, attention, what is kept of image and caption.

Laid out as Fig. 4 of "Exemplar Masking for Multimodal Incremental Learning" (arXiv 2412.09549). A
method that has one leaves gallery.json in the run's folder, a list of `Item`.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import numpy as np

from benchmark.formatting import bytes_words
from benchmark.results import strict_json
from benchmark.results.shape import mismatches
from benchmark.run_files import GALLERY, read, seal_of
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.markup import Html, el, join

KEPT = 6  # exemplars that are passed on with a result: what a page of a board shows
_SHOWN = 12
_STRONGEST = 1_000_000
_KINDS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png", b"RIFF": "webp", b"GIF8": "gif"}
# From dark to bright, monotone in lightness: blue-black, violet, red, orange, light yellow.
_RAMP = ((20, 14, 54), (104, 24, 110), (187, 55, 84), (243, 120, 25), (250, 235, 140))


class Word(TypedDict):
    """A word, or a piece of one: pieces after the first start with `##`."""

    text: str
    kept: bool


class Item(TypedDict):
    """One exemplar; `attention` (of any non-negative scale) and `kept` are of patches, row by row.

    `image` is the untouched picture as base64 of a JPEG, PNG, WebP or GIF file, `grid` the rows and
    columns of patches, `bytes` the size of the stored exemplar, all included. `seal` is a hash of
    the rest (`run_files.seal_of`); galleries of earlier versions do not have it.
    """

    file_name: str
    class_name: str
    image: str
    grid: list[int]
    attention: list[float]
    kept: list[bool]
    words: list[Word]
    bytes: int
    native_bytes: int
    codec: str
    seal: NotRequired[str]


def read_gallery(folder: Path) -> list[Item]:
    """Read a run's gallery; without a file it is empty.

    Raises:
        UserError: The file is broken.
    """
    path = folder / GALLERY
    if not path.exists():
        return []
    try:
        items = strict_json.parse(read(path).decode())
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}): copy it again, or remove it") from error
    found = list(mismatches(items, list[Item], "gallery"))
    if not found:
        for index, item in enumerate(items):
            size = math.prod(item["grid"])
            if len(item["grid"]) != 2 or size < 1:
                found.append(f"gallery[{index}].grid is not [rows, columns]")
            elif not len(item["attention"]) == len(item["kept"]) == size:
                found.append(f"gallery[{index}] needs {size} numbers in attention and kept")
            elif not all(0 <= value <= _STRONGEST for value in item["attention"]):
                found.append(f"gallery[{index}].attention is not all from 0 to {_STRONGEST:,}")
            if item.get("seal") not in (None, seal_of(item)):
                found.append(f"gallery[{index}] was changed after it was written")
            if _data_url(item["image"]) is None:
                found.append(f"gallery[{index}].image is not base64 of a JPEG, PNG, WebP or GIF")
    if found:
        raise UserError(f"{path}: {'; '.join(found[:3])}. Repeat the run, or remove the file")
    return cast(list[Item], items)


def drawn(items: Sequence[Item], name: str = "picture") -> dict[str, list[dict[str, Any]]] | None:
    """Exemplars for the templates: some taken evenly from all, and the rest."""
    found = [_figure(f"{name}-{index}", item) for index, item in enumerate(items)]
    step = max(1, math.ceil(len(found) / _SHOWN))
    rest = [figure for index, figure in enumerate(found) if index % step]
    return {"shown": found[::step], "rest": rest} if found else None


def caption(words: Sequence[Word]) -> Html:
    """Kept words strong, discarded ones light and struck through; pieces stick to their word.

    >>> caption([{"text": "ant", "kept": True}, {"text": "##ler", "kept": False},
    ...          {"text": ",", "kept": False}, {"text": "bear", "kept": True}])
    '<b>ant</b><s>ler</s><s>,</s> <b>bear</b>'
    """
    parts: list[Html | str] = []
    after = ""
    for word in words:
        piece = word["text"].startswith("##") and len(word["text"]) > 2
        text = word["text"][2:] if piece else word["text"]
        joined = piece or text in {",", ".", ":", ";", "!", "?", ")", "'", "-"} or after in "(-'"
        if parts and not joined:
            parts.append(" ")
        parts.append(el("b" if word["kept"] else "s", text))
        after = text
    return join(parts)


def _figure(name: str, item: Item) -> dict[str, Any]:
    rows, columns = item["grid"]
    image = el(
        "image",
        id=name,
        href=_data_url(item["image"]),
        width=columns,
        height=rows,
        preserveAspectRatio="none",
    )
    again = el("use", href=f"#{name}")
    weight = [
        f"{bytes_words(item['bytes'])} of {bytes_words(item['native_bytes'])} "
        f"({100 * item['bytes'] / max(item['native_bytes'], 1):.0f} %)",
        item["codec"],
        f"{sum(item['kept'])} of {rows * columns} patches",
    ]
    if words := item["words"]:
        weight.append(f"{sum(word['kept'] for word in words)} of {len(words)} words")
    return {
        "class_name": item["class_name"],
        "file_name": item["file_name"],
        "rows": rows,
        "columns": columns,
        "panels": [
            ("image", image),
            ("attention", join(el("g", again, class_="under"), _heat(item["attention"], columns))),
            ("kept", join(again, _shade(item["kept"], columns))),
        ],
        "words": caption(words),
        "weight": ", ".join(weight),
    }


def _heat(attention: Sequence[float], columns: int) -> Html:
    low, high = min(attention), max(attention)
    span = (high - low) or 1.0
    cells = [
        el("rect", x=i % columns, y=i // columns, width=1.03, height=1.03, fill=_colour(share))
        for i, value in enumerate(attention)
        for share in [(value - low) / span]
    ]
    return el("g", cells, class_="heat")


def _shade(kept: Sequence[bool], columns: int) -> Html:
    """One path over all dropped patches: single squares would show hairlines between them."""
    places = (divmod(i, columns) for i, keep in enumerate(kept) if not keep)
    squares = "".join(f"M{column} {row}h1v1h-1z" for row, column in places)
    return el("path", d=squares, class_="dropped")


def _colour(value: float) -> str:
    """Colour of a number in 0..1 on the ramp.

    >>> _colour(0), _colour(0.25), _colour(1)
    ('#140e36', '#68186e', '#faeb8c')
    """
    stops = np.linspace(0, 1, len(_RAMP))
    channels = (round(float(np.interp(value, stops, one))) for one in zip(*_RAMP, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def _data_url(encoded: str) -> str | None:
    """A data: address of a picture, or None if the text is not one."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    kind = next((name for magic, name in _KINDS.items() if data.startswith(magic)), None)
    return kind and f"data:image/{kind};base64,{encoded}"
