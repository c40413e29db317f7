"""Tools for polygons, and the outlines of bodies: around the origin, y pointing down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (n, 2): x, y

BODY, LIMB, ACCENT, DARK, LIGHT = range(5)  # tones; a palette gives each a color

RADIUS: Final = 1.35  # of a body, where a typical ear, leg or tail is .7 long
TAU: Final = 2 * np.pi


@dataclass(frozen=True, slots=True)
class Frame:
    """What a part must know of the body it sits on."""

    body: str  # name of the outline
    outline: Points  # (n, 2), its polygon
    proportions: tuple[float, ...]  # of the class, from 0 to 1

    @classmethod
    def of(cls, body: str, proportions: tuple[float, ...]) -> Frame:
        """Draw the body: its aspect, its detail and its taper are proportions 0, 9 and 10."""
        points = _outline(body, proportions[9])
        ratio = float(np.exp((proportions[0] - 0.5) * 0.62))  # width over height, .73 to 1.36
        if body == "oval":
            ratio *= 1.5
        points = RADIUS * points * (ratio**0.5, ratio**-0.5)
        points[:, 0] *= 1 + (proportions[10] - 0.5) * 0.36 * points[:, 1] / RADIUS
        return cls(body, points, proportions)

    def span(self, axis: int, at: float) -> tuple[float, float]:
        """Return the first and last place where the line x = at (axis 0) or y = at (1) meets it."""
        a = self.outline
        b = np.roll(a, -1, axis=0)
        p, q = a[:, axis] - at, b[:, axis] - at
        hit = (p * q <= 0) & (p != q)
        if not hit.any():
            other = a[np.argmin(np.abs(p)), 1 - axis]
            return float(other), float(other)
        p, q = p[hit], q[hit]
        cut = a[hit, 1 - axis] + (b[hit, 1 - axis] - a[hit, 1 - axis]) * p / (p - q)
        return float(cut.min()), float(cut.max())

    def top(self, x: float) -> float:
        """Return the y of the highest point above `x`."""
        return self.span(0, x)[0]

    def bottom(self, x: float) -> float:
        """Return the y of the lowest point below `x`."""
        return self.span(0, x)[1]

    def size(self, index: int, low: float, high: float) -> float:
        """Return a proportion as a number from `low` to `high`."""
        return low + self.proportions[index] * (high - low)

    @property
    def peak(self) -> float:
        """Where a part stands on top: on a heart between its lobes, a little above the notch."""
        share = 0.65 if self.body == "heart" else 0.0
        return (1 - share) * self.top(0.0) + share * self.top(0.6)

    @property
    def middle(self) -> tuple[float, float]:
        """Where a mark is painted on the body."""
        if self.body == "crescent":
            return 0.62 * float(self.outline[:, 0].max()), 0.0
        down = 0.42 if self.body == "heart" else 0.55
        y = (1 - down) * self.top(0.0) + down * self.bottom(0.0)
        return 0.0, y


Pieces = Iterable[tuple[Points, int]]  # polygons with their tones
Part = Callable[[Frame], Pieces]  # how a part is drawn onto a body


def by_name(*parts: Part) -> dict[str, Part]:
    """Return functions by the names of the parts they draw: `_thin_legs` draws "thin legs"."""
    return {part.__name__.strip("_").replace("_", " "): part for part in parts}


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, n: int = 22) -> Points:
    """Return an ellipse about (x, y), turned by `turn` radians."""
    t = np.linspace(0, TAU, n, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    px, py = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + c * px - s * py, y + s * px + c * py], axis=1)


def stroke(path: Points, start: float, end: float) -> Points:
    """Return the polygon of a line whose width runs from `start` to `end`."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    normal = tangent[:, ::-1] * (-1, 1) * np.linspace(start / 2, end / 2, len(path))[:, None]
    return np.concatenate([path + normal, (path - normal)[::-1]])


