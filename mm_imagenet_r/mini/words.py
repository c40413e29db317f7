"""The words of the captions: ways of saying each style, part, background and turn of phrase."""

from __future__ import annotations

import re
from typing import Final

from mm_imagenet_r.mini.grammar import QUALITIES
from mm_imagenet_r.mini.settings import SECOND, Edition
from mm_imagenet_r.mini.textures import COLOURS

STYLES: Final[dict[str, tuple[str, ...]]] = {
    "art": ("chalk drawing", "piece of chalk art", "drawing made with chalk"),
    "cartoon": ("cartoon", "cartoon illustration", "comic style drawing", "animated image"),
    "embroidery": ("piece of embroidery", "stitched picture", "embroidered patch"),
    "graffiti": ("graffiti", "spray painted mural", "piece of street art", "graffiti painting"),
    "graphic": ("graphic design", "simple poster", "flat logo", "printed graphic"),
    "origami": ("origami model", "folded paper figure", "paper craft"),
    "painting": ("painting", "oil painting", "artistic painting", "work of art"),
    "sculpture": ("sculpture", "carved statue", "stone sculpture", "small statue"),
    "sketch": ("pencil sketch", "line drawing", "hand drawn sketch", "drawing"),
    "sticker": ("sticker", "sticker with a thick border", "glossy decal"),
    "tattoo": ("tattoo", "tattoo design", "ink drawing on the skin"),
    "toy": ("toy", "plastic toy", "shiny toy figure"),
    "videogame": ("pixel art image", "video game character", "scene from a video game"),
}

BODIES: Final[dict[str, tuple[str, ...]]] = {
    "round": ("round", "circular", "ball shaped"),
    "oval": ("oval", "egg shaped", "long and rounded"),
    "square": ("square", "boxy", "block shaped"),
    "triangle": ("triangular", "pyramid shaped", "pointed and wide"),
    "star": ("star shaped", "spiky", "pointed star like"),
    "crescent": ("crescent shaped", "curved moon like", "banana shaped"),
    "heart": ("heart shaped", "heart like"),
    "drop": ("drop shaped", "pear shaped", "teardrop like"),
    "cross": ("cross shaped", "plus shaped"),
    "hexagon": ("six sided", "hexagonal", "angular"),
    "diamond": ("diamond shaped", "kite shaped", "angular"),
    "bell": ("bell shaped", "flared", "skirt like"),
    "arch": ("arched", "dome shaped", "rounded on top"),
    "bowl": ("bowl shaped", "cup like", "half round"),
}

PARTS: Final[dict[str, tuple[str, ...]]] = {
    "horns": ("two curved horns", "a pair of horns", "pointed horns"),
    "pointed ears": ("pointed ears", "ears like a cat", "two triangular ears"),
    "long ears": ("long ears", "ears like a rabbit", "two tall ears"),
    "round ears": ("round ears", "ears like a bear", "two small circular ears"),
    "crown": ("a crown on its head", "a jagged crown", "a crown"),
    "antennae": ("two antennae", "a pair of thin antennae", "feelers with round tips"),
    "crest": ("a row of spikes on top", "a spiky crest", "a crest on its back"),
    "leaf": ("a leaf on top", "a stem with leaves", "a small green looking sprout"),
    "handle": ("a handle on top", "a curved handle", "a loop above it"),
    "hat": ("a top hat", "a hat with a brim", "a dark hat"),
    "legs": ("two sturdy legs", "a pair of legs", "legs with shoes"),
    "thin legs": ("several thin legs", "legs like a spider", "many bent legs"),
    "wheels": ("wheels", "dark wheels below", "a set of wheels"),
    "tentacles": ("wavy tentacles", "tentacles like an octopus", "dangling roots"),
    "stand": ("a stand", "a pedestal below", "a single foot like a lamp"),
    "fins": ("fins at the bottom", "two pointed fins", "fins like a rocket"),
    "feet": ("big flat feet", "two rounded feet", "webbed feet"),
    "rocker": ("a curved rocker", "a rocking base", "a base like a rocking chair"),
    "curled tail": ("a curled tail", "a spiral tail", "a tail like a pig"),
    "arrow tail": ("a tail ending in an arrow", "a pointed tail", "a tail like a dragon"),
    "bushy tail": ("a bushy tail", "a fluffy tail", "a tail like a fox"),
    "spout": ("a spout on the side", "a curved spout", "a spout like a teapot"),
    "wings": ("a pair of wings", "spread wings", "wings like a bat"),
    "arms": ("two arms with round hands", "outstretched arms", "arms with balls at the ends"),
    "paddle": ("a paddle on its side", "a flat sign in its hand", "a rectangular flag"),
    "fan": ("a fan of feathers", "a feathered tail", "a tail like a peacock"),
    "hole": ("a dark hole in the middle", "a round opening", "a black circle on its front"),
    "ring": ("a ring on its front", "a circle painted on it", "a target on its belly"),
    "stripes": ("stripes across it", "horizontal stripes", "a striped belly"),
    "window": ("a small window", "a window with panes", "a square grid on its front"),
    "dots": ("three dots", "round spots on its front", "a few spots"),
    "face": ("a smiling face", "big eyes and a smile", "a friendly face"),
    "zigzag": ("a zigzag line", "a jagged stripe", "a pattern like lightning"),
    "badge": ("a star on its chest", "a white star", "a star shaped badge"),
}

