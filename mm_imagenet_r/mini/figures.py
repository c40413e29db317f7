"""A class as polygons: its parts put together in the order in which they are painted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mm_imagenet_r.mini.details import MARK_PARTS, SIDE_PARTS
from mm_imagenet_r.mini.ends import BASE_PARTS, TOP_PARTS
from mm_imagenet_r.mini.grammar import SLOTS, MiniClass
from mm_imagenet_r.mini.shapes import BODY, Frame, Points


@dataclass(frozen=True, slots=True)
class Figure:
    """The polygons of one class in the order in which they are painted."""

    points: Points  # (n, 2), all corners of all polygons
    ends: tuple[int, ...]  # (k,) where each polygon ends in `points`
    tones: tuple[int, ...]  # (k,)
    slots: tuple[int, ...]  # (k,) index into `SLOTS` of the part that each polygon belongs to
    point_slots: NDArray[np.int64]  # (n,) the same for each corner
    anchors: Points  # (5, 2) the point about which each part may be scaled and turned
    area: float  # what the polygons cover together


@lru_cache(maxsize=256)
def figure(cls: MiniClass) -> Figure:
    """Build the polygons of a class."""
    parts = dict(zip(SLOTS, cls.parts, strict=True))
    frame = Frame.of(parts["body"], cls.proportions)
    layers = [
        (SLOTS.index(slot), points, tone)
        for slot, pieces in (
            ("side", SIDE_PARTS[parts["side"]](frame)),
            ("base", BASE_PARTS[parts["base"]](frame)),
            ("top", TOP_PARTS[parts["top"]](frame)),
            ("body", [(frame.outline, BODY)]),
            ("mark", MARK_PARTS[parts["mark"]](frame)),
        )
        for points, tone in pieces
    ]
    slots = [slot for slot, _, _ in layers]
    lengths = [len(points) for _, points, _ in layers]
    right = float(frame.outline[:, 0].max())
    anchors = {
        "body": (0.0, 0.0),
        "top": (0.0, frame.top(0.0)),
        "base": (0.0, frame.bottom(0.0)),
        "side": (0.0 if parts["side"] in ("wings", "arms") else 0.8 * right, 0.0),
        "mark": frame.middle,
    }
    return Figure(
        points=np.concatenate([points for _, points, _ in layers]),
        ends=tuple(np.cumsum(lengths).tolist()),
        tones=tuple(tone for _, _, tone in layers),
        slots=tuple(slots),
        point_slots=np.repeat(slots, lengths),
        anchors=np.array([anchors[slot] for slot in SLOTS]),
        area=_area([points for _, points, _ in layers]),
    )


def _area(polygons: list[Points]) -> float:
    """Measure on a raster how much polygons cover together."""
    per_unit, middle = 40, 160
    raster = Image.new("1", (2 * middle, 2 * middle))
    pencil = ImageDraw.Draw(raster)
    for points in polygons:
        pencil.polygon((points * per_unit + middle).ravel().tolist(), fill=1)
    return float(np.asarray(raster).sum()) / per_unit**2
