from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mm_imagenet_r.captions.files import METADATA_KEY, read_captions
from mm_imagenet_r.errors import UserError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", 'file_name,caption\n./a/1.jpg,"a dog, sitting"\na/2.jpg,\n'),
        ("c.tsv", "caption\tfile_name\na dog, sitting\ta\\1.jpg\n\ta/2.jpg\n"),
        ("c.jsonl", '{"image": "a/1.jpg", "text": "a dog, sitting"}\n\n{"image": "a/2.jpg"}\n'),
        (
            "c.jsonl",
            '{"image": "a/1.jpg", "text": "a dog, sitting"}\n{"image": "a/2.jpg", "text": null}\n',
        ),
        ("c.csv", '"file_name";"caption"\r\na/1.jpg;a dog, sitting\r\n\r\na/2.jpg;\r\n'),
        ("c.csv", "file_name\tcaption\na/1.jpg\ta dog, sitting\na/2.jpg\t\n"),
    ],
)
def test_formats_of_others(tmp_path: Path, name: str, text: str) -> None:
    captions = read_captions(write(tmp_path / name, text))
    assert captions.by_name == {"a/1.jpg": "a dog, sitting", "a/2.jpg": ""}
    assert captions.info == {}


def test_identity_follows_the_captions_and_not_the_file(tmp_path: Path) -> None:
    one = read_captions(write(tmp_path / "1.csv", "file_name,caption\na,x\nb,y\n"))
    two = read_captions(write(tmp_path / "2.csv", "caption,file_name\ny,b\nx,a\n"))
    other = read_captions(write(tmp_path / "3.csv", "file_name,caption\na,x\nb,z\n"))
    assert one.identity == two.identity != other.identity
    empty = read_captions(write(tmp_path / "4.csv", "file_name,caption\na,x\nb,y\nc,\n"))
    assert empty.identity == one.identity  # an empty text is a missing one


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", "file_name,caption\na,x\nb,y\na,z\n", "more than one row for a"),
        ("c.csv", "file_name,caption\na,x\n,y\n", "the file_name in row 2 is not a text: ''"),
        ("c.csv", "name,caption\na,x\n", "has no column 'file_name'"),
        ("c.csv", "file_name,words\na,x\n", "has no column 'caption'"),
        (
            "c.csv",
            "file_name,caption\na,x\nb,a dog, sitting\n",
            "line 3 has 3 fields, but the header 2",
        ),
        (
            "c.csv",
            'file_name,caption\na,"x\ny"\nb\n',
            "line 4 has 1 field, but the header 2.* omit no field",
        ),
        ("c.tsv", "file_name\tcaption\na\tx\ty\n", r"contains '\\t' in quotation marks"),
        ("c.csv", "file_name;caption\na;x;y\n", "contains ';' in"),
        (
            "c.jsonl",
            '{"image": "a", "caption": "x"}\n{"image": "b", "caption": ["y", "z"]}\n',
            r"the caption in row 2 is not a text: \['y', 'z'\]\. Write one text .* or null",
        ),
        ("c.jsonl", '{"image": "a", "caption": 0}\n', "row 1 is not a text: 0"),
        ("c.jsonl", '{"image": "a", "caption": 2}\n', "row 1 is not a text: 2"),
        ("c.jsonl", '{"image": 7, "caption": "x"}\n', "the image in row 1 is not a text: 7"),
        ("c.jsonl", "{\n", "line 1"),
        ("c.jsonl", "[1]\n", "line 1 is not an object"),
        ("c.parquet", "nothing", "is not valid parquet"),
        ("c.txt", "a", "the name must end in"),
        ("c.csv", "file_name,caption,caption\na,x,y\n", "two columns 'caption'"),
        ("c.jsonl", '{"image": "a", "text": "x", "text": "y"}\n', "'text' occurs twice"),
        ("c.jsonl", '{"image": "a", "text": ' + "[" * 100_000, "line 1: it is nested too deeply"),
        ("c.jsonl", '{"image": "a", "text": "' + "x" * 2**24 + '"}', "line 1: more than 16,777,"),
        ("c.jsonl", '{"image": "a", "text": "' + "x" * 2**20 + 'x"}', "1 has 1,048,577 letters"),
        ("c.csv", "file_name,caption\na," + "x" * 2**20 + "x\n", "field larger than field limit"),
        ("c.csv", 'file_name,caption\na,"x\n' + "b,y\n" * 400_000, "field larger than field lim"),
        ("c.csv", ",".join(map(str, range(100_000))) + "\n", "it has '0', '1'.* and 99990 more"),
    ],
)
def test_faults_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_captions(write(tmp_path / name, text))


def test_parquet_columns_of_another_kind_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"file_name": ["a"], "caption": [["x", "y"]]}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match="caption in row 1 is not a text"):
        read_captions(tmp_path / "c.parquet")


def test_of_several_sets_one_is_suggested_that_can_be_read(tmp_path: Path) -> None:
    table = pa.table({"file_name": ["a.jpg", "b.jpg"], "caption": ["a cat", "a dog"]})
    for fingerprint in ("0123", "4567"):
        info = {"fingerprint": fingerprint, "model": "m", "prompt": 'Say "a"'}
        metadata = {METADATA_KEY: json.dumps(info)}
        (tmp_path / fingerprint).mkdir()
        pq.write_table(
            table.replace_schema_metadata(metadata), tmp_path / fingerprint / "captions.parquet"
        )
    with pytest.raises(UserError) as raised:
        read_captions(tmp_path)
    first, second = str(raised.value).partition("give the folder of one, ")[2].split("; ")
    assert first == rf'{tmp_path}/0123 (m, "Say \"a\"", 2 captions)'
    assert read_captions(Path(second.partition(" (")[0])).identity.startswith("4567-")


def test_absent_files_and_unfinished_sets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_captions(tmp_path / "absent.csv")
    with pytest.raises(UserError, match="no finished caption set"):
        read_captions(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "captions.parquet").write_text(json.dumps({}))
    with pytest.raises(UserError, match=r"holds 2 caption sets: give the folder of one, .*/one \("):
        read_captions(tmp_path)


def test_columns_that_nobody_asked_for_cost_nothing(tmp_path: Path) -> None:
    others = [str(number) for number in range(100_000)]
    text = ",".join(["file_name", *others, "caption"]) + "\n"
    text += "".join(",".join([f"{row}.jpg", *[""] * 100_000, "x"]) + "\n" for row in range(20))
    assert len(read_captions(write(tmp_path / "c.csv", text)).by_name) == 20


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_what_is_no_file_or_has_no_end(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"annex{suffix}").symlink_to("absent")
    for name, words in (("pipe", "a pipe"), ("zero", "a device"), ("annex", "git annex get")):
        with pytest.raises(UserError, match=rf"cannot be read \(it is .*{words}"):
            read_captions(tmp_path / f"{name}{suffix}")
    if suffix != ".parquet":
        (tmp_path / f"sparse{suffix}").touch()
        os.truncate(tmp_path / f"sparse{suffix}", 2**40)
        with pytest.raises(UserError, match="more than 1,073,741,824 bytes"):
            read_captions(tmp_path / f"sparse{suffix}")


@pytest.mark.parametrize("info", ["[" * 100_000, "[1]", "{"])
def test_provenance_of_another_shape(tmp_path: Path, info: str) -> None:
    table = pa.table({"file_name": ["a.jpg"], "caption": ["a cat"]})
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: info}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match="is not valid parquet"):
        read_captions(tmp_path / "c.parquet")
