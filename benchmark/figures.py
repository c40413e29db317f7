"""Figures as files: SVG and PDF for papers, PNG for pages, the same bytes from the same data."""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_imagenet_r.errors import UserError, printable
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.folders import is_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Formats, and the metadata that would say when and by what they were written.
_FORMATS: dict[str, dict[str, Any]] = {
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
}
#: Text as outlines looks the same everywhere; fonts that journals accept in PDF.
_STYLE: Any = {"svg.hashsalt": "figure", "svg.fonttype": "path", "pdf.fonttype": 42}
#: Okabe and Ito's colors, distinguishable by color-blind people, without the yellow.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def check_path(path: Path) -> None:
    """Refuse what `save` cannot write.

    Raises:
        UserError: An unknown suffix, no such folder, or matplotlib is not installed.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UserError(f"{path}: the suffix must be one of {', '.join(_FORMATS)}")
    if not is_folder(path.parent):
        raise UserError(f"{path}: there is no folder {path.parent}: create it, or name another")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(
            "figures need matplotlib: `pip install matplotlib`, or the extra `figures`"
        ) from error


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, whose parts keep clear of each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def look(number: int) -> dict[str, Any]:
    """Color, marker and dashes of the line with that number, from 0."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": ("-", "--", ":", "-.")[number // len(COLOURS) % 4],
    }


def set_title(axes: Axes, words: str) -> None:
    """A long title in small letters, on as many lines as it takes."""
    axes.set_title("\n".join(textwrap.wrap(words, 72)), fontsize=8, loc="left")


def tidy(axes: Axes) -> None:
    """Horizontal rules instead of a box."""
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure atomically in the format that the path's suffix names; see `check_path`."""
    check_path(path)
    import matplotlib
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # a name may hold what would be a formula, or no letter
        text.set_parse_math(False)
        text.set_text("\n".join(map(printable, text.get_text().split("\n"))))
    kind, buffer = path.suffix.lower(), io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format=kind[1:], metadata=_FORMATS[kind])
    write_atomic(path, buffer.getvalue())
    return path


def spread_out(places: Sequence[float], gap: float) -> list[float]:
    """Move places between 0 and 1 apart until no two are closer than `gap`; their order stays.

    >>> [round(place, 2) for place in spread_out([0.5, 0.5, 0.9], gap=0.1)]
    [0.45, 0.55, 0.9]
    >>> [round(place, 2) for place in spread_out([0.95, 1.0, 1.0], gap=0.1)]
    [0.8, 0.9, 1.0]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[list[float]] = []  # wanted places of names that touch
    for i in order:
        groups.append([places[i]])
        while len(groups) > 1 and _span(groups[-2], gap)[1] + gap > _span(groups[-1], gap)[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    found = itertools.chain.from_iterable(
        [_span(group, gap)[0] + index * gap for index in range(len(group))] for group in groups
    )
    moved = dict(zip(order, found, strict=True))
    return [moved[i] for i in range(len(places))]


def _span(group: Sequence[float], gap: float) -> tuple[float, float]:
    half = (len(group) - 1) * gap / 2
    middle = max(min(sum(group) / len(group), 1 - half), half)
    return middle - half, middle + half
