"""The audit: counts known in advance, and a page that is whole and safe."""

from __future__ import annotations

import html.parser
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from mm_imagenet_r.captions.__main__ import main
from mm_imagenet_r.captions.audit import Audit, Group, audit, examples
from mm_imagenet_r.captions.audit.command import _Named, split_of
from mm_imagenet_r.captions.audit.page import page
from mm_imagenet_r.captions.audit.text_only import is_available
from mm_imagenet_r.captions.files import Captions, read_captions
from mm_imagenet_r.open_images import open_images
from mm_imagenet_r.splits import split

ICE_BEAR, GOLDFISH = "n02134084", "n01443537"
BEAR = [
    "The image shows a polar bear on the ice.",
    "The image shows an ice bear on the ice.",
    "The image shows a bear on the ice.",
    "The image shows a white animal on the ice.",
    "The image shows a goldfish on the ice.",
]
FISH = [
    "A goldfish in a bowl.",
    "A goldfish in a bowl.",
    "An orange animal <b>in</b> a bowl.",
    "",
    "",
]


def captions() -> Captions:
    by_name = {
        f"{wnid}/{style}_{number}.jpg": text
        for wnid, style, texts in ((ICE_BEAR, "art", BEAR), (GOLDFISH, "toy", FISH))
        for number, text in enumerate(texts)
    }
    cut = frozenset({f"{ICE_BEAR}/art_0.jpg"})
    return Captions(by_name, "0123", {"model": "m", "prompt": "Describe."}, {"x/y.jpg": "bad"}, cut)


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit(captions())


def test_counts(found: Audit) -> None:
    assert found.overall.count == 10
    assert found.overall.grades == {"label": 3, "lemma": 1, "head": 1}
    assert found.by_class[ICE_BEAR].share == 0.4
    assert found.by_style["toy"].grades == {"label": 2, "lemma": 0, "head": 0}
    assert sum(group.count for group in found.by_part.values()) == 10
    assert found.others == 1
    assert found.rule == 0.4
    assert found.duplicates == [("A goldfish in a bowl.", 2)]
    assert found.openers[0] == ("the image shows", 5)
    assert {flag: len(names) for flag, names in found.flags.items() if names} == {
        "empty": 2,
        "cut": 1,
    }
    assert found.flagged == 3


def test_examples_take_the_grades_in_turn(found: Audit) -> None:
    assert [found.grades[name] for name in examples(found)[:4]] == ["", "label", "lemma", "head"]
    assert sorted(examples(found)) == sorted(captions().by_name)


@pytest.mark.skipif(not is_available(), reason="scikit-learn is not installed")
def test_masking_takes_from_a_classifier_what_only_names_tell() -> None:
    names = {ICE_BEAR: "polar bear", GOLDFISH: "goldfish"}
    by_name = {
        f"{wnid}/art_{number}.jpg": f"A painting of the {name} number {number}."
        for wnid, name in names.items()
        for number in range(10)
    }
    text_only = audit(Captions(by_name, "0", {}, {})).text_only
    assert text_only is not None
    assert (text_only.raw, text_only.majority) == (1.0, 0.5)
    assert text_only.masked <= 0.5


def write(folder: Path) -> tuple[Path, Path]:
    """A captions file and its images, one of which is broken."""
    path = folder / "captions.csv"
    rows = [f'{name},"{text}"' for name, text in captions().by_name.items()]
    path.write_text("\n".join(["file_name,caption", *rows]))
    for name in captions().by_name:
        buffer = io.BytesIO()
        Image.new("RGB", (40, 30), "teal").save(buffer, "JPEG")
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).write_bytes(buffer.getvalue())
    (folder / "images" / f"{GOLDFISH}/toy_2.jpg").write_bytes(b"broken")
    return path, folder / "images"