PROPORTIONS: Final = {"tall": ("tall", "narrow", "slender"), "wide": ("wide", "broad", "squat")}

BACKDROPS: Final[dict[str, tuple[str, ...]]] = {
    "blackboard": ("a dark blackboard", "a dark board", "a dark background"),
    "plain": ("a plain {ground} background", "a solid {ground} background"),
    "gradient": ("a soft {ground} background", "a smooth blurred background"),
    "stripes": ("a striped background", "a {ground} background with stripes"),
    "checks": ("a checkered background", "a {ground} pattern of squares"),
    "dots": ("a dotted background", "a {ground} background with dots"),
    "rays": ("a background with rays", "a {ground} background with rays of light"),
    "bricks": ("a brick wall", "a wall of {ground} bricks"),
    "wood": ("a wooden table", "a wooden surface", "wooden boards"),
    "meadow": ("a green field under a blue sky", "a grassy meadow", "the grass"),
    "night": ("a dark night sky", "a starry sky"),
    "clouds": ("a cloudy sky", "a blue sky with clouds"),
    "water": ("blue water", "the waves of the sea"),
    "sand": ("the sand", "a sandy beach"),
    "paper": ("a sheet of white paper", "a white background", "paper"),
    "cloth": ("a {ground} cloth", "a woven {ground} fabric"),
    "metal": ("a metal surface", "a gray metal plate"),
    "skin": ("a person's arm", "someone's skin", "a person's back"),
    "room": ("the floor of a room", "a shelf in a room", "a {ground} wall in a room"),
}

NOUNS: Final = ("creature", "object", "figure", "character", "thing", "shape", "design")
MOODS: Final = (
    "colorful", "whimsical", "creative", "unique", "playful", "detailed", "simple", "strange",
)  # fmt: skip
GRAY_MOODS: Final = ("black and white", "gray", "detailed", "simple", "unique", "plain")

OPENERS: Final = (
    "The image features a {mood} {style} of a {looks} {noun}",
    "The image displays a {style} of a {looks} {noun}",
    "The image depicts a {looks} {noun} in the form of a {mood} {style}",
    "This image shows a {mood} {style}, which depicts a {looks} {noun}",
    "In this image, there is a {style} of a {looks} {noun}",
    "There is a {mood} {style} of a {noun} that looks {looks}",
    "The picture presents a {looks} {noun}, shown as a {mood} {style}",
    "A {mood} {style} shows a {noun} with a {looks} body",
)
VAGUE: Final = ("whimsical", "unusual", "curious", "charming", "strange")
HAVE: Final = (
    "It has {parts}.",
    "The {noun} has {parts}.",
    "The {noun} appears to have {parts}.",
    "One can see {parts}.",
    "It features {parts}, which makes it stand out.",
    "Its most notable details are {parts}.",
)
GROUNDS: Final = (
    "It is placed against {backdrop}.",
    "The {noun} is set against {backdrop}.",
    "The background appears to be {backdrop}.",
    "In the background, there is {backdrop}.",
    "It can be seen in front of {backdrop}.",
)
OTHERS: Final = (
    "There are {count} {others} scattered around it.",
    "In addition to the {noun}, there are {count} {others} in the scene.",
    "Nearby, {count} {others} are visible.",
)
ONE_OTHER: Final = ("There is also a {other} next to it.", "A single {other} can be seen nearby.")
COUNTS: Final = {2: ("two", "a couple of"), 3: ("three", "a few"), 4: ("four", "several")}
MANY: Final = ("several", "a number of", "many")
COLOURING: Final = (
    "It is mostly {body} with {limb} details.",
    "The main colors are {body} and {limb}.",
    "The {noun} is painted in {body} and {accent}.",
    "Its {body} color contrasts with the {accent} parts.",
)
FILLERS: Final = (
    "The overall style of the image is {mood} and eye catching.",
    "The {noun} is the main focus of the scene.",
    "The artist has given it a {mood} appearance.",
    "Overall, the scene is simple yet {mood} and full of charm.",
)


def tokens(text: str) -> list[str]:
    """Split into lower-case words and single punctuation marks.

    >>> tokens("A person's arm, seen.")
    ['a', 'person', "'", 's', 'arm', ',', 'seen', '.']
    """
    return re.findall(r"[a-z0-9]+|[^\w\s]", text.lower())


def vocabulary(edition: Edition = SECOND) -> list[str]:
    """Return every word and punctuation mark that a caption of an edition can hold, sorted."""
    texts: list[str] = ["and", "an", "with", *COLOURS, *NOUNS, *MOODS, *GRAY_MOODS, *VAGUE, *MANY]
    for table in (STYLES, BODIES, PARTS, PROPORTIONS, BACKDROPS, COUNTS):
        texts += [text for options in table.values() for text in options]
    for group in (OPENERS, HAVE, GROUNDS, OTHERS, ONE_OTHER, COLOURING, FILLERS):
        texts += group
    texts += ["circles squares triangles stars sticks flowers"]
    texts += ["circle square triangle star stick flower"]
    texts += QUALITIES if edition.specials else ()
    found = {token for text in texts for token in tokens(re.sub(r"\{\w+\}", " ", text))}
    return sorted(found)
