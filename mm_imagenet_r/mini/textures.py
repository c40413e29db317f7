"""Noise, light and backgrounds: arrays of shape (height, width, 3), values 0 to 255."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.floating[Any]]
Colour = tuple[int, int, int]

COLOURS: Final[dict[str, Colour]] = {
    "red": (208, 44, 44),
    "orange": (238, 136, 36),
    "yellow": (244, 212, 60),
    "green": (64, 152, 64),
    "lime": (164, 206, 62),
    "teal": (30, 140, 140),
    "blue": (52, 96, 200),
    "turquoise": (92, 196, 212),
    "purple": (128, 64, 168),
    "pink": (238, 130, 170),
    "brown": (126, 82, 48),
    "black": (36, 34, 40),
    "white": (244, 242, 236),
    "gray": (134, 134, 138),
    "beige": (218, 196, 154),
}

_BANK: Final = 160  # side of the stored noise, larger than any picture
_SEED: Final = 20241212


@cache
def _noise(scale: int) -> Pixels:
    """Return smooth noise with a mean of 0, a deviation of 1 and blotches of `scale` pixels."""
    rng = np.random.default_rng([_SEED, 9, scale])
    side = max(_BANK // scale, 4)
    small = rng.standard_normal((side, side)).astype(np.float32)
    big = np.asarray(Image.fromarray(small).resize((_BANK, _BANK), Image.Resampling.BICUBIC))
    found: Pixels = (big - big.mean()) / big.std()
    return found


def noise(rng: np.random.Generator, scale: int, width: int, height: int) -> Pixels:
    """Cut a random piece of noise, (height, width, 1)."""
    x = int(rng.integers(_BANK - width))
    y = int(rng.integers(_BANK - height))
    return _noise(scale)[y : y + height, x : x + width, None]


@cache
def grid(width: int, height: int) -> tuple[Pixels, Pixels]:
    """Return x and y of every pixel, both (height, width, 1)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x[:, :, None], y[:, :, None]


def wave(width: int, height: int, angle: float, period: float, phase: float = 0.0) -> Pixels:
    """Return parallel waves between -1 and 1, (height, width, 1)."""
    x, y = grid(width, height)
    turn = 2 * np.pi / period
    found: Pixels = np.sin(
        x * np.float32(np.cos(angle) * turn) + y * np.float32(np.sin(angle) * turn)
        + np.float32(phase)
    )  # fmt: skip
    return found


