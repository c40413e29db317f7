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
from mm_imagenet_r.mini import EDITIONS, FIRST, SECOND, Edition
from mm_imagenet_r.mini.grammar import HOMES, QUALITIES, SLOTS, VALUES
from mm_imagenet_r.mini.renditions import RENDITIONS, render
from mm_imagenet_r.mini.scenes import compose, figure
from mm_imagenet_r.mini.words import tokens

CLASSES = [*mini.classes(), *mini.base_classes()]
Drawings = list[tuple[mini.MiniClass, mini.Drawn]]

each_edition = pytest.mark.parametrize("edition", EDITIONS.values(), ids=list(EDITIONS))

#: First 16 digits of the hashes of class, split, index -> picture, caption and name, as drawn with
#: the version of Pillow that constraints.txt pins. They never change.
PINNED = {
    "mini-1": {
        (3, "train", 7): "bf82e07c3851a5de",
        (150, "test", 0): "5460ef58eccba13d",
        (39, "test", 19): "57b655c220a959d9",
        (0, "train", 0): "2d184485cf9c1ed0",
        (17, "train", 49): "d8e036951242c7b3",
    },
    "mini": {
        (3, "train", 7): "65695798d8ad5d9a",
        (150, "test", 0): "dcf48f23373fabf2",
        (39, "test", 19): "ef5be558a296305c",
        (0, "train", 0): "e17a7c2021fbc00f",
        (17, "train", 49): "cb16e275318c92ef",
    },
}


def digest(drawn: mini.Drawn) -> str:
    parts = drawn.image, drawn.caption.encode(), drawn.file_name.encode()
    return hashlib.sha256(b"|".join(parts)).hexdigest()


def all_classes(edition: Edition) -> list[mini.MiniClass]:
    return [*mini.classes(edition), *mini.base_classes(edition)]


def summarize(edition: Edition) -> Drawings:
    """A few pictures of many classes."""
    return [(cls, mini.draw(cls, "train", k)) for cls in all_classes(edition)[:200] for k in (0, 1)]


@pytest.fixture(scope="module")
def drawn() -> Drawings:
    return summarize(SECOND)


@pytest.fixture(scope="module")
def drawn_first() -> Drawings:
    return summarize(FIRST)


@each_edition
def test_an_edition_draws_the_same_bytes_for_ever(edition: Edition) -> None:
    known = all_classes(edition)
    for (number, split, index), wanted in PINNED[edition.name].items():
        assert digest(mini.draw(known[number], split, index)).startswith(wanted)


@each_edition
def test_there_are_as_many_classes_as_promised(edition: Edition) -> None:
    own, base = mini.classes(edition), mini.base_classes(edition)
    assert len(own) == edition.num_classes == 40
    assert len(base) == edition.num_base_classes
    assert [cls.wnid for cls in own] == [f"m{k:08d}" for k in range(40)]
    both = [*own, *base]
    assert len({cls.wnid for cls in both}) == len({cls.name for cls in both}) == len(both)


@each_edition
def test_base_classes_share_no_combination_with_the_others(edition: Edition) -> None:
    novel = {cls.parts for cls in mini.classes(edition)}
    assert novel.isdisjoint(cls.parts for cls in mini.base_classes(edition))


@each_edition
def test_no_part_alone_and_not_every_combination_names_the_class(edition: Edition) -> None:
    known = mini.classes(edition)
    for slot, name in enumerate(SLOTS):
        owners = Counter(cls.parts[slot] for cls in known)
        assert set(owners) <= set(VALUES[name])
        assert max(owners.values()) >= 4
    combinations = Counter(cls.parts for cls in known)
    assert sorted(combinations.values())[-10:] == [2] * 10  # told apart by proportions only
    for cls in known:
        twins = [other for other in known if other.parts == cls.parts and other != cls]
        for twin in twins:
            apart = np.abs(np.subtract(cls.proportions, twin.proportions))
            assert apart.min() >= 0.99 * edition.proportion_step


def test_some_classes_have_a_home_or_a_special_part() -> None:
    known = mini.classes()
    homes = Counter(cls.home for cls in known)
    specials = [cls.special for cls in known if cls.special]
    assert 10 < homes.pop("") < 30
    assert set(homes) <= set(HOMES)
    assert max(homes.values()) >= 2  # a background alone names no class
    assert 10 < len(specials) < 30
    assert len(set(specials)) == len(specials)
    assert {quality for _, quality in specials} <= set(QUALITIES)
    for cls in all_classes(FIRST):
        assert not cls.home
        assert not cls.special