def curve(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> Points:
    """Return a quadratic curve from `a` to `c`, drawn towards `b`."""
    t = np.linspace(0, 1, 12)[:, None]
    found: Points = (1 - t) ** 2 * np.array(a) + 2 * t * (1 - t) * np.array(b) + t**2 * np.array(c)
    return found


def dense(corners: list[tuple[float, float]], step: float = 0.22) -> Points:
    """Return a polygon with further corners along its sides, so that it can be bent."""
    found = []
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        n = max(1, round(float(np.hypot(b[0] - a[0], b[1] - a[1])) / step))
        t = np.linspace(0, 1, n, endpoint=False)[:, None]
        found.append(np.array(a) * (1 - t) + np.array(b) * t)
    return np.concatenate(found)


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    """Return the corners of a rectangle, from the upper left in the order of the clock."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def star(x: float, y: float, outer: float, inner: float, tips: int) -> Points:
    """Return a star, one tip pointing up."""
    t = np.arange(2 * tips) * np.pi / tips - np.pi / 2
    r = np.where(np.arange(2 * tips) % 2 == 0, outer, inner)
    return np.stack([x + r * np.cos(t), y + r * np.sin(t)], axis=1)


def _outline(name: str, detail: float) -> Points:
    t = np.linspace(0, TAU, 44, endpoint=False)
    if name in ("round", "oval"):
        return ellipse(0, 0, 1, 1, n=44)
    if name == "square":
        power = 2 / (4 + 6 * detail)
        c, s = np.cos(t), np.sin(t)
        return 0.92 * np.stack(
            [np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power], axis=1
        )
    if name == "triangle":
        return dense([(-0.12, -1.1), (0.12, -1.1), (1.15, 0.75), (1.0, 0.92), (-1.0, 0.92),
                      (-1.15, 0.75)])  # fmt: skip
    if name == "star":
        tips = 5 if detail < 0.5 else 6
        corners = star(0, 0, 1.25, 0.72, tips)
        return dense([(float(x), float(y)) for x, y in corners], 0.3)
    if name == "crescent":
        cut = 0.55 + 0.2 * detail
        a = np.linspace(-2.35, 2.35, 34)
        outer = np.stack([1.12 * np.cos(a), 1.12 * np.sin(a)], axis=1)
        b = np.linspace(1, -1, 22) * np.arctan2(outer[-1, 1], outer[-1, 0] + cut)
        radius = float(np.hypot(outer[-1, 0] + cut, outer[-1, 1]))
        inner = np.stack([radius * np.cos(b) - cut, radius * np.sin(b)], axis=1)
        return np.concatenate([outer, inner[1:-1]])
    if name == "heart":
        x = 16 * np.sin(t) ** 3
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        return np.stack([x, y - 1.5], axis=1) / 14.5
    if name == "drop":
        x = np.sin(t) * np.sin(t / 2) ** (1.1 + 0.9 * detail)
        return np.stack([1.15 * x, -1.15 * np.cos(t)], axis=1)
    if name == "cross":
        arm = 0.4 + 0.14 * detail
        quarter = [(arm, -1.1), (arm, -arm), (1.1, -arm)]
        side = [*quarter, *((x, -y) for x, y in reversed(quarter))]
        return dense([*side, *((-x, y) for x, y in reversed(side))])
    if name == "hexagon":
        start = 0.0 if detail < 0.5 else TAU / 12
        six = start + np.arange(6) * TAU / 6
        return dense([(1.05 * float(np.cos(v)), 1.05 * float(np.sin(v))) for v in six])
    if name == "diamond":
        return dense([(0, -1.25), (1.1, 0), (0, 1.25), (-1.1, 0)])
    if name == "bell":
        y = np.linspace(-0.85, 0.85, 14)
        half = 0.5 + 0.62 * ((y + 0.85) / 1.7) ** (1.6 + detail)
        right = np.stack([half, y], axis=1)
        dome = np.stack([0.5 * np.cos(np.linspace(-2.8, -0.3, 9)),
                         -0.85 + 0.32 * np.sin(np.linspace(-2.8, -0.3, 9))], axis=1)  # fmt: skip
        return np.concatenate([dome, right, right[::-1] * (-1, 1)])
    if name == "arch":
        a = np.linspace(-np.pi, 0, 20)
        top = np.stack([0.85 * np.cos(a), -0.2 + 0.9 * np.sin(a)], axis=1)
        foot = dense([(0.85, 0.0), (0.85, 0.95), (-0.85, 0.95), (-0.85, 0.0)])[:-8]
        return np.concatenate([top, foot])
    # bowl: the lower half of a disc
    a = np.linspace(0, np.pi, 26)
    rim = dense([(-1.2, -0.5), (1.2, -0.5), (1.2, -0.45)], 0.3)[:9]
    return np.concatenate([rim, np.stack([1.2 * np.cos(a), -0.5 + 1.4 * np.sin(a)], axis=1)])
