from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photos import picture, tree, two_classes

from benchmark.data import open_data
from benchmark.data.raw_dataset import match_captions
from mm_imagenet_r.captions.files import METADATA_KEY, read_captions
from mm_imagenet_r.errors import UserError


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", 'file_name,caption\na.jpg,"one, two"\n./b/a.jpg,\n'),
        ("c.csv", '\ufefffile_name,caption\r\na.jpg,"one, two"\r\nb\\a.jpg,\r\n'),
        ("c.tsv", "other\timage\ttext\n0\ta.jpg\tone, two\n1\tb/a.jpg\t\n"),
        (
            "c.jsonl",
            '{"file_name": "a.jpg", "caption": "one, two"}\n\n{"file_name": "b/a.jpg", "x": 1}\n',
        ),
    ],
)
def test_formats_give_the_same(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    assert read_captions(path).by_name == {"a.jpg": "one, two", "b/a.jpg": ""}


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    table = {"file_name": ["a.jpg", "b/a.jpg"], "caption": ["one", None], "big": [b"x", b"y"]}
    pq.write_table(pa.table(table), path)
    assert read_captions(path).by_name == {"a.jpg": "one", "b/a.jpg": ""}


def test_csv_takes_long_captions_and_leaves_the_limit_alone(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "c.csv"
    path.write_text(f"file_name,caption\na.jpg,{'long ' * 40_000}\n")
    assert len(read_captions(path).by_name["a.jpg"]) == 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", b"file_name,caption\na.jpg,x\n./a.jpg,y\n", "more than one row for a.jpg"),
        ("c.csv", b"file_name,colour\na.jpg,red\n", "no column 'caption'.*'file_name', 'colour'"),
        ("c.csv", b"name,caption\na.jpg,red\n", "no column 'file_name'"),
        ("c.csv", b"", "it has none"),
        ("c.csv", b"file_name,caption\na.jpg,\xff\n", "is not valid csv in UTF-8"),
        ("c.csv", b'file_name,caption\na.jpg,"x\n', "is not valid csv"),
        ("c.jsonl", b'{"file_name": "a"}\n{"file_name"', "line 2"),
        ("c.jsonl", b"[1]\n", "line 1 is not an object"),
        ("c.jsonl", b'{"file_name": "a", "caption": "\\ud800"}\n', "line 1"),
        ("c.parquet", b"PAR?", "is not valid parquet"),
        ("c.txt", b"", "must end in .csv"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_captions(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read .No such file"):
        read_captions(tmp_path / "c.csv")


def test_bare_names_fit_only_where_unique() -> None:
    keys = ["cat/1.jpg", "dog/1.jpg", "dog/2.jpg"]
    assert match_captions({"1.jpg": "?", "2.jpg": "two"}, keys) == ([None, None, "two"], 1)


def test_short_paths_fit_only_where_unique() -> None:
    keys = ["train/cat/1.jpg", "test/cat/1.jpg"]
    assert match_captions({"cat/1.jpg": "?"}, keys, ["train", "test"]) == ([None, None], 1)


@pytest.mark.parametrize("info", [{"fingerprint": "0123"}, {}])
def test_captions_of_other_images_are_refused(tmp_path: Path, info: dict[str, str]) -> None:
    root = two_classes(tmp_path / "photos", 10)
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.png"))]
    table = pa.table(
        {
            "file_name": names,
            "caption": ["a pet"] * len(names),
            "sha256": [hashlib.sha256(picture(name)).hexdigest() for name in names],
        }
    )
    path = tmp_path / "c.parquet"
    metadata = {METADATA_KEY: json.dumps(info)}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert set(open_data(str(root), captions=path).train.captions) == {"a pet"}
    (root / "cat/1.png").write_bytes(picture("another"))
    (root / "dog/2.png").write_bytes(b"broken")
    if not info:  # no caption set: nobody knows what the column is a hash of
        open_data(str(root), captions=path, bad_images="skip")
        return
    with pytest.raises(UserError, match=r"photos \(changed: cat/1\.png\): caption these images"):
        open_data(str(root), captions=path, bad_images="skip")


def test_a_backslash_is_a_slash_unless_an_image_is_called_so(tmp_path: Path) -> None:
    names = ("train/cat/a\\x.png", "train/cat/a/x.png", "train/cat/y.png")
    dogs = ("train/dog/1.png", "train/dog/2.png")
    root, file = tree(tmp_path / "photos", *names, *dogs), tmp_path / "c.csv"
    file.write_text("file_name,caption\ncat/a\\x.png,odd\ncat\\y.png,from Windows\n")
    data = open_data(str(root), captions=file, test_fraction=0.5)
    found = [(s.file_name, s.caption) for part in (data.train, data.test) for s in part]
    expected = zip((*names, *dogs), ("odd", "", "from Windows", "", ""), strict=True)
    assert sorted(found) == sorted(expected)
