"""Captions in the manner of a multimodal language model: fluent, partial, sometimes wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from mm_imagenet_r.mini import words
from mm_imagenet_r.mini.grammar import SLOTS, VALUES, MiniClass
from mm_imagenet_r.mini.renditions import RENDITIONS
from mm_imagenet_r.mini.scenes import SPLITS, Scene


def caption(
    cls: MiniClass, split: str, index: int, scene: Scene, style: str, backdrop: str, gray: bool
) -> str:
    """Describe a picture in two to four sentences without the name of its class.

    Every part of the object is mentioned with probability `Edition.mention` if it is in the
    picture, and then mistaken for another with probability `Edition.wrong`.
    """
    rng = np.random.default_rng(
        [cls.edition.seed, 3, int(cls.base), cls.number, SPLITS.index(split), index]
    )
    seen = _seen(rng, cls, scene)
    coloured = RENDITIONS[style].coloured and not gray
    body, limb, accent = scene.colours
    fields = {
        "style": _pick(rng, words.STYLES[style]),
        "noun": _pick(rng, words.NOUNS),
        "mood": _pick(rng, words.MOODS if coloured else words.GRAY_MOODS),
        "looks": _looks(rng, cls, seen.pop("body", None)),
        "body": body,
        "limb": limb if limb != body else accent,
        "accent": accent,
    }
    ground = "gray" if gray else scene.backdrop_colour
    fields["backdrop"] = _pick(rng, words.BACKDROPS[backdrop]).format(ground=ground)
    sentences = [_pick(rng, words.OPENERS) + "."]
    parts = [_part(rng, cls, slot, value) for slot, value in seen.items()]
    rng.shuffle(parts)
    if parts:
        fields["parts"] = _listing(parts)
        sentences.append(_pick(rng, words.HAVE))
    others = _others(rng, scene, fields)
    extra = [_pick(rng, words.GROUNDS), others, _pick(rng, words.FILLERS)]
    if coloured:
        extra.insert(0, _pick(rng, words.COLOURING))
    shortest, longest = cls.edition.words
    keep = len(sentences)
    for k in rng.permutation(len(extra)).tolist():
        text = _finish(sentences, fields)
        longer = _finish([*sentences, extra[k]], fields)
        if _length(longer) > longest or (_length(text) >= shortest and rng.random() < 0.6):
            continue
        sentences.insert(int(rng.integers(keep, len(sentences) + 1)), extra[k])
    return _finish(sentences, fields)


def _seen(rng: np.random.Generator, cls: MiniClass, scene: Scene) -> dict[str, str]:
    """Choose which parts are mentioned, and as what."""
    seen = {}
    for slot, value in zip(SLOTS, cls.parts, strict=True):
        mention, wrong, other = rng.random(), rng.random(), int(rng.integers(len(VALUES[slot])))
        if mention < cls.edition.mention and slot != scene.missing:
            seen[slot] = VALUES[slot][other] if wrong < cls.edition.wrong else value
    return seen


def _part(rng: np.random.Generator, cls: MiniClass, slot: str, value: str) -> str:
    """Name a part and perhaps, if it is the special one of its class, its quality."""
    named = _pick(rng, words.PARTS[value])
    if cls.special is None or (slot, value) != (cls.special[0], cls.parts[SLOTS.index(slot)]):
        return named
    if rng.random() >= cls.edition.special:
        return named
    return re.sub(r"^(an? |two |three |)", rf"\1{cls.special[1]} ", named)


def _looks(rng: np.random.Generator, cls: MiniClass, body: str | None) -> str:
    looks = _pick(rng, words.VAGUE if body is None else words.BODIES[body])
    wide = cls.proportions[0]
    chance = rng.random()
    if body is not None and abs(wide - 0.5) > 0.3 and chance < 0.4:
        looks = _pick(rng, words.PROPORTIONS["wide" if wide > 0.5 else "tall"]) + " " + looks
    return looks


def _others(rng: np.random.Generator, scene: Scene, fields: dict[str, str]) -> str:
    fields["others"], fields["other"] = scene.distractor, scene.distractor.removesuffix("s")
    if scene.num_distractors == 1:
        return _pick(rng, words.ONE_OTHER)
    fields["count"] = _pick(rng, words.COUNTS.get(scene.num_distractors, words.MANY))
    return _pick(rng, words.OTHERS)


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _listing(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _finish(sentences: list[str], fields: Mapping[str, str]) -> str:
    """Fill in the fields, set `an` before vowels and begin sentences with a capital letter."""
    text = " ".join(sentence.format_map(fields) for sentence in sentences)
    text = re.sub(r"\b([Aa]) (?=(?!uni)[aeiou])", r"\1n ", text)
    return re.sub(r"(^|\. )([a-z])", lambda match: match[1] + match[2].upper(), text)


def _length(text: str) -> int:
    return text.count(" ") + 1
