"""What grows out of the side of a body: a tail, wings, a spout. Proportion 5 is its length."""

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
    by_name,
    curve,
    dense,
    ellipse,
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
    found: Pieces = []
    for s, x in ((-1, left), (1, right)):
        corners = [(x - s * 0.35, y - wide * 0.4), (x + s * long * 0.6, y - rise - wide * 0.3),
                   (x + s * long, y - rise), (x + s * long * 0.85, y - rise + wide * 0.6),
                   (x + s * long * 0.5, y + wide * 0.2), (x + s * long * 0.4, y + wide * 0.7),
                   (x - s * 0.3, y + wide * 0.6)]  # fmt: skip
        found.append((dense(corners), LIMB))
    return found


def _arms(f: Frame) -> Pieces:
    long, rise, ball = f.size(5, 0.4, 0.7), f.size(11, -0.6, 0.6), f.size(8, 0.22, 0.34)
    y = _right(f)[1]
    left, right = f.span(1, y)
    found: Pieces = []
    for s, x in ((-1, left), (1, right)):
        tip = (x + s * long, y - rise)
        path = curve((x - s * 0.25, y), (x + s * long * 0.6, y + 0.2), tip)
        found.append((stroke(path, 0.32, 0.24), LIMB))
        found.append((ellipse(*tip, ball, ball, n=14), ACCENT))
    return found


def _paddle(f: Frame) -> Pieces:
    x, y = _right(f)
    long, wide = f.size(5, 0.4, 0.65), f.size(8, 0.26, 0.4)
    rise = f.size(11, -0.3, 0.5)
    path = np.linspace((x - 0.25, y), (x + long, y - rise), 6)
    cx, cy = x + long, y - rise
    blade = [(cx - wide, cy - 0.62), (cx + wide, cy - 0.62), (cx + wide, cy + 0.62),
             (cx - wide, cy + 0.62)]  # fmt: skip
    return [(stroke(path, 0.24, 0.24), DARK), (dense(blade), ACCENT)]


def _fan(f: Frame) -> Pieces:
    x, y = _right(f)
    blades, long = 3 + round(f.proportions[11]), f.size(5, 0.55, 0.85)
    found: Pieces = []
    for k, a in enumerate(np.linspace(-1.15, 0.55, blades).tolist()):
        a += f.size(8, -0.25, 0.15)
        centre = x - 0.1 + long * 0.8 * np.cos(a), y + long * 0.8 * np.sin(a)
        found.append((ellipse(*centre, long * 0.75, 0.2, a, 16), (LIMB, ACCENT)[k % 2]))
    return found


SIDE_PARTS: Final = by_name(
    _curled_tail, _arrow_tail, _bushy_tail, _spout, _wings, _arms, _paddle, _fan
)