def blur(alpha: Pixels, radius: float) -> Pixels:
    """Blur a (height, width, 1) array of values from 0 to 1."""
    image = Image.fromarray((alpha[:, :, 0] * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32)[:, :, None] / 255


def shift(alpha: Pixels, dx: int, dy: int) -> Pixels:
    """Move an array right by `dx` and down by `dy`, what leaves one side returns at the other."""
    return np.roll(alpha, (dy, dx), axis=(0, 1))


def relief(height: Pixels) -> Pixels:
    """Return how steeply a surface faces the light from the upper left, (height, width, 1)."""
    found = np.zeros_like(height)
    found[1:-1, 1:-1] = height[2:, 1:-1] - height[:-2, 1:-1] + height[1:-1, 2:] - height[1:-1, :-2]
    return found


def flat(colour: Colour, width: int, height: int) -> Pixels:
    """Return one color everywhere."""
    return np.full((height, width, 3), colour, np.float32)


def over(ground: Pixels, paint: Pixels, alpha: Pixels) -> Pixels:
    """Lay paint, already multiplied by its opacity, over a background."""
    found: Pixels = ground * (1 - alpha) + paint
    return found


def mix(one: Pixels, two: Pixels, share: Pixels) -> Pixels:
    """Go from one picture or color to another by a share from 0 to 1."""
    found: Pixels = one + (two - one) * share
    return found


def shadow(ground: Pixels, alpha: Pixels, dx: int, dy: int, soft: float, depth: float) -> Pixels:
    """Darken a background where an object of this opacity casts its shadow."""
    return over(ground, np.zeros(3), depth * blur(shift(alpha, dx, dy), soft))


def towards(colour: Colour, end: Colour, share: float) -> Colour:
    """Return the color a share of the way to another."""
    r, g, b = (int(a + (e - a) * share) for a, e in zip(colour, end, strict=True))
    return r, g, b


# --------------------------------------------------------------------------------- backgrounds

Backdrop = Callable[[np.random.Generator, int, int, Colour, Colour], Pixels]


def _between(a: Colour, b: Colour, share: Pixels) -> Pixels:
    return mix(np.array(a, np.float32), np.array(b, np.float32), share)


def _plain(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    return flat(a, w, h) + 5 * noise(rng, 16, w, h)


def _gradient(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    angle = rng.uniform(0, 2 * np.pi)
    x, y = grid(w, h)
    share = 0.5 + 0.5 * ((x / w - 0.5) * np.cos(angle) + (y / h - 0.5) * np.sin(angle)) * 1.6
    return _between(a, b, np.clip(share, 0, 1).astype(np.float32))


def _stripes(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    waves = wave(w, h, rng.uniform(0, np.pi), rng.uniform(9, 22), rng.uniform(0, 6))
    return _between(a, b, 0.75 * np.clip(waves * 3 + 0.5, 0, 1))


def _checks(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    period, angle = rng.uniform(14, 26), rng.uniform(0, 0.6)
    both = wave(w, h, angle, period) * wave(w, h, angle + np.pi / 2, period)
    return _between(a, b, 0.7 * np.clip(both * 6 + 0.5, 0, 1))


def _dots(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    period, angle = rng.uniform(9, 16), rng.uniform(0, 0.8)
    both = wave(w, h, angle, period) + wave(w, h, angle + np.pi / 2, period)
    return _between(a, b, 0.8 * np.clip((both - 0.9) * 3, 0, 1))


def _rays(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    x, y = grid(w, h)
    turn = np.arctan2(y - h * rng.uniform(0.3, 0.7), x - w * rng.uniform(0.3, 0.7))
    return _between(a, b, 0.6 * np.clip(np.sin(turn * int(rng.integers(6, 12))) * 5 + 0.5, 0, 1))


def _bricks(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    x, y = grid(w, h)
    tall, long = rng.uniform(7, 10), rng.uniform(16, 22)
    row = np.floor(y / tall)
    joint = ((y % tall) < 1.3) | (((x + (row % 2) * long / 2) % long) < 1.3)
    shade = np.sin(row * 12.9 + np.floor((x + (row % 2) * long / 2) / long) * 78.2)
    wall = flat(a, w, h) * 0.75 + 40 + 12 * shade + 9 * noise(rng, 2, w, h)
    return np.where(joint, np.float32(rng.uniform(150, 215)), wall).astype(np.float32)


def _wood(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    x, y = grid(w, h)
    if rng.random() < 0.5:
        x, y = y, x
    rings = np.sin(y * 0.55 + 2.5 * noise(rng, 16, w, h) + x * 0.03)
    board = np.where((y % 24) < 1.2, np.float32(-45), 11 * rings + 6 * noise(rng, 2, w, h))
    tone = np.array((178, 128, 78), np.float32) * np.float32(rng.uniform(0.65, 1.2))
    return tone + board


def _meadow(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    x, y = grid(w, h)
    edge = h * rng.uniform(0.5, 0.75) + 3 * np.sin(x * 0.08 + rng.uniform(0, 6))
    sky = np.array((150, 196, 236), np.float32) + (y / h) * 45 + 9 * noise(rng, 16, w, h)
    grass = np.array((92, 150, 60), np.float32) + 20 * noise(rng, 2, w, h) - (y / h) * 25
    return np.where(y < edge, sky, grass)


def _night(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    dark = np.array((22, 26, 62), np.float32) * np.float32(rng.uniform(0.7, 1.6))
    sky = dark + 8 * noise(rng, 16, w, h)
    stars = noise(rng, 2, w, h) > 2.35
    return np.where(stars, np.float32(225), sky).astype(np.float32)


def _clouds(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    share = np.clip(noise(rng, 16, w, h) * 0.45 + 0.12 * noise(rng, 4, w, h) + 0.4, 0, 1)
    return _between((122, 172, 226), (246, 246, 248), share)


def _water(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    bend = 1.6 * noise(rng, 16, w, h)
    waves = np.sin(grid(w, h)[1] * 0.7 + bend + wave(w, h, 0.2, 19))
    tone: Pixels = np.array((48, 124, 176), np.float32)
    sea: Pixels = tone + 20 * waves + 5 * noise(rng, 2, w, h)
    return sea


def _sand(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    ripples = np.sin(grid(w, h)[1] * 0.5 + 1.5 * noise(rng, 16, w, h))
    tone: Pixels = np.array((214, 186, 134), np.float32)
    dune: Pixels = tone + 9 * ripples + 12 * noise(rng, 2, w, h)
    return dune


def _paper(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    tone = np.array((240, 236, 224), np.float32) * np.float32(rng.uniform(0.9, 1.03))
    return tone + 4 * noise(rng, 2, w, h) + 4 * noise(rng, 16, w, h)


def _cloth(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    weave = wave(w, h, 0.0, 3.1) * wave(w, h, np.pi / 2, 3.1)
    return flat(a, w, h) * 0.8 + 35 + 16 * weave + 7 * noise(rng, 4, w, h)


def _metal(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    x, y = grid(w, h)
    sheen = 26 * np.sin(x / w * rng.uniform(2, 5) + y / h + rng.uniform(0, 6))
    return np.float32(172) + sheen + 7 * noise(rng, 2, w, h) + np.zeros(3, np.float32)


def _skin(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    tones = ((234, 190, 160), (216, 164, 126), (168, 116, 82), (120, 80, 58))
    tone = np.array(tones[int(rng.integers(len(tones)))], np.float32)
    x, y = grid(w, h)
    along = x / w if rng.random() < 0.6 else y / h
    roll = 1 - 0.45 * np.abs(along - rng.uniform(0.3, 0.7)) ** 1.5 * 2.2
    return tone * roll + 5 * noise(rng, 4, w, h) + 3 * noise(rng, 2, w, h)


def _room(rng: np.random.Generator, w: int, h: int, a: Colour, b: Colour) -> Pixels:
    x, y = grid(w, h)
    edge = h * rng.uniform(0.62, 0.82)
    wall = flat(a, w, h) * 0.55 + 80 - 40 * np.abs(x / w - rng.uniform(0.2, 0.8))
    floor = flat(b, w, h) * 0.6 + 40 + 30 * (y / h) + 5 * noise(rng, 4, w, h)
    return np.where(y < edge, wall + 4 * noise(rng, 4, w, h), floor)


_PAINTERS: Final[tuple[Backdrop, ...]] = (
    _plain, _gradient, _stripes, _checks, _dots, _rays, _bricks, _wood, _meadow, _night, _clouds,
    _water, _sand, _paper, _cloth, _metal, _skin, _room,
)  # fmt: skip
BACKDROPS: Final = {painter.__name__.strip("_"): painter for painter in _PAINTERS}


def polygons(
    size: tuple[int, int], shapes: list[list[float]], fills: list[int] | None = None
) -> Image.Image:
    """Draw filled polygons into a new one-channel image."""
    image = Image.new("L", size)
    pencil = ImageDraw.Draw(image)
    for k, shape in enumerate(shapes):
        pencil.polygon(shape, fill=255 if fills is None else fills[k])
    return image
