"""What stands on a body (horns, a hat), and what it stands on (legs, wheels).

Proportions 1 and 2 are height and width on top, 3 and 4 those below.
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
    Frame,
    Pieces,
    box,
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
    for s, x, y in _pair(f, 0.4, 0.62):
        tip = (x + s * 0.18, y - long)
        yield dense([(x - wide, y + 0.25), tip, (x + wide, y + 0.3)]), BODY
        inner = [(x - wide * 0.4, y), (x + s * 0.14, y - long * 0.7), (x + wide * 0.4, y)]
        yield dense(inner), ACCENT


def _long_ears(f: Frame) -> Pieces:
    long, wide = f.size(1, 0.5, 0.75), f.size(8, 0.24, 0.34)
    lean = f.size(2, 0.1, 0.5)
    for s, x, y in _pair(f, 0.25, 0.45):
        centre = x + s * long * 0.7 * np.sin(lean), y - 0.75 * long
        yield ellipse(*centre, wide, long, s * lean), BODY
        yield ellipse(*centre, wide * 0.5, long * 0.7, s * lean), ACCENT


def _round_ears(f: Frame) -> Pieces:
    size = f.size(1, 0.34, 0.56)
    for s, x, y in _pair(f, 0.5, 0.75):
        yield ellipse(x + s * 0.08, y - size * 0.45, size, size), BODY
        yield ellipse(x + s * 0.08, y - size * 0.45, size * 0.55, size * 0.55), ACCENT


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
    for s, x, y in _pair(f, 0.15, 0.4):
        tip = (x + s * out, y - long)
        yield stroke(curve((x, y + 0.15), (x, y - long * 0.7), tip), 0.2, 0.16), DARK
        yield ellipse(*tip, ball, ball, n=14), LIMB


def _crest(f: Frame) -> Pieces:
    spikes = 3 + round(2 * f.proportions[11])
    reach = float(np.abs(f.outline[:, 0]).max()) * f.size(2, 0.55, 0.85)
    long, wide = f.size(1, 0.45, 0.8), reach / spikes * 1.15
    for k in range(spikes):
        x = reach * (2 * (k + 0.5) / spikes - 1)
        y, lean = f.top(x), 0.35 * x
        corners = [(x - wide, y + 0.25), (x + lean, y - long), (x + wide, y + 0.25)]
        yield dense(corners), LIMB


def _leaf(f: Frame) -> Pieces:
    long, wide = f.size(1, 0.6, 1.0), f.size(2, 0.2, 0.36)
    y = f.peak
    tip = (0.06, y - 0.42)
    yield stroke(curve((0, y + 0.15), (0, y - 0.2), tip), 0.19, 0.13), DARK
    for s in (1,) if f.proportions[11] < 0.5 else (-1, 1):
        t = np.linspace(0, 1, 10)
        half = wide * np.sin(np.pi * t) ** 0.8
        a, b = np.concatenate([t, t[::-1]]) * long, np.concatenate([half, -half[::-1]])
        c, n = np.cos(0.5), -np.sin(0.5)
        blade = [tip[0] + s * (c * a - n * b), tip[1] + 0.08 + n * a + c * b]
        yield np.stack(blade, axis=1), LIMB


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
    crown = [(-half, y), (-half * 0.9, y - tall), (half * 0.9, y - tall), (half, y)]
    band = [(-half, y - 0.1), (-half, y - 0.3), (half, y - 0.3), (half, y - 0.1)]
    rim = box(-brim, y - 0.12, brim, y + 0.1)
    return [(dense(crown), DARK), (dense(band), LIMB), (dense(rim), DARK)]


TOP_PARTS: Final = by_name(
    _horns, _pointed_ears, _long_ears, _round_ears, _crown, _antennae, _crest, _leaf, _handle, _hat
)


def _places(f: Frame, count: int, low: float, high: float) -> list[tuple[float, float]]:
    """Return places along the underside of the body, left to right."""
    reach = float(np.abs(f.outline[:, 0]).max()) * f.size(4, low, high)
    return [(x, f.bottom(x)) for x in np.linspace(-reach, reach, count).tolist()]


def _legs(f: Frame) -> Pieces:
    long, wide = f.size(3, 0.45, 0.85), f.size(8, 0.34, 0.5)
    ground = f.bottom(0.0) * 0.6 + 0.4 * max(y for _, y in _places(f, 2, 0.3, 0.55)) + long
    for x, y in _places(f, 2, 0.3, 0.55):
        path = np.linspace((x, y - 0.25), (x, ground), 6)
        yield stroke(path, wide, wide * 0.8), LIMB
        yield ellipse(x + 0.14, ground, wide * 1.0, 0.18, n=14), DARK


def _thin_legs(f: Frame) -> Pieces:
    long = f.size(3, 0.45, 0.75)
    for x, y in _places(f, 4 if f.proportions[11] < 0.6 else 6, 0.5, 0.75):
        s = 1 if x > 0 else -1
        knee, foot = (x + s * 0.42, y - 0.05), (x + s * 0.5, y + long)
        yield stroke(curve((x, y - 0.2), knee, foot), 0.26, 0.18), DARK


def _wheels(f: Frame) -> Pieces:
    count = 2 if f.proportions[11] < 0.65 else 3
    size = f.size(3, 0.36, 0.56) if count == 2 else f.size(3, 0.3, 0.4)
    places = _places(f, count, 0.5, 0.78)
    axle = max(y for _, y in places) + 0.1
    yield dense(box(places[0][0], axle - 0.3, places[-1][0], axle + 0.1)), LIMB
    for x, _ in places:
        yield ellipse(x, axle + 0.1, size, size), DARK
        yield ellipse(x, axle + 0.1, size * 0.45, size * 0.45, n=14), LIGHT


def _tentacles(f: Frame) -> Pieces:
    count, long = 3 + round(f.proportions[11]), f.size(3, 0.6, 0.95)
    for k, (x, y) in enumerate(_places(f, count, 0.5, 0.7)):
        t = np.linspace(0, 1, 14)
        path = np.stack([x * (1 + 0.3 * t) + 0.15 * np.sin(7 * t + k), y - 0.2 + long * t], axis=1)
        yield stroke(path, 0.42, 0.14), LIMB


def _stand(f: Frame) -> Pieces:
    long, half, stem = f.size(3, 0.3, 0.6), f.size(4, 0.7, 1.15), f.size(8, 0.3, 0.55)
    y = f.bottom(0.0)
    foot = [(-half * 0.7, y + long), (half * 0.7, y + long), (half, y + long + 0.28),
            (-half, y + long + 0.28)]  # fmt: skip
    path = np.linspace((0, y - 0.3), (0, y + long + 0.1), 6)
    return [(stroke(path, stem, stem), LIMB), (dense(foot), DARK)]


def _fins(f: Frame) -> Pieces:
    long, out = f.size(3, 0.55, 0.95), f.size(4, 0.35, 0.85)
    for x, y in _places(f, 2, 0.4, 0.62):
        s = 1 if x > 0 else -1
        corners = [(x - 0.35, y - 0.3), (x + 0.35, y - 0.3), (x + s * (0.3 + out), y + long),
                   (x - s * 0.1, y + long * 0.62)]  # fmt: skip
        yield dense(corners), LIMB


def _feet(f: Frame) -> Pieces:
    wide, tall = f.size(3, 0.45, 0.68), f.size(8, 0.22, 0.34)
    for x, y in _places(f, 2, 0.4, 0.62):
        yield ellipse(x + (0.12 if x > 0 else -0.12), y + tall * 0.6, wide, tall), LIMB


def _rocker(f: Frame) -> Pieces:
    half, deep = f.size(4, 1.05, 1.45), f.size(3, 0.2, 0.4)
    y = f.bottom(0.0) + 0.22
    for x, top in _places(f, 2, 0.35, 0.6):
        yield stroke(np.linspace((x, top - 0.2), (x * 1.1, y + 0.05), 5), 0.26, 0.26), DARK
    path = curve((-half, y - deep), (0, y + deep * 1.3), (half, y - deep))
    yield stroke(path, 0.3, 0.3), LIMB


BASE_PARTS: Final = by_name(_legs, _thin_legs, _wheels, _tentacles, _stand, _fins, _feet, _rocker)
