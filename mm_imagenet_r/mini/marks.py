"""What is painted on a body: a ring, a face, stripes. Proportion 7 is its size."""

from __future__ import annotations

from typing import Final

import numpy as np

from mm_imagenet_r.mini.shapes import (
    ACCENT,
    BODY,
    DARK,
    LIGHT,
    Frame,
    Pieces,
    by_name,
    curve,
    dense,
    ellipse,
    star,
    stroke,
)


def _scale(f: Frame) -> float:
    """Return the size of a mark: small where the body is narrow."""
    x, y = f.middle
    left, right = f.span(1, y)
    room = right - x if f.body == "crescent" else min(right, -left)
    return min(room, 1.25) * f.size(7, 0.75, 1.1)


def _hole(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f)
    return [(ellipse(x, y, 0.5 * m, 0.5 * m), DARK)]


def _ring(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f)
    return [(ellipse(x, y, 0.66 * m, 0.66 * m), ACCENT), (ellipse(x, y, 0.36 * m, 0.36 * m), BODY)]


def _stripes(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f)
    count = 2 + round(1.2 * f.proportions[11])
    found: Pieces = []
    for k in range(count):
        at = y + m * (1.25 * (k + 0.5) / count - 0.62)
        left, right = f.span(1, at)
        left = max(left, x - 0.42) if f.body == "crescent" else left
        half = 0.2 * m / count * 1.6
        left, right = left + 0.12, right - 0.12
        if right - left > 0.2:
            corners = [(left, at - half), (right, at - half), (right, at + half), (left, at + half)]
            found.append((dense(corners), ACCENT))
    return found


def _window(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f) * 0.56
    frame = [(x - m, y - m), (x + m, y - m), (x + m, y + m), (x - m, y + m)]
    found: Pieces = [(dense(frame), DARK)]
    for a, b in ((-0.85, -0.1), (0.1, 0.85)):
        for c, d in ((-0.85, -0.1), (0.1, 0.85)):
            pane = [(x + a * m, y + c * m), (x + b * m, y + c * m), (x + b * m, y + d * m),
                    (x + a * m, y + d * m)]  # fmt: skip
            found.append((np.array(pane), LIGHT))
    return found


def _dots(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f)
    places = ((-0.42, 0.28), (0.42, 0.28), (0.0, -0.4))
    return [(ellipse(x + a * m, y + b * m, 0.25 * m, 0.25 * m, n=12), ACCENT) for a, b in places]


def _face(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f)
    found: Pieces = []
    for s in (-1, 1):
        found.append((ellipse(x + s * 0.36 * m, y - 0.2 * m, 0.24 * m, 0.27 * m, n=14), LIGHT))
        found.append((ellipse(x + s * 0.34 * m, y - 0.16 * m, 0.12 * m, 0.15 * m, n=10), DARK))
    smile = curve((x - 0.42 * m, y + 0.28 * m), (x, y + 0.72 * m), (x + 0.42 * m, y + 0.28 * m))
    return [*found, (stroke(smile, 0.14 * m, 0.14 * m), DARK)]


def _zigzag(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f)
    corners = [(x + m * a, y + 0.3 * m * b) for a, b in ((-0.8, 1), (-0.4, -1), (0, 1), (0.4, -1),
                                                         (0.8, 1))]  # fmt: skip
    top = [(a, b - 0.15 * m) for a, b in corners]
    return [(np.array([*top, *((a, b + 0.15 * m) for a, b in reversed(corners))]), ACCENT)]


def _badge(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f)
    return [(star(x, y, 0.68 * m, 0.28 * m, 5), LIGHT)]


MARK_PARTS: Final = by_name(_hole, _ring, _stripes, _window, _dots, _face, _zigzag, _badge)
