from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mm_imagenet_r import mini
from mm_imagenet_r.mini import settings
from mm_imagenet_r.mini.figures import figure
from mm_imagenet_r.mini.grammar import SLOTS, VALUES
from mm_imagenet_r.mini.renditions import RENDITIONS, render
from mm_imagenet_r.mini.scenes import compose
from mm_imagenet_r.mini.words import tokens

CLASSES = [*mini.classes(), *mini.base_classes()]


@pytest.fixture(scope="module")
def drawn() -> list[tuple[mini.MiniClass, mini.Drawn]]:
    """A few pictures of every class."""
    return [(cls, mini.draw(cls, "train", index)) for cls in CLASSES for index in range(2)]


def test_there_are_as_many_classes_as_promised() -> None:
    assert len(mini.classes()) == settings.NUM_CLASSES == 40
    assert len(mini.base_classes()) == settings.NUM_BASE_CLASSES == 160
    assert [cls.wnid for cls in mini.classes()] == [f"m{k:08d}" for k in range(40)]
    assert len({cls.wnid for cls in CLASSES}) == len({cls.name for cls in CLASSES}) == 200


def test_base_classes_share_no_combination_with_the_others() -> None:
    novel = {cls.parts for cls in mini.classes()}
    assert novel.isdisjoint(cls.parts for cls in mini.base_classes())


def test_no_part_alone_and_not_every_combination_names_the_class() -> None:
    for slot, name in enumerate(SLOTS):
        owners = Counter(cls.parts[slot] for cls in mini.classes())
        assert set(owners) <= set(VALUES[name])
        assert max(owners.values()) >= 4
    combinations = Counter(cls.parts for cls in mini.classes())
    assert sorted(combinations.values())[-10:] == [2] * 10  # told apart by proportions only
    for cls in mini.classes():
        twins = [other for other in mini.classes() if other.parts == cls.parts and other != cls]
        for twin in twins:
            apart = np.abs(np.subtract(cls.proportions, twin.proportions))
            assert apart.min() >= 0.99 * settings.PROPORTION_STEP


def test_every_combination_can_be_drawn() -> None:
    for cls in CLASSES:
        fig = figure(cls)
        assert np.isfinite(fig.points).all()
        assert fig.ends[-1] == len(fig.points) == len(fig.point_slots)
        assert 4 < fig.area < 14


def test_same_picture_in_another_process_and_another_order() -> None:
    wanted = [(3, "train", 7), (150, "test", 0), (3, "train", 7_000_000), (39, "test", 19)]
    program = """if True:
        import hashlib
        from mm_imagenet_r import mini
        classes = [*mini.classes(), *mini.base_classes()]
        for number, split, index in {wanted}:
            drawn = mini.draw(classes[number], split, index)
            parts = drawn.image, drawn.caption.encode(), drawn.file_name.encode()
            print(hashlib.sha256(b"|".join(parts)).hexdigest())
    """.replace("{wanted}", repr(wanted[::-1]))
    there = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    here = []
    for number, split, index in wanted:
        drawn = mini.draw(CLASSES[number], split, index)
        parts = drawn.image, drawn.caption.encode(), drawn.file_name.encode()
        here.append(hashlib.sha256(b"|".join(parts)).hexdigest())
    assert here == there[::-1]
    assert len(set(here)) == len(here)


def test_files_are_jpegs_of_the_promised_sizes(
    drawn: list[tuple[mini.MiniClass, mini.Drawn]],
) -> None:
    modes: Counter[str] = Counter()
    for _, one in drawn:
        image = Image.open(io.BytesIO(one.image))
        image.load()
        modes[image.mode] += 1
        assert image.format == "JPEG"
        assert image.size in settings.SIZES
        assert one.mask.shape == (image.height, image.width)
    assert set(modes) == {"RGB", "L"}
    assert modes["L"] < 0.12 * len(drawn)
    assert 2_500 < np.mean([len(one.image) for _, one in drawn]) < 5_000


def test_object_covers_a_third_and_stands_anywhere(
    drawn: list[tuple[mini.MiniClass, mini.Drawn]],
) -> None:
    shares = np.array([one.mask.mean() for _, one in drawn])
    assert 0.25 < shares.mean() < 0.36
    assert shares.min() > 0.1
    assert shares.max() < 0.5
    places = np.array([np.argwhere(one.mask).mean(axis=0) / one.mask.shape for _, one in drawn])
    assert places.std(axis=0).min() > 0.05


def test_captions_read_like_a_models_and_never_name_the_class(
    drawn: list[tuple[mini.MiniClass, mini.Drawn]],
) -> None:
    vocabulary = set(mini.vocabulary())
    names = {cls.name for cls in CLASSES}
    assert len(vocabulary) <= 600
    assert names.isdisjoint(vocabulary)
    for cls, one in drawn:
        words = one.caption.split()
        assert 25 <= len(words) <= 45, one.caption
        assert set(tokens(one.caption)) <= vocabulary, one.caption
        assert one.caption[0].isupper()
        assert one.caption.endswith(".")
        assert "{" not in one.caption
        assert " a a" not in one.caption.replace(" a an", " ")
        assert cls.wnid not in one.caption
    assert len({one.caption for _, one in drawn}) == len(drawn)


def test_captions_tell_more_about_their_own_class_than_about_others() -> None:
    """The word for a body is in its captions far more often than in those of other bodies."""
    heart = [cls for cls in CLASSES if cls.parts[0] == "heart"]
    other = [cls for cls in CLASSES if cls.parts[0] not in ("heart", "round")]

    def share(classes: list[mini.MiniClass]) -> float:
        texts = [mini.draw(cls, "train", k).caption for cls in classes[:10] for k in range(8)]
        return sum("heart" in text for text in texts) / len(texts)

    assert 0.3 < share(heart) < 0.8
    assert share(other) < 0.1


def test_every_rendition_paints_every_background_differently() -> None:
    pictures = []
    for style in RENDITIONS:
        picture, backdrop = render(compose(mini.classes()[0], "train", 0), style)
        assert backdrop in RENDITIONS[style].backdrops
        pictures.append(np.asarray(picture, np.float32))
        assert pictures[-1].std() > 8
    assert len(pictures) >= 8
    for k, one in enumerate(pictures):
        for other in pictures[:k]:
            assert np.abs(one - other).mean() > 10


def test_styles_and_file_names() -> None:
    cls = mini.classes()[5]
    pictures = [mini.draw(cls, split, k) for split in ("train", "test") for k in range(50)]
    assert len({one.file_name for one in pictures}) == len(pictures)
    assert len({one.style for one in pictures}) >= 8
    for one in pictures:
        assert one.file_name.startswith(f"{cls.wnid}/{one.style}_")
        assert one.file_name.endswith(".jpg")


def test_rows_of_some_labels_are_rows_of_all() -> None:
    some = list(mini.rows("test", [2, 0]))
    assert [row["label"] for row in some] == [2] * 20 + [0] * 20
    first = next(mini.rows("test"))
    assert first == some[20]
    assert first["image"]["path"] == first["file_name"].replace("/", "__")
