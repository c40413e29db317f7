"""Charts as SVG drawn by hand: no fixed colours, so that the page's style sheet serves every mode.

Every chart is drawn twice, for wide and for narrow screens, and the style sheet shows one: text in
a chart that is merely scaled down cannot be read on a telephone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mm_imagenet_r.markup import Html, el, join

_WIDE, _NARROW = (900, 340), (380, 280)
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 46, 24, 40
COLOURS = 8  # classes c0 ... c7 of the style sheet


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; `spread` is the half-width of its band, None where there is none."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float | None] = ()
    colour: int = 0
    quiet: bool = False
    notes: Sequence[str] = ()


def line_chart(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str = "accuracy, %",
    caption: str = "",
    ticks_at: Sequence[float] | None = None,
    ends: bool = True,
    percent: bool = True,
) -> Html:
    """A figure with a legend, lines with bands, and the last values written at the right.

    Args:
        lines: What to draw; points of a line are joined in the order given.
        x_label: Under the axis.
        y_label: Above the axis.
        caption: What the reader should know.
        ticks_at: Where the x axis has marks; by default at round numbers.
        ends: Whether to write each line's last value beside its end.
        percent: Whether heights are percentages, drawn with a mark at each; else any, with 0
            on the axis.
    """

    def draw(width: float, height: float) -> Html:
        return _lines(lines, x_label, y_label, ticks_at, ends, percent, width, height)

    label = f"{y_label} over {x_label}: " + ", ".join(line.label for line in lines)
    return el(
        "figure",
        _legend(lines) if len(lines) > 1 else None,
        _both(draw, label),
        el("figcaption", caption) if caption else None,
        class_="chart",
    )


def _legend(lines: Sequence[Line]) -> Html:
    """Which colour is which line."""
    items = [
        el(
            "li",
            el("i", class_=f"c{line.colour % COLOURS}{' quiet' if line.quiet else ''}"),
            line.label,
        )
        for line in lines
    ]
    return el("ul", items, class_="legend")


def column_chart(
    values: Sequence[float],
    *,
    titles: Sequence[str],
    groups: Sequence[int],
    y_label: str,
    limit: float | None = None,
    numbers: Sequence[str] = (),
) -> Html:
    """One column a class, neighbouring groups told apart by shade, an optional line at a limit.

    Args:
        values: Heights.
        titles: What hovering over a column shows.
        groups: Group (phase) of each column.
        y_label: Above the axis.
        limit: Height of a dashed line.
        numbers: Written above the columns where there is room.
    """

    def draw(width: float, height: float) -> Html:
        top = max([*values, limit or 0, 1e-9])
        scale_y = _scale(0, top * 1.12, height - 22, 22)
        slot = (width - _LEFT - 6) / len(values)
        parts: list[Html] = _rules(ticks(0, top * 1.05, 3), scale_y, width - 6)
        parts.append(el("text", y_label, x=0, y=11, class_="axis"))
        for i, value in enumerate(values):
            x, gap = _LEFT + i * slot, min(2.0, slot / 5)
            parts.append(
                el(
                    "rect",
                    el("title", titles[i]),
                    x=x + gap / 2,
                    y=scale_y(value),
                    width=slot - gap,
                    height=max(scale_y(0) - scale_y(value), 0.0),
                    rx=min(2.0, slot / 6),
                    class_="column odd" if groups[i] % 2 else "column",
                )
            )
            if numbers and slot >= 13:
                middle = x + slot / 2
                number = el("text", numbers[i], x=middle, y=scale_y(value) - 4, class_="number")
                parts.append(number)
        if limit is not None:
            at = scale_y(limit)
            parts.append(el("line", x1=_LEFT, x2=width - 6, y1=at, y2=at, class_="limit"))
        ends = [(i, g) for i, g in enumerate(groups) if i == 0 or groups[i - 1] != g]
        for (start, group), (stop, _) in itertools.pairwise([*ends, (len(groups), -1)]):
            if (stop - start) * slot >= 12:
                middle = _LEFT + (start + stop) / 2 * slot
                parts.append(el("text", group + 1, x=middle, y=height - 6, class_="axis middle"))
        return join(parts)

    return el("figure", _both(draw, y_label, (900, 170), (380, 150)), class_="chart columns")


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers within a range, about as many as asked.

    >>> ticks(42, 98)
    [50.0, 60.0, 70.0, 80.0, 90.0]
    >>> ticks(0, 1.1, 3)
    [0.0, 0.5, 1.0]
    """
    rough = (high - low) / max(count, 1) or 1.0
    size = 10 ** math.floor(math.log10(rough))
    step = size * min((1, 2, 5, 10), key=lambda m: abs(m * size - rough))
    first = math.ceil(low / step - 1e-9)
    return [float(round(i * step, 10)) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _lines(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    ticks_at: Sequence[float] | None,
    ends: bool,
    percent: bool,
    width: float,
    height: float,
) -> Html:
    spreads = [[s or 0 for s in line.spread] or [0] * len(line.y) for line in lines]
    xs = [x for line in lines for x in line.x]
    lows, highs = (
        [y + sign * s for line, band in zip(lines, spreads, strict=True)
         for y, s in zip(line.y, band, strict=True)]
        for sign in (-1, 1)
    )  # fmt: skip
    low, high = max(0.0, min(lows) - 3), min(100.0, max(highs) + 3)
    if not percent:
        low, high = 1.05 * min(0.0, *lows), 1.05 * max(0.0, *highs)
        high = high if high > low else 1.0
    marks = list(ticks_at) if ticks_at is not None else ticks(min(0, *xs), max(xs), 6)
    scale_y = _scale(low, max(high, low + 1) if percent else high, height - _BOTTOM, _TOP)
    scale_x = _scale(min([*xs, *marks]), max([*xs, *marks]), _LEFT + 8, width - _RIGHT)
    parts: list[Html] = _rules(ticks(low, high, 5), scale_y, width - _RIGHT + 8)
    parts.append(el("text", y_label, x=0, y=11, class_="axis"))
    every = math.ceil(len(marks) * 34 / (width - _LEFT - _RIGHT))
    for mark in marks[::every]:
        y = height - _BOTTOM + 18
        parts.append(el("text", f"{mark:g}", x=scale_x(mark), y=y, class_="axis middle"))
    middle = (_LEFT + width - _RIGHT) / 2
    parts.append(el("text", x_label, x=middle, y=height - 4, class_="axis middle"))
    for line, band in zip(lines, spreads, strict=True):
        if any(band):
            edge = [(x, y + s) for x, y, s in zip(line.x, line.y, band, strict=True)]
            edge += [(x, y - s) for x, y, s in zip(line.x, line.y, band, strict=True)][::-1]
            path = " ".join(f"{scale_x(x):.1f},{scale_y(y):.1f}" for x, y in edge)
            parts.append(el("polygon", points=path, class_=f"band c{line.colour % COLOURS}"))
    for line in lines:
        style = f"c{line.colour % COLOURS}{' quiet' if line.quiet else ''}"
        points = [(scale_x(x), scale_y(y)) for x, y in zip(line.x, line.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(el("polyline", points=path, class_=f"line {style}"))
        for i, (x, y) in enumerate(points if percent else ()):
            note = f" ({line.notes[i]})" if line.notes else ""
            title = el("title", f"{line.label}: {line.y[i]:.1f} at {line.x[i]:.4g}{note}")
            radius = 2.2 if line.quiet else 3.2
            parts.append(el("circle", title, cx=x, cy=y, r=radius, class_=f"dot {style}"))
    if ends:
        parts += _ends(lines, scale_x, scale_y)
    return join(parts)


def _ends(
    lines: Sequence[Line], scale_x: Callable[[float], float], scale_y: Callable[[float], float]
) -> list[Html]:
    """Last values beside the lines' ends, pushed apart where they would overlap."""
    order = sorted(lines, key=lambda line: -line.y[-1])
    wanted = [scale_y(line.y[-1]) + 4 for line in order]
    heights = wanted[:]
    for _ in range(50):  # relax: neighbours share the push, so a crowd stays centred
        for i in range(len(heights) - 1):
            lack = 13 - (heights[i + 1] - heights[i])
            if lack > 0:
                heights[i] -= lack / 2
                heights[i + 1] += lack / 2
    return [
        el(
            "text",
            f"{line.y[-1]:.1f}",
            x=scale_x(line.x[-1]) + 9,
            y=height,
            class_=f"end c{line.colour % COLOURS}{' quiet' if line.quiet else ''}",
        )
        for line, height in zip(order, heights, strict=True)
    ]


def _rules(marks: Sequence[float], scale: Callable[[float], float], right: float) -> list[Html]:
    parts = []
    for mark in marks:
        y = scale(mark)
        parts.append(el("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="rule"))
        parts.append(el("text", f"{mark:g}", x=_LEFT - 8, y=y + 4, class_="axis right"))
    return parts


def _both(
    draw: Callable[[float, float], Html],
    label: str,
    wide: tuple[int, int] = _WIDE,
    narrow: tuple[int, int] = _NARROW,
) -> Html:
    return join(
        [
            el("svg", draw(w, h), viewBox=f"0 0 {w} {h}", class_=name, role="img", aria_label=label)
            for name, (w, h) in (("wide", wide), ("narrow", narrow))
        ]
    )


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (stop - start)
