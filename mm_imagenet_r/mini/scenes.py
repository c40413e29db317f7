"""One picture before it is painted: what stands where, in which colors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_imagenet_r.mini.details import MARK_PARTS, SIDE_PARTS
from mm_imagenet_r.mini.ends import BASE_PARTS, TOP_PARTS
from mm_imagenet_r.mini.grammar import SLOTS, MiniClass
from mm_imagenet_r.mini.settings import Edition
from mm_imagenet_r.mini.shapes import BODY, LIGHT, RADIUS, Frame, Points, box, ellipse, star
from mm_imagenet_r.mini.textures import COLOURS, Colour, polygons

OVERSAMPLING: Final = 2  # polygons are drawn at twice the size, then averaged

DISTRACTORS: Final = ("circles", "squares", "triangles", "stars", "sticks", "flowers")
SPLITS: Final = ("train", "test")


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


def _area(pieces: list[Points]) -> float:
    """Measure on a raster how much polygons cover together."""
    per_unit, middle = 40, 160
    shapes = [(points * per_unit + middle).ravel().tolist() for points in pieces]
    raster = np.asarray(polygons((2 * middle, 2 * middle), shapes))
    return float((raster > 0).sum()) / per_unit**2


@dataclass(slots=True)
class Scene:
    """What a rendition paints."""

    width: int  # in pixels
    height: int
    shapes: list[list[float]]  # polygons x0, y0, ... at `OVERSAMPLING` times the size, in order
    tones: list[int]  # for each an index into `palette`
    compact: list[bool]  # for each whether it is a solid piece rather than a bent line
    palette: list[Colour]  # of body, limbs, accents, dark and light pieces, then of distractors
    colours: tuple[str, str, str]  # names of the first three of them
    backdrop: tuple[Colour, Colour]
    backdrop_colour: str  # name of the first of them
    distractor: str  # what the distractors are
    num_distractors: int
    missing: str | None  # the part which this picture does not show
    parts: NDArray[np.uint8]  # (height, width): 1 + index in `SLOTS` of the part seen, 0 for none
    home: str  # the background that the class is often seen before; "" if any
    edition: Edition
    rng: np.random.Generator  # for everything that the rendition leaves to chance

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height on which polygons are drawn."""
        return self.width * OVERSAMPLING, self.height * OVERSAMPLING


def compose(cls: MiniClass, split: str, index: int) -> Scene:
    """Decide everything about picture `index` of a class but how it is painted."""
    edition = cls.edition
    key = [edition.seed, 2, int(cls.base), cls.number, SPLITS.index(split), index]
    rng = np.random.default_rng(key)
    fig = figure(cls)
    width, height = edition.sizes[int(rng.integers(len(edition.sizes)))]
    missing = int(rng.integers(1, len(SLOTS))) if rng.random() < edition.missing else None
    points = _place(rng, _pose(rng, fig, edition), fig.area, width, height, edition) * OVERSAMPLING

    starts = (0, *fig.ends[:-1])
    shown = [k for k in range(len(fig.ends)) if fig.slots[k] != missing]
    pieces = [points[starts[k] : fig.ends[k]] for k in shown]
    shapes: list[list[float]] = [piece.ravel().tolist() for piece in pieces]
    big = width * OVERSAMPLING, height * OVERSAMPLING
    solid = np.asarray(polygons(big, shapes))

    distractor = DISTRACTORS[int(rng.integers(len(DISTRACTORS)))]
    low, high = edition.distractors
    count = int(rng.integers(low, high + 1))
    behind: list[list[float]] = []
    for _ in range(count):
        spots = rng.random((4, 2)) * big
        taken = solid[spots[:, 1].astype(int), spots[:, 0].astype(int)]
        free = spots[int(taken.argmin())].tolist()
        behind.append(_distractor(rng, distractor, free, min(big)))
    front: list[list[float]] = []
    if rng.random() < edition.occluded:
        corner = points[int(rng.integers(len(points)))]
        front.append(_distractor(rng, distractor, corner.tolist(), min(big)))

    palette, colours, backdrop, backdrop_colour = _palette(rng)
    others = [LIGHT + 1 + int(k) for k in rng.integers(0, 2, len(behind) + len(front))]
    return Scene(
        width=width,
        height=height,
        shapes=[*behind, *shapes, *front],
        tones=[*others[:count], *(fig.tones[k] for k in shown), *others[count:]],
        compact=[True] * count + [_compact(piece) for piece in pieces] + [True] * len(front),
        palette=palette,
        colours=colours,
        backdrop=backdrop,
        backdrop_colour=backdrop_colour,
        distractor=distractor,
        num_distractors=count + len(front),
        missing=None if missing is None else SLOTS[missing],
        parts=_parts((width, height), shapes, [1 + fig.slots[k] for k in shown], front),
        home=cls.home,
        edition=edition,
        rng=rng,
    )


def _parts(
    size: tuple[int, int], shapes: list[list[float]], numbers: list[int], front: list[list[float]]
) -> NDArray[np.uint8]:
    """Paint every part with its number, then what lies over them with 0."""
    small = [[c / OVERSAMPLING for c in corners] for corners in (*shapes, *front)]
    return np.asarray(polygons(size, small, [*numbers, *[0] * len(front)]))


