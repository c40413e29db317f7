"""What stands on a body: horns, ears, a hat. Proportions 1 and 2 are its height and width."""

from __future__ import annotations

from typing import Final

import numpy as np

from mm_imagenet_r.mini.shapes import (
    ACCENT,
    BODY,
    DARK,
    LIMB,
    Frame,
    Pieces,
    by_name,
    curve,
    dense,
    ellipse,
    stroke,
)


def _pair(f: Frame, low: float, high: float) -> list[tuple[int, float, float]]:
    """Return (sign, x, y) of two places on top of the body, left and right."""
    reach = float(np.abs(f.outline[:, 0]).max())
    x = reach * f.size(2, low, high)
    if f.body in ("triangle", "diamond", "drop"):
        x *= 0.5
    return [(sign, sign * x, f.top(sign * x)) for sign in (-1, 1)]


def _horns(f: Frame) -> Pieces:
    long, wide = f.size(1, 0.65, 1.1), f.size(8, 0.3, 0.42)
    out = f.size(2, 0.15, 0.6)
    return [
        (stroke(curve((x, y + 0.2), (x + s * out, y - 0.1), (x + s * out, y - long)), wide, 0.04),
         LIMB)
        for s, x, y in _pair(f, 0.3, 0.6)
    ]  # fmt: skip


def _pointed_ears(f: Frame) -> Pieces:
    long, wide = f.size(1, 0.5, 0.95), f.size(8, 0.28, 0.42)
    found: Pieces = []
    for s, x, y in _pair(f, 0.4, 0.62):
        tip = (x + s * 0.18, y - long)
        found.append((dense([(x - wide, y + 0.25), tip, (x + wide, y + 0.3)]), BODY))
        inner = [(x - wide * 0.4, y), (x + s * 0.14, y - long * 0.7), (x + wide * 0.4, y)]
        found.append((dense(inner), ACCENT))
    return found


def _long_ears(f: Frame) -> Pieces:
    long, wide = f.size(1, 0.5, 0.75), f.size(8, 0.24, 0.34)
    lean = f.size(2, 0.1, 0.5)
    found: Pieces = []
    for s, x, y in _pair(f, 0.25, 0.45):
        centre = x + s * long * 0.7 * np.sin(lean), y - 0.75 * long
        found.append((ellipse(*centre, wide, long, s * lean), BODY))
        found.append((ellipse(*centre, wide * 0.5, long * 0.7, s * lean), ACCENT))
    return found


def _round_ears(f: Frame) -> Pieces:
    size = f.size(1, 0.34, 0.56)
    found: Pieces = []
    for s, x, y in _pair(f, 0.5, 0.75):
        found.append((ellipse(x + s * 0.08, y - size * 0.45, size, size), BODY))
        found.append((ellipse(x + s * 0.08, y - size * 0.45, size * 0.55, size * 0.55), ACCENT))
    return found


def _crown(f: Frame) -> Pieces:
    half, tall = f.size(2, 0.5, 0.85), f.size(1, 0.5, 0.85)
    teeth = 3 if f.proportions[11] < 0.5 else 5
    y = 0.5 * (f.peak + f.top(0.6 * half)) + 0.18
    corners = [(-half, y)]
    for k in range(2 * teeth - 1):
        x = half * 1.12 * (k / (teeth - 1) - 1)
        corners.append((x, y - tall * (1.0 if k % 2 == 0 else 0.5)))
    return [(dense([*corners, (half, y)]), LIMB)]


def _antennae(f: Frame) -> Pieces:
    long, out, ball = f.size(1, 0.7, 1.1), f.size(2, 0.2, 0.6), f.size(8, 0.2, 0.32)
    found: Pieces = []
    for s, x, y in _pair(f, 0.15, 0.4):
        tip = (x + s * out, y - long)
        found.append((stroke(curve((x, y + 0.15), (x, y - long * 0.7), tip), 0.2, 0.16), DARK))
        found.append((ellipse(*tip, ball, ball, n=14), LIMB))
    return found


def _crest(f: Frame) -> Pieces:
    spikes = 3 + round(2 * f.proportions[11])
    reach = float(np.abs(f.outline[:, 0]).max()) * f.size(2, 0.55, 0.85)
    long, wide = f.size(1, 0.45, 0.8), reach / spikes * 1.15
    found: Pieces = []
    for k in range(spikes):
        x = reach * (2 * (k + 0.5) / spikes - 1)
        y, lean = f.top(x), 0.35 * x
        corners = [(x - wide, y + 0.25), (x + lean, y - long), (x + wide, y + 0.25)]
        found.append((dense(corners), LIMB))
    return found


def _leaf(f: Frame) -> Pieces:
    long, wide = f.size(1, 0.6, 1.0), f.size(2, 0.2, 0.36)
    y = f.peak
    tip = (0.06, y - 0.42)
    found: Pieces = [(stroke(curve((0, y + 0.15), (0, y - 0.2), tip), 0.19, 0.13), DARK)]
    for s in (1,) if f.proportions[11] < 0.5 else (-1, 1):
        t = np.linspace(0, 1, 10)
        half = wide * np.sin(np.pi * t) ** 0.8
        a, b = np.concatenate([t, t[::-1]]) * long, np.concatenate([half, -half[::-1]])
        c, n = np.cos(0.5), -np.sin(0.5)
        blade = [tip[0] + s * (c * a - n * b), tip[1] + 0.08 + n * a + c * b]
        found.append((np.stack(blade, axis=1), LIMB))
    return found


def _handle(f: Frame) -> Pieces:
    half, tall = f.size(2, 0.4, 0.75), f.size(1, 0.55, 0.95)
    y = min(f.top(-half), f.top(half), f.peak + 0.3) + 0.12
    t = np.linspace(-np.pi, 0, 20)
    path = np.stack([half * np.cos(t), y + tall * np.sin(t)], axis=1)
    wide = f.size(8, 0.17, 0.27)
    return [(stroke(path, wide, wide), LIMB)]


def _hat(f: Frame) -> Pieces:
    half, tall = f.size(2, 0.36, 0.56), f.size(1, 0.5, 0.9)
    y, brim = f.top(0.0) + 0.12, half * f.size(8, 1.5, 2.0)
    box = [(-half, y), (-half * 0.9, y - tall), (half * 0.9, y - tall), (half, y)]
    band = [(-half, y - 0.1), (-half, y - 0.3), (half, y - 0.3), (half, y - 0.1)]
    return [
        (dense(box), DARK),
        (dense(band), LIMB),
        (dense([(-brim, y - 0.12), (brim, y - 0.12), (brim, y + 0.1), (-brim, y + 0.1)]), DARK),
    ]


TOP_PARTS: Final = by_name(
    _horns, _pointed_ears, _long_ears, _round_ears, _crown, _antennae, _crest, _leaf, _handle, _hat
)