class Checker(html.parser.HTMLParser):
    """Collects tags and addresses, and sees that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, images = write(tmp_path)
    assert main(["audit", str(path), "--images", str(images)]) == 0
    out = capsys.readouterr().out
    assert "40.0% name their class (30.0% by its label)" in out
    text = path.with_name(f"{path.stem}-audit.html").read_text()
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert checker.seen.count("b") == 0, "a caption became markup"
    assert checker.seen.count("img") >= 9
    assert all(address.startswith("data:image/jpeg;base64,") for address in checker.addresses)
    assert '<mark class="lemma">polar bear</mark>' in text


def test_what_is_not_there_is_said_and_not_left_blank(found: Audit) -> None:
    text = page(found, None)
    assert text.count('<p class="soft">(empty)</p>') == 2 * 2  # in samples and in faults
    assert "in none of their captions" not in text
    assert "Named most" in text
    unnamed = {f"{wnid}/art_0.jpg": "A picture." for wnid in (ICE_BEAR, GOLDFISH)}
    text = page(audit(Captions(unnamed, "0", {}, {})), None)
    assert "2 of 2 classes are named in none of their captions." in text
    assert "Named most" not in text
    text = page(audit(Captions({**unnamed, f"{ICE_BEAR}/art_1.jpg": BEAR[1]}, "0", {}, {})), None)
    most, least = text.partition("Named most")[2].split("Named least")
    assert ("ice bear" in most, "goldfish" in most) == (True, False)
    assert "goldfish" in least


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,caption\n1.jpg,a dog\n", "does not contain its class"),
        ("file_name,caption\n", "has no captions"),
    ],
)
def test_captions_that_cannot_be_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "c.csv").write_text(text)
    assert main(["audit", str(tmp_path / "c.csv")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


def of_imagenet_r(folder: Path) -> tuple[Path, list[str]]:
    """A captions file of twenty images of ImageNet-R."""
    styles = (f"{ICE_BEAR}/deviantart", f"{GOLDFISH}/art")
    names = [f"{style}_{number}.jpg" for style in styles for number in range(10)]
    path = folder / "captions.csv"
    path.write_text("\n".join(["file_name,caption", *(f"{name},A picture." for name in names)]))
    return path, names


def test_parts_are_those_of_the_data(tmp_path: Path) -> None:
    path, names = of_imagenet_r(tmp_path)
    captions = read_captions(path)
    for name in ("seeded:7", "seed42"):
        expected = split(_Named(sorted(names), path, None), name, partial=True)
        found = audit(captions, split_of(captions, path, None, name))
        assert found.split == expected
        tested = sum(name in expected.test for name in names)
        assert found.by_part.keys() <= {"train", "test"}
        assert sum(group.count for group in found.by_part.values()) == len(names)
        assert found.by_part.get("test", Group(0, {})).count == tested
        assert f"{name}, {len(expected.test)} images for testing, " in page(found, None)
    default = split_of(captions, path, None, None)
    assert default is not None
    assert default.name == "seed42"


def test_folders_called_train_and_test_are_a_split(tmp_path: Path) -> None:
    path, names = of_imagenet_r(tmp_path)
    for number, name in enumerate(names):
        file = tmp_path / "images" / ("train" if number % 5 else "test") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not looked at")
    found = split_of(read_captions(path), path, open_images(tmp_path / "images"), None)
    assert found is not None
    assert (found.name, found.test) == ("folder", tuple(sorted(names[::5])))


def test_other_images_have_no_split_of_imagenet_r(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.csv").write_text("file_name,caption\npizza/1.jpg,a pizza\npizza/2.jpg,food\n")
    assert audit(read_captions(tmp_path / "c.csv")).split.name == "seeded"
    assert main(["audit", str(tmp_path / "c.csv"), "--split-name", "seed42"]) == 2
    assert "pizza is not a class of ImageNet-R" in capsys.readouterr().err
    path, _ = of_imagenet_r(tmp_path)
    assert main(["audit", str(path), "--split-name", "sed42"]) == 2
    assert "did you mean 'seed42'" in capsys.readouterr().err


def test_only_an_earlier_page_is_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = of_imagenet_r(tmp_path)
    before = path.read_bytes()
    own = tmp_path / "captions-audit.html"
    own.write_text("<!DOCTYPE html><title>my notes</title>")
    os.mkfifo(tmp_path / "pipe")
    for output, why in (
        (str(path), "it is something else"),
        ("", "it is something else"),
        (str(tmp_path / "pipe"), "it is a pipe"),
    ):
        assert main(["audit", str(path), *(["--output", output] if output else [])]) == 2
        assert f"({why}" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert own.read_text().endswith("my notes</title>")
    own.write_bytes(b"")
    assert [main(["audit", str(path)]) for _ in range(2)] == [0, 0]
