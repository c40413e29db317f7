"""Charts as SVG drawn by hand, without fixed colors: the page's style sheet serves every mode.

Each is drawn twice, for wide and narrow screens: in a merely scaled chart text cannot be read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmark.figures import spread_out
from benchmark.results.schema import LoadedPhase
from mm_imagenet_r.markup import Html, el, join

_WIDE, _NARROW = (900, 340), (380, 280)
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 46, 24, 40
COLOURS = 8  # classes c0 ... c7 of the style sheet
_LABEL = "accuracy, %"
Scale: TypeAlias = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, in percent."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    quiet: bool = False

    @property
    def style(self) -> str:
        """Its classes in the style sheet."""
        return f"c{self.colour % COLOURS}{' quiet' if self.quiet else ''}"


def line_chart(lines: Sequence[Line], *, x_label: str, ticks_at: Sequence[float]) -> Html:
    """Accuracies as lines with a legend, last values at the right, `ticks_at` on the x axis."""

    def draw(width: float, height: float) -> Html:
        ys = [y for line in lines for y in line.y]
        low, high = max(0.0, min(ys) - 3), min(100.0, max(ys) + 3)
        scale_y = _scale(low, high, height - _BOTTOM, _TOP)
        scale_x = _scale(min(ticks_at), max(ticks_at), _LEFT + 8, width - _RIGHT)
        parts = _frame(_LABEL, x_label, ticks(low, high), scale_y, width, height)
        every = math.ceil(len(ticks_at) * 34 / (width - _LEFT - _RIGHT))
        for mark in ticks_at[::every]:
            parts.append(_below(f"{mark:g}", scale_x(mark), height))
        for line in lines:
            points = [(scale_x(x), scale_y(y)) for x, y in zip(line.x, line.y, strict=True)]
            parts.append(_polyline(points, f"line {line.style}"))
            for (x, y), at, value in zip(points, line.x, line.y, strict=True):
                title = el("title", f"{line.label}: {value:.1f} at {at:.4g} classes")
                radius = 2.2 if line.quiet else 3.2
                parts.append(el("circle", title, cx=x, cy=y, r=radius, class_=f"dot {line.style}"))
        return join(parts, _ends(lines, scale_x, scale_y, height))

    items = [el("li", el("i", class_=line.style), line.label) for line in lines]
    legend = el("ul", items, class_="legend") if len(lines) > 1 else None
    label = f"{_LABEL} over {x_label}: {', '.join(line.label for line in lines)}"
    return el("figure", legend, _both(draw, label), class_="chart")


def loss_chart(phases: Sequence[LoadedPhase]) -> Html:
    """The loss over all training steps, a line for each phase, phases told apart by shade."""
    starts = [0, *itertools.accumulate(phase["steps"] for phase in phases)]
    losses = [loss for phase in phases for _, loss in phase["loss"]]
    low, high = 1.05 * min(0.0, *losses), 1.05 * max(0.0, *losses)
    high = high if high > low else 1.0

    def draw(width: float, height: float) -> Html:
        scale_y = _scale(low, high, height - _BOTTOM, _TOP)
        scale_x = _scale(0, max(starts[-1], 1), _LEFT, width - 8)
        slot = (width - _LEFT) / len(phases)
        shades, parts = [], []
        for phase, start, stop in zip(phases, starts, starts[1:], strict=False):
            left, right, number = scale_x(start), scale_x(stop), phase["index"] + 1
            if phase["index"] % 2:
                shades.append(
                    el("rect", x=left, y=_TOP, width=right - left, height=height - _TOP - _BOTTOM,
                       class_="phase")
                )  # fmt: skip
            if phase["index"] % math.ceil(18 / slot) == 0:
                parts.append(_below(str(number), (left + right) / 2, height))
            points = [(scale_x(start + step), scale_y(loss)) for step, loss in phase["loss"]]
            if points:
                first, last = phase["loss"][0][1], phase["loss"][-1][1]
                title = el(
                    "title", f"phase {number}: loss {first:.3f} at first, {last:.3f} at last"
                )
                parts.append(_polyline(points, "line thin c0", title))
        label = f"phase, {starts[-1]:,} training steps in all"
        frame = _frame("training loss", label, ticks(low, high), scale_y, width + 30, height)
        return join(shades, frame, parts)

    label = f"training loss over {starts[-1]:,} steps in {len(phases)} phases"
    return el("figure", _both(draw, label), class_="chart")


def column_chart(
    values: Sequence[float],
    *,
    titles: Sequence[str],
    groups: Sequence[int],
    y_label: str,
    limit: float | None = None,
    numbers: Sequence[str] = (),
) -> Html:
    """One column per class, neighboring groups told apart by shade, an optional line at a limit.

    `titles` are shown on hovering, `numbers` above the columns where there is room.
    """

    def draw(width: float, height: float) -> Html:
        top = max([*values, limit or 0, 1e-9])
        scale_y = _scale(0, top * 1.12, height - 22, 22)
        slot = (width - _LEFT - 6) / len(values)
        parts: list[Html] = _rules(ticks(0, top * 1.05, 3), scale_y, width - 6)
        parts.append(el("text", y_label, x=0, y=11))
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
                parts.append(el("text", group + 1, x=middle, y=height - 6, class_="middle"))
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


def _ends(lines: Sequence[Line], scale_x: Scale, scale_y: Scale, height: float) -> list[Html]:
    """Last values beside the lines' ends, pushed apart where they would overlap."""
    places = spread_out([scale_y(line.y[-1]) / height for line in lines], 13 / height)
    return [
        el(
            "text",
            f"{line.y[-1]:.1f}",
            x=scale_x(line.x[-1]) + 9,
            y=place * height + 4,
            class_=f"end {line.style}",
        )
        for line, place in zip(lines, places, strict=True)
    ]


def _frame(
    y_label: str, x_label: str, marks: Sequence[float], scale: Scale, width: float, height: float
) -> list[Html]:
    middle = (_LEFT + width - _RIGHT) / 2
    return [
        *_rules(marks, scale, width - _RIGHT + 8),
        el("text", y_label, x=0, y=11),
        el("text", x_label, x=middle, y=height - 4, class_="middle"),
    ]


def _rules(marks: Sequence[float], scale: Scale, right: float) -> list[Html]:
    parts = []
    for mark in marks:
        y = scale(mark)
        parts.append(el("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="rule"))
        parts.append(el("text", f"{mark:g}", x=_LEFT - 8, y=y + 4, class_="right"))
    return parts


def _below(words: str, x: float, height: float) -> Html:
    return el("text", words, x=x, y=height - _BOTTOM + 18, class_="middle")


def _polyline(points: Sequence[tuple[float, float]], style: str, title: Html | None = None) -> Html:
    return el(
        "polyline", title, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=style
    )


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


def _scale(low: float, high: float, start: float, stop: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (stop - start)
