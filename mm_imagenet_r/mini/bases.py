"""What a body stands on: legs, wheels, a stand. Proportions 3 and 4 are its height and width."""

from __future__ import annotations

from typing import Final

import numpy as np

from mm_imagenet_r.mini.shapes import (
    DARK,
    LIGHT,
    LIMB,
    Frame,
    Pieces,
    by_name,
    curve,
    dense,
    ellipse,
    stroke,
)


def _places(f: Frame, count: int, low: float, high: float) -> list[tuple[float, float]]:
    """Return places along the underside of the body, left to right."""
    reach = float(np.abs(f.outline[:, 0]).max()) * f.size(4, low, high)
    return [(x, f.bottom(x)) for x in np.linspace(-reach, reach, count).tolist()]


def _legs(f: Frame) -> Pieces:
    long, wide = f.size(3, 0.45, 0.85), f.size(8, 0.34, 0.5)
    ground = f.bottom(0.0) * 0.6 + 0.4 * max(y for _, y in _places(f, 2, 0.3, 0.55)) + long
    found: Pieces = []
    for x, y in _places(f, 2, 0.3, 0.55):
        path = np.linspace((x, y - 0.25), (x, ground), 6)
        found.append((stroke(path, wide, wide * 0.8), LIMB))
        found.append((ellipse(x + 0.14, ground, wide * 1.0, 0.18, n=14), DARK))
    return found


def _thin_legs(f: Frame) -> Pieces:
    long = f.size(3, 0.45, 0.75)
    found: Pieces = []
    for x, y in _places(f, 4 if f.proportions[11] < 0.6 else 6, 0.5, 0.75):
        s = 1 if x > 0 else -1
        knee, foot = (x + s * 0.42, y - 0.05), (x + s * 0.5, y + long)
        found.append((stroke(curve((x, y - 0.2), knee, foot), 0.26, 0.18), DARK))
    return found


def _wheels(f: Frame) -> Pieces:
    count = 2 if f.proportions[11] < 0.65 else 3
    size = f.size(3, 0.36, 0.56) if count == 2 else f.size(3, 0.3, 0.4)
    places = _places(f, count, 0.5, 0.78)
    axle = max(y for _, y in places) + 0.1
    bar = [(places[0][0], axle - 0.3), (places[-1][0], axle - 0.3), (places[-1][0], axle + 0.1),
           (places[0][0], axle + 0.1)]  # fmt: skip
    found: Pieces = [(dense(bar), LIMB)]
    for x, _ in places:
        found.append((ellipse(x, axle + 0.1, size, size), DARK))
        found.append((ellipse(x, axle + 0.1, size * 0.45, size * 0.45, n=14), LIGHT))
    return found


def _tentacles(f: Frame) -> Pieces:
    count, long = 3 + round(f.proportions[11]), f.size(3, 0.6, 0.95)
    found: Pieces = []
    for k, (x, y) in enumerate(_places(f, count, 0.5, 0.7)):
        t = np.linspace(0, 1, 14)
        path = np.stack([x * (1 + 0.3 * t) + 0.15 * np.sin(7 * t + k), y - 0.2 + long * t], axis=1)
        found.append((stroke(path, 0.42, 0.14), LIMB))
    return found


def _stand(f: Frame) -> Pieces:
    long, half, stem = f.size(3, 0.3, 0.6), f.size(4, 0.7, 1.15), f.size(8, 0.3, 0.55)
    y = f.bottom(0.0)
    foot = [(-half * 0.7, y + long), (half * 0.7, y + long), (half, y + long + 0.28),
            (-half, y + long + 0.28)]  # fmt: skip
    path = np.linspace((0, y - 0.3), (0, y + long + 0.1), 6)
    return [(stroke(path, stem, stem), LIMB), (dense(foot), DARK)]


def _fins(f: Frame) -> Pieces:
    long, out = f.size(3, 0.55, 0.95), f.size(4, 0.35, 0.85)
    found: Pieces = []
    for x, y in _places(f, 2, 0.4, 0.62):
        s = 1 if x > 0 else -1
        corners = [(x - 0.35, y - 0.3), (x + 0.35, y - 0.3), (x + s * (0.3 + out), y + long),
                   (x - s * 0.1, y + long * 0.62)]  # fmt: skip
        found.append((dense(corners), LIMB))
    return found


def _feet(f: Frame) -> Pieces:
    wide, tall = f.size(3, 0.45, 0.68), f.size(8, 0.22, 0.34)
    return [
        (ellipse(x + (0.12 if x > 0 else -0.12), y + tall * 0.6, wide, tall), LIMB)
        for x, y in _places(f, 2, 0.4, 0.62)
    ]


def _rocker(f: Frame) -> Pieces:
    half, deep = f.size(4, 1.05, 1.45), f.size(3, 0.2, 0.4)
    y = f.bottom(0.0) + 0.22
    found: Pieces = [
        (stroke(np.linspace((x, top - 0.2), (x * 1.1, y + 0.05), 5), 0.26, 0.26), DARK)
        for x, top in _places(f, 2, 0.35, 0.6)
    ]
    path = curve((-half, y - deep), (0, y + deep * 1.3), (half, y - deep))
    return [*found, (stroke(path, 0.3, 0.3), LIMB)]


BASE_PARTS: Final = by_name(_legs, _thin_legs, _wheels, _tentacles, _stand, _fins, _feet, _rocker)
