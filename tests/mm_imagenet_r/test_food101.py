"""Each known fault of the published tables, in a folder of a dozen files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import load_dataset
from exporting import jpeg

import mm_imagenet_r
from mm_imagenet_r import food101
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import export
from mm_imagenet_r.food101.__main__ import main
from mm_imagenet_r.food101.titles import clean_title, read_titles
from mm_imagenet_r.phases import phase_sizes

NUMBERS = {"tacos": 0, "apple_pie": 1, "breakfast_burrito": 2}
TRAIN = [
    "tacos_1.jpg,Tacos &raquo; fish &amp;amp; chips,tacos",
    "tacos_2.txt,Named as a text,tacos",
    'breakfast_burrito_730.jpg,"Never closed \\xc3\\xa2,breakfast_burrito',
    "breakfast_burrito_731.txt,Swallowed by readers of CSV,breakfast_burrito",
    'apple_pie_5.jpg,"[[""Grandma Ople\'s  Apple Pie - Allrecipes.com""]]",apple_pie',
    "apple_pie_7.jpg,One, two, three,apple_pie",
]
TEST = ["apple_pie_9.jpg,Pie\u2028and more\x85,apple_pie", "tacos_3.jpg,,tacos"]


def lay_out(
    folder: Path, train: list[str] = TRAIN, test: list[str] = TEST, header: str = ""
) -> Path:
    (folder / "texts").mkdir(parents=True)
    for split, lines in (("train", train), ("test", test)):
        text = "\r\n".join([header, *lines] if header else lines)
        (folder / "texts" / f"{split}_titles.csv").write_bytes(text.encode())
        for line in lines:
            name = next(f for f in line.split(",") if "_" in f).rpartition("/")[2]
            path = folder / "images" / split / name.rpartition("_")[0] / f"{name[:-4]}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(len(name)))
    (folder / "class_idx.json").write_text(json.dumps(NUMBERS))
    return folder


def test_faults_are_mended(tmp_path: Path) -> None:
    data = food101.source(lay_out(tmp_path))
    found = {row["file_name"]: row["caption"] for row in data.rows("train", [0, 1, 2])}
    assert found == {
        "tacos/tacos_1.jpg": "Tacos » fish & chips",
        "tacos/tacos_2.jpg": "Named as a text",
        "apple_pie/apple_pie_5.jpg": "Grandma Ople's Apple Pie - Allrecipes.com",
        "apple_pie/apple_pie_7.jpg": "One, two, three",
        "breakfast_burrito/breakfast_burrito_730.jpg": "Never closed â",
        "breakfast_burrito/breakfast_burrito_731.jpg": "Swallowed by readers of CSV",
    }
    assert list(found) == sorted(found, key=lambda name: (NUMBERS[name.partition("/")[0]], name))
    test = list(data.rows("test", [0, 1]))
    assert [row["caption"] for row in test] == ["", "Pie and more"]
    assert test[0] == {
        "image": {
            "bytes": (tmp_path / "images/test/tacos/tacos_3.jpg").read_bytes(),
            "path": "tacos__tacos_3.jpg",
        },
        "caption": "",
        "label": 0,
        "file_name": "tacos/tacos_3.jpg",
        "wnid": "tacos",
        "class_name": "tacos",
        "imagenet_index": None,
        "style": "",
    }
    assert [row["file_name"] for row in data.rows("train", [1])] == [
        "apple_pie/apple_pie_5.jpg",
        "apple_pie/apple_pie_7.jpg",
    ]
    assert "tacos_2.jpg, breakfast_burrito_731.jpg" in data.description()


@pytest.mark.parametrize("header", ["image,text,class", ",image_path,text,food"])
def test_header_and_column_of_numbers_are_sniffed(header: str, tmp_path: Path) -> None:
    plain = food101.source(lay_out(tmp_path / "plain"))
    numbered = header.startswith(",")
    train = [f"{i},train/{line}" if numbered else line for i, line in enumerate(TRAIN)]
    with_header = food101.source(lay_out(tmp_path / "header", train, TEST, header))
    assert with_header.titles == plain.titles


def test_classes_have_their_published_numbers(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    folder = lay_out(tmp_path)
    assert list(food101.source(folder).classes().items()) == [
        ("tacos", "tacos"),
        ("apple_pie", "apple pie"),
        ("breakfast_burrito", "breakfast burrito"),
    ]
    (folder / "class_idx.json").unlink()
    published = json.loads((shared_data("upmc_food101") / "class_idx.json").read_text())
    numbers = food101.class_numbers(folder)
    assert numbers == published
    assert phase_sizes(len(numbers), 5) == [21, 20, 20, 20, 20]


def test_real_titles_lose_their_scars(shared_data: Callable[[str], Path]) -> None:
    raw = json.loads((shared_data("upmc_food101") / "text_sample.json").read_text())
    clean = {name: clean_title(text) for name, text in raw.items()}
    for text in clean.values():
        assert text
        assert "\\x" not in text
        assert "&#" not in text
        assert not text.startswith("[[")
        assert not text.endswith("]")
    assert clean["apple_pie_330.jpg"].startswith("Grandma\N{RIGHT SINGLE QUOTATION MARK}s Golden")
    assert clean["apple_pie_341.jpg"] == "Inside-Out Apple Pie à la Mode Recipe | Epicurious.com"
    assert clean["apple_pie_227.jpg"] == "Campbell's Cheesecake-Filled Apple Pie Shells Recipe"


def test_missing_and_empty_images_are_named(tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    (folder / "images/train/tacos/tacos_1.jpg").unlink()
    (folder / "images/test/tacos/tacos_3.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"2 images .*train/tacos/tacos_1.*test/tacos/tacos_3"):
        food101.source(folder)
    data = food101.source(folder, partial=True)
    assert (len(data.titles["train"]), len(data.titles["test"])) == (5, 1)
    assert "tacos_1.jpg" in data.description()


def test_broken_images_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lay_out(tmp_path)
    whole = food101.source(folder).identity()
    assert main([str(folder)]) == 0
    assert "train: 6 rows, 3 classes" in capsys.readouterr().out
    broken = folder / "images/train/tacos/tacos_1.jpg"
    broken.write_bytes(b"no image at all")
    cut = folder / "images/train/tacos/tacos_2.jpg"
    cut.write_bytes(cut.read_bytes()[:-300])
    data = food101.source(folder)
    assert data.identity() != whole
    with pytest.raises(UserError, match=r"tacos_1\.jpg is not an image"):
        list(data.rows("train", [0]))
    with pytest.warns(UserWarning, match=r"tacos_1\.jpg is not an image"):
        kept = list(food101.source(folder, partial=True).rows("train", [0]))
    assert [row["file_name"] for row in kept] == ["tacos/tacos_2.jpg"]
    assert main([str(folder)]) == 2
    printed = capsys.readouterr()
    assert "images/train/tacos/tacos_1.jpg is not an image" in printed.out
    assert "images/train/tacos/tacos_2.jpg does not decode" in printed.out
    assert printed.err.startswith("error: 2 images cannot be used")


def test_an_image_that_is_mended_comes_back_from_the_cache(tmp_path: Path) -> None:
    folder, cache = lay_out(tmp_path / "data"), str(tmp_path / "cache")
    path = folder / "images/train/tacos/tacos_1.jpg"
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    with pytest.warns(UserWarning, match=r"tacos_1\.jpg is not an image"):
        less = mm_imagenet_r.load("upmc_food101", data_dir=folder, partial=True, cache_dir=cache)
    path.write_bytes(whole)
    os.utime(path, ns=(1, 1))
    again = mm_imagenet_r.load("upmc_food101", data_dir=folder, partial=True, cache_dir=cache)
    assert (len(less["train"]), len(again["train"])) == (5, 6)


def test_titles_without_a_column_of_classes_keep_their_words(tmp_path: Path) -> None:
    lines = ['tacos_1.jpg,"Best Dinner, Tacos"', "tacos_2.jpg,Salsa,Apple Pie", "tacos_4.jpg,Hm"]
    table = tmp_path / "plain.csv"
    table.write_text("\n".join(lines))
    titles, _ = read_titles(table, NUMBERS)
    assert [title.text for title in titles] == ["Best Dinner, Tacos", "Salsa,Apple Pie", "Hm"]
    table.write_text("\n".join(f"{line},tacos" for line in lines))
    assert read_titles(table, NUMBERS)[0] == titles


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ('"Foo" and "Bar"', '"Foo" and "Bar"'),
        ('"6"" pie"', '6" pie'),
        ('"""Foo"""', '"Foo"'),
        ('"Foo', "Foo"),
        ('"Never ""closed""', 'Never "closed"'),
        ('""', ""),
        ('"', ""),
    ],
)
def test_marks_of_csv_are_told_from_those_of_titles(raw: str, text: str) -> None:
    assert clean_title(raw) == text


def test_published_lists_are_compared(tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    names = [row.file for row in food101.source(folder).titles["train"]]
    lists = {"train": names[:3], "val": names[3:], "test": ["apple_pie_9.jpg", "tacos_8.jpg"]}
    (folder / "split.json").write_text(json.dumps(lists))
    assert food101.source(folder).notes[-2:] == [
        "1 test image without title: tacos_8.jpg.",
        "1 test image without entry in split.json: tacos_3.jpg.",
    ]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("texts/train_titles.csv", "image,text,class\n", "names no image"),
        ("texts/train_titles.csv", "\n".join([*TRAIN, "half a row"]), r"line 7 \(half a row\)"),
        ("texts/train_titles.csv", "\n".join([*TRAIN, "tacos_1.jpg,Other,tacos"]), "two titles"),
        ("texts/test_titles.csv", None, "unpack UPMC Food-101 again"),
        ("class_idx.json", '{"tacos": 1, "apple_pie": 1}', "a number from 0 on"),
        ("class_idx.json", "{", "cannot be read as JSON"),
        ("split.json", '["tacos_1.jpg"]', "under train, val and test"),
    ],
)
def test_bad_tables_are_refused(
    path: str, content: str | None, message: str, tmp_path: Path
) -> None:
    folder = lay_out(tmp_path)
    if content is None:
        (folder / path).unlink()
    else:
        (folder / path).write_text(content)
    with pytest.raises(UserError, match=message):
        food101.source(folder)


def test_other_folders_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_literal_call_and_export(tmp_path: Path) -> None:
    folder, cache = lay_out(tmp_path / "data"), str(tmp_path / "cache")
    data = load_dataset("upmc_food101", data_dir=str(folder), cache_dir=cache)
    assert {split: len(rows) for split, rows in data.items()} == {"train": 6, "test": 2}
    assert data["train"].features["label"].names == ["tacos", "apple_pie", "breakfast_burrito"]
    assert data["train"][0]["image"].format == "JPEG"
    assert data["train"].info.description.startswith("UPMC Food-101")
    with pytest.raises(UserError, match="no configurations"):
        load_dataset("upmc_food101", "instructblip", data_dir=str(folder))
    loaded = mm_imagenet_r.load("upmc_food101", data_dir=folder, cache_dir=cache)
    export(tmp_path / "out", "upmc_food101", loaded, {}, report=lambda _: None)
    back = load_dataset(str(tmp_path / "out"), cache_dir=cache)
    for split in ("train", "test"):
        arrow = [part[split].with_format("arrow")[:] for part in (data, loaded, back)]
        assert arrow[0] == arrow[1] == arrow[2]
