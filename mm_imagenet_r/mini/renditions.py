"""The styles in which a scene is painted, named as in ImageNet-R."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from mm_imagenet_r.mini.scenes import OVERSAMPLING, Scene
from mm_imagenet_r.mini.shapes import BODY, DARK, LIMB
from mm_imagenet_r.mini.textures import (
    BACKDROPS,
    Colour,
    Pixels,
    blur,
    flat,
    grid,
    mix,
    noise,
    over,
    polygons,
    relief,
    shadow,
    shift,
    towards,
    wave,
)


@dataclass(frozen=True, slots=True)
class Rendition:
    """A style: how it is painted and on which of `textures.BACKDROPS`."""

    paint: Callable[[Scene, Pixels], Pixels]  # scene, background -> picture
    backdrops: tuple[str, ...]
    coloured: bool = True  # whether the scene's colors can be seen in it


def _layer(
    scene: Scene, colours: list[Colour], line: Colour | None = None, width: int = 3
) -> tuple[Pixels, Pixels]:
    """Paint all pieces flat; return their color times their opacity, and their opacity."""
    image = Image.new("RGB", scene.canvas)
    pencil = ImageDraw.Draw(image)
    for shape, tone in zip(scene.shapes, scene.tones, strict=True):
        pencil.polygon(shape, fill=colours[tone])
        if line is not None:
            pencil.line(shape + shape[:4], fill=line, width=width)
    alpha = polygons(scene.canvas, scene.shapes)
    return _shrink(image), _shrink(alpha) / 255


def _shrink(image: Image.Image) -> Pixels:
    found = np.asarray(image.reduce(OVERSAMPLING), np.float32)
    return found if found.ndim == 3 else found[:, :, None]


def _tone_map(scene: Scene) -> Pixels:
    image = polygons(scene.canvas, scene.shapes, [tone + 1 for tone in scene.tones])
    return np.asarray(image, np.float32)[::OVERSAMPLING, ::OVERSAMPLING, None]


def _lines(scene: Scene, repeats: int, sway: float, width: int) -> tuple[Pixels, Pixels]:
    """Draw the outlines by a shaky hand; return ink (0 to 1) and the opacity of all pieces."""
    image = Image.new("L", scene.canvas)
    pencil = ImageDraw.Draw(image)
    for shape in scene.shapes:
        pencil.polygon(shape, fill=0)
        closed = np.array(shape + shape[:4])
        for _ in range(repeats):
            shaky = closed + sway * scene.rng.standard_normal(len(closed))
            ink = int(scene.rng.integers(150, 256))
            pencil.line(shaky.tolist(), fill=ink, width=width)
    return _shrink(image) / 255, _shrink(polygons(scene.canvas, scene.shapes)) / 255


# -------------------------------------------------------------------------------------- styles


def _cartoon(scene: Scene, ground: Pixels) -> Pixels:
    paint, alpha = _layer(scene, scene.palette, (24, 20, 26), int(scene.rng.integers(3, 6)))
    shade = 1 - 0.25 * np.clip(alpha - shift(alpha, -3, -3), 0, 1)
    return over(ground, paint * shade, alpha)


def _sketch(scene: Scene, ground: Pixels) -> Pixels:
    ink, alpha = _lines(scene, 2, 1.1, 2)
    w, h, rng = scene.width, scene.height, scene.rng
    hatch = np.clip(wave(w, h, rng.uniform(0.4, 1.2), rng.uniform(3.2, 5)) * 2 - 0.3, 0, 1)
    density = np.array([0, 0.12, 0.3, 0.55, 0.75, 0.0, 0.2, 0.2], np.float32)
    fill = density[_tone_map(scene).astype(int)[:, :, 0]][:, :, None] * hatch
    dark = np.clip(1.15 * ink + fill, 0, 1) * np.clip(0.85 + 0.2 * noise(rng, 2, w, h), 0.3, 1)
    pencil = np.array((52, 50, 54) if rng.random() < 0.75 else scene.palette[DARK], np.float32)
    page = ground * (1 - 0.05 * alpha)
    return mix(page, pencil, dark)


def _art(scene: Scene, ground: Pixels) -> Pixels:
    """Chalk on a blackboard."""
    w, h, rng = scene.width, scene.height, scene.rng
    boards = ((30, 52, 44), (34, 34, 38), (28, 36, 66))
    board = flat(boards[int(rng.integers(len(boards)))], w, h)
    board = board + 9 * noise(rng, 16, w, h) + 5 * noise(rng, 4, w, h)
    ink, _ = _lines(scene, 1, 0.7, 4)
    pale = [towards(colour, (255, 255, 255), 0.35) for colour in scene.palette]
    pale[DARK] = (150, 150, 150)
    paint, alpha = _layer(scene, pale)
    grain = np.clip(0.85 + 0.2 * noise(rng, 2, w, h), 0, 1)
    filled = board + (paint - board * alpha) * grain * 0.6
    return mix(filled, np.float32(238) + np.zeros(3), ink * grain)


def _painting(scene: Scene, ground: Pixels) -> Pixels:
    w, h, rng = scene.width, scene.height, scene.rng
    paint, alpha = _layer(scene, scene.palette)
    base = over(ground, paint * (1 + 0.12 * noise(rng, 8, w, h)), alpha)
    base = base + 7 * noise(rng, 16, w, h)
    picture = Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))
    pencil = ImageDraw.Draw(picture)
    count = w * h // 22
    x, y = rng.integers(0, w, count), rng.integers(0, h, count)
    colours = np.clip(base[y, x] + 13 * rng.standard_normal((count, 1)), 0, 255).astype(int)
    turn = 1.4 * noise(rng, 16, w, h)[y, x, 0] + rng.uniform(0, 3)
    dx, dy = 2.6 * np.cos(turn), 2.6 * np.sin(turn)
    ends = np.stack([x - dx, y - dy, x + dx, y + dy], axis=1).tolist()
    for end, colour in zip(ends, colours.tolist(), strict=True):
        pencil.line(end, fill=tuple(colour), width=2)
    return np.asarray(picture, np.float32)


def _embroidery(scene: Scene, ground: Pixels) -> Pixels:
    w, h, rng = scene.width, scene.height, scene.rng
    thread = towards(scene.palette[BODY], (30, 20, 30), 0.55)
    paint, alpha = _layer(scene, scene.palette, thread, 3)
    angle, period = rng.uniform(0.2, 1.3), rng.uniform(2.6, 3.6)
    one, two = wave(w, h, angle, period), wave(w, h, angle + 1.4, period)
    stitch = np.where(_tone_map(scene) == BODY + 1, one, two)
    cloth = shadow(ground, alpha, 1, 2, 1.2, 0.35)
    raised = 1 + 1.1 * relief(blur(alpha, 1.2))
    lit = paint * (0.92 + 0.26 * stitch + 0.06 * noise(rng, 2, w, h)) * raised
    return over(cloth, lit, alpha)


def _graffiti(scene: Scene, ground: Pixels) -> Pixels:
    w, h, rng = scene.width, scene.height, scene.rng
    vivid = [towards(colour, (255, 60, 200), 0.12) for colour in scene.palette]
    line: Colour = (250, 250, 250) if rng.random() < 0.5 else (16, 14, 18)
    paint, alpha = _layer(scene, vivid, line, int(rng.integers(4, 7)))
    halo = np.clip(1.5 * blur(alpha, 4.0) + 0.25 * blur(alpha, 2) * noise(rng, 2, w, h), 0, 1)
    wall = mix(ground, np.array(scene.palette[5], np.float32), 0.75 * halo)
    y = grid(w, h)[1]
    fade = 1.12 - 0.4 * (y / h)
    for _ in range(int(rng.integers(2, 5))):  # drips
        x, top = int(rng.integers(6, w - 6)), int(rng.integers(h // 3, 3 * h // 4))
        low = min(h, top + int(rng.integers(8, 22)))
        wall[top:low, x : x + 2] = scene.palette[5]
    return over(wall, paint * fade + 0.09 * alpha * (ground - ground.mean()), alpha)


def _origami(scene: Scene, ground: Pixels) -> Pixels:
    image = Image.new("RGB", scene.canvas)
    pencil = ImageDraw.Draw(image)
    light = scene.rng.uniform(0, 6)
    folded: list[list[float]] = []
    for shape, tone, compact in zip(scene.shapes, scene.tones, scene.compact, strict=True):
        points = np.array(shape).reshape(-1, 2)
        points = points[:: max(1, round(len(points) / 8))] if compact else points[::2]
        colour = scene.palette[tone]
        folded.append(points.ravel().tolist())
        pencil.polygon(folded[-1], fill=colour)
        if not compact:
            continue
        middle = points.mean(axis=0)
        turn = np.arctan2(*(points - middle).T)
        for k in range(len(points)):
            facet = [*points[k - 1].tolist(), *points[k].tolist(), *middle.tolist()]
            share = 0.3 * float(np.cos(turn[k] - light)) + 0.09 * (k % 2)
            end: Colour = (255, 255, 255) if share > 0 else (20, 20, 30)
            pencil.polygon(facet, fill=towards(colour, end, abs(share)))
    alpha = _shrink(polygons(scene.canvas, folded)) / 255
    ground = shadow(ground, alpha, 3, 4, 3.0, 0.5)
    return over(ground, _shrink(image), alpha)


def _sticker(scene: Scene, ground: Pixels) -> Pixels:
    paint, alpha = _layer(scene, scene.palette, towards(scene.palette[DARK], (0, 0, 0), 0.4), 2)
    border = np.clip((blur(alpha, 2.2) - 0.08) * 9, 0, 1)
    ground = shadow(ground, border, 2, 2, 1.6, 0.5)
    x, y = grid(scene.width, scene.height)
    gloss = 26 * np.clip(1 - np.abs((x + y) / 30 - scene.rng.uniform(1.5, 4)), 0, 1)
    white = np.float32(246) * (border - border * alpha)
    return over(ground, white + paint + gloss * alpha, border)


def _sculpture(scene: Scene, ground: Pixels) -> Pixels:
    w, h, rng = scene.width, scene.height, scene.rng
    stones = ((206, 202, 194), (150, 112, 66), (150, 150, 152), (188, 116, 84), (96, 118, 104))
    stone = np.array(stones[int(rng.integers(len(stones)))], np.float32)
    greys: list[Colour] = [(v, v, v) for v in (205, 190, 160, 130, 232, 185, 170)]
    carved, alpha = _layer(scene, greys, (105, 105, 105), 2)
    surface = 0.5 * blur(alpha, 2.5) + 0.9 * blur(np.clip(carved[:, :, :1] / 255, 0, 1), 0.9)
    light = 0.95 + 1.3 * relief(surface) + 0.07 * noise(rng, 2, w, h) + 0.06 * noise(rng, 8, w, h)
    ground = shadow(ground, alpha, 4, 3, 3.5, 0.5)
    lit = stone * np.clip(light, 0.15, 1.5) * (0.45 + 0.55 * carved / 205)
    return over(ground, lit * alpha, alpha)


def _tattoo(scene: Scene, ground: Pixels) -> Pixels:
    w, h, rng = scene.width, scene.height, scene.rng
    ink, alpha = _lines(scene, 1, 0.35, int(rng.integers(3, 5)))
    inks = ((28, 32, 44), (36, 58, 70), (44, 40, 40))
    colour = np.array(inks[int(rng.integers(len(inks)))], np.float32)
    density = np.array([0, 0.14, 0.32, 0.5, 0.85, 0.05, 0.3, 0.2], np.float32)
    fill = density[_tone_map(scene).astype(int)[:, :, 0]][:, :, None]
    fill = fill * np.clip(0.9 + 0.35 * noise(rng, 8, w, h), 0, 1.3) + 0.3 * alpha * (
        1 - blur(alpha, 3)
    )
    if rng.random() < 0.4:
        paint, _ = _layer(scene, scene.palette)
        ground = ground * (1 - 0.45 * alpha) + 0.45 * paint
    dark = blur(np.clip(ink + fill, 0, 1), 0.5) * 0.9
    return mix(ground, colour, dark)


def _toy(scene: Scene, ground: Pixels) -> Pixels:
    paint, alpha = _layer(scene, scene.palette, towards(scene.palette[BODY], (0, 0, 0), 0.5), 2)
    round_ = relief(blur(alpha, 3.0))
    light = 0.9 + 1.5 * round_
    shine = 190 * np.clip(round_ - 0.14, 0, 0.3) / 0.3 * alpha
    ground = shadow(ground, alpha, 4, 6, 4.0, 0.55)
    return over(ground, paint * np.clip(light, 0.35, 1.35) + shine, alpha)


def _videogame(scene: Scene, ground: Pixels) -> Pixels:
    w, h = scene.width, scene.height
    block = 2 if scene.rng.random() < 0.7 else 3
    paint, alpha = _layer(scene, scene.palette, (12, 10, 20), 2 * block)
    whole = over(ground, paint, alpha)
    small = Image.fromarray(np.clip(whole, 0, 255).astype(np.uint8)).reduce(block)
    levels: Pixels = np.round(np.asarray(small, np.float32) / 51) * 51
    return levels.repeat(block, axis=0).repeat(block, axis=1)[:h, :w]


def _graphic(scene: Scene, ground: Pixels) -> Pixels:
    w, h, rng = scene.width, scene.height, scene.rng
    back, front = scene.backdrop[0], scene.palette[BODY]
    second = front if rng.random() < 0.6 else scene.palette[LIMB]
    colours = [front, second, back, second, back, scene.palette[5], scene.palette[5]]
    if rng.random() < 0.5:
        x, y = grid(w, h)
        r = np.hypot(x - w * rng.uniform(0.35, 0.65), y - h * rng.uniform(0.35, 0.65))
        disc = np.clip(min(w, h) * rng.uniform(0.34, 0.5) - r, 0, 1)
        pale = np.array(towards(scene.backdrop[1], back, 0.45), np.float32)
        ground = ground * (1 - disc) + pale * disc
    paint, alpha = _layer(scene, colours, back, 3)
    if rng.random() < 0.5:
        print_ = np.clip(1.3 + wave(w, h, 0.8, 3.2) * wave(w, h, 2.37, 3.2), 0.75, 1)
        paint = paint * print_
    return over(ground, paint, alpha)


_SCENERY: Final = ("meadow", "clouds", "night", "water", "room", "gradient")
_PATTERNS: Final = ("plain", "gradient", "stripes", "checks", "dots", "rays")

RENDITIONS: Final[dict[str, Rendition]] = {
    "art": Rendition(_art, ("blackboard",)),
    "cartoon": Rendition(_cartoon, (*_PATTERNS, "meadow", "clouds", "night", "room")),
    "embroidery": Rendition(_embroidery, ("cloth",)),
    "graffiti": Rendition(_graffiti, ("bricks", "bricks", "metal")),
    "graphic": Rendition(_graphic, ("plain", "rays", "stripes")),
    "origami": Rendition(_origami, ("wood", "cloth", "paper", "plain", "gradient")),
    "painting": Rendition(_painting, (*_SCENERY, "plain")),
    "sculpture": Rendition(_sculpture, ("room", "meadow", "sand", "bricks", "night"), False),
    "sketch": Rendition(_sketch, ("paper",), False),
    "sticker": Rendition(_sticker, ("metal", "wood", "plain", "bricks", "gradient")),
    "tattoo": Rendition(_tattoo, ("skin",), False),
    "toy": Rendition(_toy, ("wood", "room", "sand", "meadow", "cloth")),
    "videogame": Rendition(_videogame, ("meadow", "night", "bricks", "water", "plain", "checks")),
}


def render(scene: Scene, style: str) -> tuple[Image.Image, str]:
    """Paint a scene; return the picture and the name of its background."""
    rendition, rng, edition = RENDITIONS[style], scene.rng, scene.edition
    name = rendition.backdrops[int(rng.integers(len(rendition.backdrops)))]
    if scene.home and len(rendition.backdrops) > 1 and rng.random() < edition.at_home:
        name = scene.home
    w, h = scene.width, scene.height
    painter = BACKDROPS.get(name, BACKDROPS["plain"])
    ground = painter(rng, w, h, *scene.backdrop)
    picture = rendition.paint(scene, ground)
    if style != "videogame":
        picture = picture + rng.uniform(*edition.grain) * noise(rng, 1, w, h)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)), name