def _pose(rng: np.random.Generator, fig: Figure, edition: Edition) -> Points:
    """Vary the parts' sizes and angles, bend the outline, then turn the whole."""
    n = len(SLOTS)
    scale = np.exp(edition.part_scale * rng.standard_normal(n))
    turn = np.radians(edition.part_turn) * rng.standard_normal(n)
    scale[0], turn[0] = 1.0, 0.0  # the body stays, or its parts would come off
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    slot = fig.point_slots
    away = fig.points - fig.anchors[slot]
    points = fig.anchors[slot] + np.stack(
        [c[slot] * away[:, 0] - s[slot] * away[:, 1], s[slot] * away[:, 0] + c[slot] * away[:, 1]],
        axis=1,
    )
    bend = rng.uniform(0.9, 2.2, (2, 2)) * rng.choice([-1, 1], (2, 2))
    points = points + edition.wobble * RADIUS * np.sin(points @ bend + rng.uniform(0, 6, 2))

    stretch = np.exp(0.5 * edition.anisotropy * rng.standard_normal())
    angle = np.radians(rng.uniform(-edition.rotation, edition.rotation))
    mirror = rng.choice([-1, 1])
    lean = edition.shear * rng.standard_normal()
    c, s = np.cos(angle), np.sin(angle)
    shape = np.array([[mirror * stretch, lean], [0, 1 / stretch]])
    found: Points = points @ (np.array([[c, -s], [s, c]]) @ shape).T
    return found


def _place(
    rng: np.random.Generator, points: Points, area: float, width: int, height: int, edition: Edition
) -> Points:
    """Scale to the wanted share of the picture and put it at a random place in it."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    canvas = np.array([width, height])
    scale = np.sqrt(rng.uniform(*edition.area) * width * height / area)
    scale = min(scale, float((edition.room * canvas / extent).min()))
    free = canvas - scale * extent
    found: Points = (points - low) * scale + free * rng.uniform(
        edition.margin, 1 - edition.margin, 2
    )
    return found


def _compact(points: Points) -> bool:
    x, y = points[:, 0], points[:, 1]
    nx, ny = np.roll(x, -1), np.roll(y, -1)
    area = 0.5 * abs(float((x * ny - nx * y).sum()))
    around = float(np.hypot(nx - x, ny - y).sum())
    return 4 * np.pi * area > 0.45 * around**2


def _distractor(rng: np.random.Generator, kind: str, at: list[float], side: int) -> list[float]:
    """Return a small polygon about `at`, 5 to 10 % of the picture's side in radius."""
    r = side * rng.uniform(0.05, 0.1)
    if kind == "circles":
        points = ellipse(0, 0, r, r, n=16)
    elif kind == "stars":
        points = star(0, 0, 1.2 * r, 0.5 * r, 5)
    elif kind == "flowers":
        t = np.linspace(0, 2 * np.pi, 30, endpoint=False)
        points = (r * (0.8 + 0.35 * np.cos(5 * t)))[:, None] * np.stack([np.cos(t), np.sin(t)], 1)
    elif kind == "sticks":
        points = np.array(box(-1.7, -0.3, 1.7, 0.3)) * r
    elif kind == "squares":
        points = np.array(box(-0.9, -0.9, 0.9, 0.9)) * r
    else:
        points = np.array([(0, -1.2), (1.1, 0.8), (-1.1, 0.8)]) * r
    a = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(a), np.sin(a)
    found: list[float] = (points @ np.array([[c, s], [-s, c]]) + at).ravel().tolist()
    return found


def _palette(
    rng: np.random.Generator,
) -> tuple[list[Colour], tuple[str, str, str], tuple[Colour, Colour], str]:
    """Choose colors so that the object stands out from the background."""
    names = list(COLOURS)
    body, limb, accent, ground, second, *rest = (names[int(k)] for k in rng.permutation(len(names)))
    if rng.random() < 0.35:
        limb = body
    while _distance(COLOURS[ground], COLOURS[body]) < 110:
        ground = names[int(rng.integers(len(names)))]
    if _distance(COLOURS[accent], COLOURS[body]) < 110:
        accent = max(rest, key=lambda name: _distance(COLOURS[name], COLOURS[body]))
    jitter = rng.integers(-16, 17, (9, 3))
    shade = rng.integers(15, 62, 3)
    base = [COLOURS[body], COLOURS[limb], COLOURS[accent], (45, 40, 45), (240, 238, 230)]
    base += [COLOURS[rest[0]], COLOURS[rest[1]], COLOURS[ground], COLOURS[second]]
    if limb == body:
        base[1] = _clip(np.array(base[0]) * rng.choice([0.72, 1.22]))
    made = [_clip(np.array(colour) + jitter[k]) for k, colour in enumerate(base)]
    made[3] = _clip(shade)
    return made[:7], (body, limb, accent), (made[7], made[8]), ground


def _clip(colour: NDArray[np.generic]) -> Colour:
    r, g, b = np.clip(colour, 0, 255).astype(int).tolist()
    return r, g, b


def _distance(a: Colour, b: Colour) -> float:
    return float(np.linalg.norm(np.subtract(a, b)))
