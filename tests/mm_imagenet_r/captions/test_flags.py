from __future__ import annotations

import pytest

from mm_imagenet_r.captions.flags import FLAGS, flags

GOOD = (
    "The image displays a painting of a small white dog with a bow on its head. It sits on a red "
    "cushion in front of a window, through which a garden can be seen."
)


def test_a_sound_caption_has_no_flag() -> None:
    assert flags(GOOD, "stop", "Describe the image in detail.") == []


@pytest.mark.parametrize(
    ("caption", "finish", "flag"),
    [
        ("  ", "stop", "empty"),
        (GOOD, "length", "cut"),
        ("a dog on a sofa, a dog on a sofa, a dog on a sofa", "stop", "repetition"),
        (
            "It sits on a red bed. There is a cat. It sits on a red bed.",
            "stop",
            "repetition",
        ),
        ("a dog dog and dog with dog on dog in dog", "stop", "repetition"),
        ("Describe the image in detail. A dog.", "stop", "echo"),
        ("As an AI I have no eyes.", "stop", "refusal"),
        ("I am unable to view images.", "stop", "refusal"),
        ("a dog \ufffd", "stop", "unprintable"),
        ("a dog\x00", "stop", "unprintable"),
        ("Das Bild zeigt einen kleinen weissen Hund mit einer Schleife.", "stop", "foreign"),
    ],
)
def test_each_fault_has_its_flag(caption: str, finish: str, flag: str) -> None:
    assert flags(caption, finish, "Describe the image in detail.") == [flag]
    assert flag in FLAGS


def test_without_a_prompt_nothing_is_an_echo() -> None:
    assert flags(GOOD, "stop", "") == []
