"""What no export wrote is neither replaced, removed, followed nor published."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exporting import made_up

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import card, export, layout
from mm_imagenet_r.export.shards import RECORD
from mm_imagenet_r.push import push

SHARD = "data/made-up/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def data() -> Any:
    return made_up({"train": 4, "test": 2})


@pytest.fixture(scope="module")
def exported(data: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layout") / "out"
    again(folder, data)
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "out"))


def again(folder: Path, data: Any) -> None:
    export(folder, "made-up", data, {"captions": "made-up"}, report=lambda _: None)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def table(path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), path)


def caption_set(path: Path) -> None:
    """As `mm_imagenet_r.captions` writes it, with the same key in its footer."""
    rows = pa.table({"file_name": ["a/b.jpg"], "caption": ["mine"]})
    pq.write_table(rows.replace_schema_metadata({RECORD: b'{"fingerprint": "ab"}'}), path)


def text(path: Path) -> None:
    path.write_text("mine")


def other_data(path: Path) -> None:
    """A description of somebody else's data set."""
    path.write_text(json.dumps({"name": "mine", "distribution": []}))


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("README.md", text),
        ("README.md", Path.mkdir),
        ("croissant.json", text),
        ("croissant.json", other_data),
        ("captions", text),
        ("captions/made-up.parquet", text),
        ("captions/made-up.parquet", table),
        ("captions/made-up.parquet", caption_set),
        ("captions/made-up-audit.json", text),
        ("data/made-up", text),
        ("data/made-up/thesis.txt", text),
        ("data/made-up/mine", Path.mkdir),
        (SHARD, table),
        ("data/raw/train-00000-of-00001.parquet", table),
        ("data/raw/train-00000-of-00001.parquet", os.mkfifo),
        ("README.md", os.mkfifo),
        (".export/made-up/new/thesis.txt", text),
        (".export/made-up/old/thesis.txt", text),
        (".export/made-up/thesis.txt", text),
    ],
)
def test_files_of_others_are_left_alone(
    name: str, make: Callable[[Path], Any], there: bool, exported: Path, data: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    if there:
        shutil.copytree(exported, folder)
    path = folder / name
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    before = contents(folder)
    with pytest.raises(UserError, match=r"choose another folder|move it away"):
        again(folder, data)
    assert contents(folder) == before
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "croissant.json",
        "captions",
        "captions/made-up.parquet",
        "data",
        "data/made-up",
        SHARD,
        ".export",
        ".export/made-up",
        ".export/made-up/new",
        ".export/made-up/old",
        ".export/made-up/hashes.json",
    ],
)
def test_links_are_not_followed(name: str, copy: Path, data: Any, tmp_path: Path) -> None:
    path, theirs = copy / name, tmp_path / "theirs"
    if path.exists():
        path.rename(theirs)
    else:
        theirs.mkdir()
        (theirs / SHARD.rpartition("/")[2]).write_text("a")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(theirs)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="is a link"):
        again(copy, data)
    assert contents(tmp_path) == before
    assert path.is_symlink()
    if ".export" not in name:
        with pytest.raises(UserError, match="is a link"):
            push(copy, "me/data")


@pytest.mark.parametrize("name", ["data/made-up/extra.txt", "captions/k", "data/more"])
def test_only_an_export_is_published(name: str, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    for make in (Path.touch, Path.mkdir, lambda path: path.symlink_to(tmp_path / "secret")):
        make(copy / name)
        with pytest.raises(UserError, match=f"{name} is not part of the export"):
            push(copy, "me/data")
        (copy / name).rmdir() if make is Path.mkdir else (copy / name).unlink()
    (copy / "captions" / ".DS_Store").touch()
    for path in (copy / "captions").glob("made-up*"):
        content = path.read_bytes()
        path.write_text("mine")
        with pytest.raises(UserError, match=f"{path.name} was not written by"):
            push(copy, "me/data")
        path.write_bytes(content)
    assert sorted(layout.published(copy, ["made-up"])) == [
        "README.md",
        "captions/made-up-audit.json",
        "captions/made-up.parquet",
        "croissant.json",
        "data/made-up/test-00000-of-00001.parquet",
        SHARD,
    ]


def test_what_a_first_version_left_is_replaced(copy: Path, data: Any, exported: Path) -> None:
    staged = copy / ".export" / "made-up" / "train-00003-of-00004.parquet"
    staged.parent.mkdir(parents=True)
    staged.write_text("a part")
    again(copy, data)
    assert contents(copy) == contents(exported)
    assert card.faults(copy) == []


@pytest.mark.parametrize("name", ["x[1]", "a\nb", "..", ".x", "a/b", "a*", "", " a", "`a`"])
def test_names_whose_files_nobody_would_find_are_refused(
    name: str, data: Any, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="cannot be the name of a configuration"):
        export(tmp_path, name, data, {})
    assert not list(tmp_path.iterdir())


def test_names_of_caption_sets_are_kept() -> None:
    for name in ("mini-1", "ours-masked", "ours@0f0f", "caps (1)", "größe", "v1.5"):
        layout.check_name(name)
