from __future__ import annotations

import pytest

from mm_imagenet_r.captions.leakage import GRADES, grade_of, imagenet_r, lexicon_of, mask, named
from mm_imagenet_r.classes import classes

LEXICON = lexicon_of(imagenet_r())
ICE_BEAR, TOY_POODLE, GOLDFISH, TIMBER_WOLF = "n02134084", "n02113624", "n01443537", "n02114367"
SEA_LION, LION, HARP, NEWT = "n02077923", "n02129165", "n03495258", "n01630670"
SAINT_BERNARD = "n02109525"


def test_every_class_has_its_names() -> None:
    assert list(imagenet_r()) == [cls.wnid for cls in classes()]
    for cls in classes():
        assert grade_of(LEXICON.mentions(cls.name.replace("_", " ")), cls.wnid) in (
            "label",
            "lemma",
        ), cls


@pytest.mark.parametrize(
    ("caption", "wnid", "grade"),
    [
        ("The image displays a drawing of a polar bear with its cubs.", ICE_BEAR, "lemma"),
        ("An ice bear.", ICE_BEAR, "label"),
        ("Two bears in the snow.", ICE_BEAR, "head"),
        ("this image features a small white dog with a bow.", TOY_POODLE, ""),
        ("There are several wolves.", TIMBER_WOLF, "head"),
        ("There are several wolves and a timber-wolf.", TIMBER_WOLF, "label"),
        ("Two goldfishes", GOLDFISH, "label"),
        ("goldfishing boats", GOLDFISH, ""),
        ("A sea lion on a rock", SEA_LION, "label"),
        ("A sea lion on a rock", LION, ""),
        ("A man plays the mouth harp", HARP, ""),
        ("a NEWT", NEWT, "lemma"),
        ("A block of ice. Bear tracks lead away.", ICE_BEAR, "head"),
        ("A block of ice\n\nBear tracks lead away.", ICE_BEAR, "head"),
        ("A polar\nbear.", ICE_BEAR, "lemma"),
        ("A St. Bernard and a saint", SAINT_BERNARD, "lemma"),
        ("He became a saint. Bernard was his name.", SAINT_BERNARD, ""),
    ],
)
def test_grades(caption: str, wnid: str, grade: str) -> None:
    assert grade_of(LEXICON.mentions(caption), wnid) == grade
    assert grade in (*GRADES, "")


def test_classes_that_are_named() -> None:
    caption = "A painting of two goldfish in a bowl, next to an ice bear and a shark."
    assert named(LEXICON.mentions(caption)) == [GOLDFISH, ICE_BEAR]


@pytest.mark.parametrize(
    ("caption", "wnid", "masked"),
    [
        ("A painting of a polar bear.", ICE_BEAR, "A painting of an object."),
        ("Ice-bears and bears", ICE_BEAR, "object and bears"),
        ("A sea lion and a lion", LION, "A sea lion and an object"),
        ("A dog, no poodle", TOY_POODLE, "A dog, no poodle"),
        ("An apple pie", "apple_pie", "An object"),
        (
            "A block of ice. Bear tracks lead away.",
            ICE_BEAR,
            "A block of ice. Bear tracks lead away.",
        ),
    ],
)
def test_masking_takes_the_names_of_the_own_class_alone(
    caption: str, wnid: str, masked: str
) -> None:
    assert mask(caption, wnid) == masked