def test_a_home_makes_its_background_likely_and_a_special_part_its_word() -> None:
    at_home, elsewhere, told, by_others = 0, 0, 0, 0
    for cls in mini.classes():
        for index in range(12):
            one = mini.draw(cls, "train", index)
            _, backdrop = render(compose(cls, "train", index), one.style)
            at_home += backdrop == cls.home
            elsewhere += bool(cls.home) and backdrop != cls.home
            words = set(tokens(one.caption)) & set(QUALITIES)
            told += bool(cls.special and words == {cls.special[1]})
            by_others += bool(words) and not (cls.special and words == {cls.special[1]})
    assert 0.35 < at_home / (at_home + elsewhere) < 0.75
    assert 20 < told < 80
    assert by_others == 0


def test_every_combination_can_be_drawn() -> None:
    for cls in CLASSES:
        fig = figure(cls)
        assert np.isfinite(fig.points).all()
        assert fig.ends[-1] == len(fig.points) == len(fig.point_slots)
        assert 4 < fig.area < 14


def test_same_picture_in_another_process_and_another_order() -> None:
    wanted = [(3, "train", 7), (250, "test", 0), (3, "train", 7_000_000), (39, "test", 19)]
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
    here = [digest(mini.draw(CLASSES[n], split, index)) for n, split, index in wanted]
    assert here == there[::-1]
    assert len(set(here)) == len(here)


@pytest.mark.parametrize(
    ("edition", "pictures", "bits"),
    [(FIRST, "drawn_first", (4.0, 5.0)), (SECOND, "drawn", (1.5, 2.5))],
    ids=list(EDITIONS),
)
def test_files_are_jpegs_of_the_promised_sizes(
    edition: Edition, pictures: str, bits: tuple[float, float], request: pytest.FixtureRequest
) -> None:
    drawn: Drawings = request.getfixturevalue(pictures)
    modes: Counter[str] = Counter()
    pixels = 0
    for _, one in drawn:
        image = Image.open(io.BytesIO(one.image))
        image.load()
        modes[image.mode] += 1
        pixels += image.width * image.height
        assert image.format == "JPEG"
        assert image.size in edition.sizes
        assert one.mask.shape == (image.height, image.width)
    assert set(modes) == {"RGB", "L"}
    assert modes["L"] < 0.12 * len(drawn)
    assert bits[0] < 8 * sum(len(one.image) for _, one in drawn) / pixels < bits[1]


def test_objects_of_the_first_edition_cover_a_third(drawn_first: Drawings) -> None:
    shares = np.array([one.mask.mean() for _, one in drawn_first])
    assert 0.25 < shares.mean() < 0.36
    assert shares.min() > 0.1
    assert shares.max() < 0.5
    assert places(drawn_first).std(axis=0).min() > 0.05


def test_objects_are_small_and_large_and_stand_off_centre(drawn: Drawings) -> None:
    shares = np.array([one.mask.mean() for _, one in drawn])
    assert shares.min() < 0.1
    assert shares.max() > 0.55
    assert np.quantile(shares, 0.1) < 0.18
    assert np.quantile(shares, 0.9) > 0.45
    assert places(drawn).std(axis=0).min() > 0.08


def places(drawn: Drawings) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Where the middle of each object is, as shares of height and width (N, 2)."""
    return np.array([np.argwhere(one.mask).mean(axis=0) / one.mask.shape for _, one in drawn])


@pytest.mark.parametrize(
    ("edition", "pictures", "length"),
    [(FIRST, "drawn_first", (25, 45)), (SECOND, "drawn", (14, 40))],
    ids=list(EDITIONS),
)
def test_captions_read_like_a_models_and_never_name_the_class(
    edition: Edition, pictures: str, length: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    drawn: Drawings = request.getfixturevalue(pictures)
    vocabulary = set(mini.vocabulary(edition))
    names = {cls.name for cls in all_classes(edition)}
    assert len(vocabulary) <= 600
    assert names.isdisjoint(vocabulary)
    for cls, one in drawn:
        words = one.caption.split()
        assert length[0] <= len(words) <= length[1], one.caption
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
    homeless = next(cls for cls in mini.classes() if not cls.home)
    for style in RENDITIONS:
        picture, backdrop = render(compose(homeless, "train", 0), style)
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
