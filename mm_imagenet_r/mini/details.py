"""What grows out of the side of a body (a tail, wings), and what is painted on it (a face).

Proportion 5 is the length of the first, 7 the size of the second.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mm_imagenet_r.mini.shapes import (
    ACCENT,
    BODY,
    DARK,
    LIGHT,
    LIMB,
    TAU,
    Frame,
    Pieces,
    box,
    by_name,
    curve,
    dense,
    ellipse,
    star,
    stroke,
)


def _right(f: Frame) -> tuple[float, float]:
    """Return the place on the right of the body where a side part is fixed."""
    low, high = f.top(0.0), f.bottom(0.0)
    y = low + (high - low) * f.size(6, 0.4, 0.72)
    return f.span(1, y)[1], y


def _curled_tail(f: Frame) -> Pieces:
    x, y = _right(f)
    size = f.size(5, 0.36, 0.6)
    t = np.linspace(0, f.size(8, 1.15, 1.6) * TAU, 30)
    r = size * (1 - t / t[-1] * 0.8)
    x, y = x + size * 0.85, y - 0.1
    spiral = np.stack([x + r * np.sin(t), y - size * 0.2 + r * np.cos(t)], axis=1)
    path = np.concatenate([[(x - 0.2 - size * 0.5, y + size * 0.8)], spiral])
    return [(stroke(path, 0.32, 0.18), LIMB)]


def _arrow_tail(f: Frame) -> Pieces:
    x, y = _right(f)
    long, head = f.size(5, 0.55, 0.85), f.size(8, 0.26, 0.38)
    tip = (x + long, y - f.size(11, 0.2, 0.8))
    path = curve((x - 0.2, y), (x + long * 0.9, y + 0.3), tip)
    a = (tip[0], tip[1] - 1.6 * head), (tip[0] + head, tip[1] + 0.2), (tip[0] - head, tip[1] + 0.2)
    return [(stroke(path, 0.26, 0.18), LIMB), (dense(list(a)), ACCENT)]


def _bushy_tail(f: Frame) -> Pieces:
    x, y = _right(f)
    long, wide = f.size(5, 0.55, 0.85), f.size(8, 0.26, 0.42)
    turn = -f.size(11, 0.5, 1.1)
    centre = x + long * 0.75 * np.cos(turn), y + long * 0.75 * np.sin(turn)
    tip = x + long * 1.45 * np.cos(turn), y + long * 1.45 * np.sin(turn)
    return [(ellipse(*centre, long, wide, turn), LIMB),
            (ellipse(*tip, wide * 0.62, wide * 0.55, turn, 14), LIGHT)]  # fmt: skip


def _spout(f: Frame) -> Pieces:
    x, y = _right(f)
    long, rise = f.size(5, 0.55, 0.95), f.size(11, 0.4, 0.9)
    path = curve((x - 0.3, y + 0.15), (x + long * 0.6, y + 0.1), (x + long, y - rise))
    return [(stroke(path, f.size(8, 0.42, 0.6), 0.2), BODY)]


def _wings(f: Frame) -> Pieces:
    long, wide, rise = f.size(5, 0.65, 0.95), f.size(8, 0.45, 0.65), f.size(11, 0.1, 0.75)
    y = _right(f)[1] - 0.15
    left, right = f.span(1, y)
    for s, x in ((-1, left), (1, right)):
        corners = [(x - s * 0.35, y - wide * 0.4), (x + s * long * 0.6, y - rise - wide * 0.3),
                   (x + s * long, y - rise), (x + s * long * 0.85, y - rise + wide * 0.6),
                   (x + s * long * 0.5, y + wide * 0.2), (x + s * long * 0.4, y + wide * 0.7),
                   (x - s * 0.3, y + wide * 0.6)]  # fmt: skip
        yield dense(corners), LIMB


def _arms(f: Frame) -> Pieces:
    long, rise, ball = f.size(5, 0.4, 0.7), f.size(11, -0.6, 0.6), f.size(8, 0.22, 0.34)
    y = _right(f)[1]
    left, right = f.span(1, y)
    for s, x in ((-1, left), (1, right)):
        tip = (x + s * long, y - rise)
        path = curve((x - s * 0.25, y), (x + s * long * 0.6, y + 0.2), tip)
        yield stroke(path, 0.32, 0.24), LIMB
        yield ellipse(*tip, ball, ball, n=14), ACCENT


def _paddle(f: Frame) -> Pieces:
    x, y = _right(f)
    long, wide = f.size(5, 0.4, 0.65), f.size(8, 0.26, 0.4)
    rise = f.size(11, -0.3, 0.5)
    path = np.linspace((x - 0.25, y), (x + long, y - rise), 6)
    cx, cy = x + long, y - rise
    blade = box(cx - wide, cy - 0.62, cx + wide, cy + 0.62)
    return [(stroke(path, 0.24, 0.24), DARK), (dense(blade), ACCENT)]


def _fan(f: Frame) -> Pieces:
    x, y = _right(f)
    blades, long = 3 + round(f.proportions[11]), f.size(5, 0.55, 0.85)
    for k, a in enumerate(np.linspace(-1.15, 0.55, blades).tolist()):
        a += f.size(8, -0.25, 0.15)
        centre = x - 0.1 + long * 0.8 * np.cos(a), y + long * 0.8 * np.sin(a)
        yield ellipse(*centre, long * 0.75, 0.2, a, 16), (LIMB, ACCENT)[k % 2]


SIDE_PARTS: Final = by_name(
    _curled_tail, _arrow_tail, _bushy_tail, _spout, _wings, _arms, _paddle, _fan
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
    for k in range(count):
        at = y + m * (1.25 * (k + 0.5) / count - 0.62)
        left, right = f.span(1, at)
        left = max(left, x - 0.42) if f.body == "crescent" else left
        half = 0.2 * m / count * 1.6
        left, right = left + 0.12, right - 0.12
        if right - left > 0.2:
            yield dense(box(left, at - half, right, at + half)), ACCENT


def _window(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f) * 0.56
    yield dense(box(x - m, y - m, x + m, y + m)), DARK
    for a, b in ((-0.85, -0.1), (0.1, 0.85)):
        for c, d in ((-0.85, -0.1), (0.1, 0.85)):
            yield np.array(box(x + a * m, y + c * m, x + b * m, y + d * m)), LIGHT


def _dots(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f)
    places = ((-0.42, 0.28), (0.42, 0.28), (0.0, -0.4))
    return [(ellipse(x + a * m, y + b * m, 0.25 * m, 0.25 * m, n=12), ACCENT) for a, b in places]


def _face(f: Frame) -> Pieces:
    (x, y), m = f.middle, _scale(f)
    for s in (-1, 1):
        yield ellipse(x + s * 0.36 * m, y - 0.2 * m, 0.24 * m, 0.27 * m, n=14), LIGHT
        yield ellipse(x + s * 0.34 * m, y - 0.16 * m, 0.12 * m, 0.15 * m, n=10), DARK
    smile = curve((x - 0.42 * m, y + 0.28 * m), (x, y + 0.72 * m), (x + 0.42 * m, y + 0.28 * m))
    yield stroke(smile, 0.14 * m, 0.14 * m), DARK


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
