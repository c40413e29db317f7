"""Walks through folders of anyone."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

from mm_imagenet_r.folders import expanded, files_below, look, walk


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_walk_is_in_order_and_passes_over_what_is_hidden(tmp_path: Path) -> None:
    make(tmp_path, "b/2", "b/1", "a/x/1", ".git/1", "__MACOSX/1", "0")
    found = [("/".join(folder.parts), folder.files) for folder in walk(tmp_path)]
    assert found == [("", ["0"]), ("a", []), ("a/x", ["1"]), ("b", ["1", "2"])]
    assert [folder.parts for folder in walk(tmp_path, levels=1)] == [(), ("a",), ("b",)]


def test_no_folder_is_listed_twice(tmp_path: Path) -> None:
    make(tmp_path, "b/1")
    (tmp_path / "b/up").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to("b")
    assert [(folder.parts, folder.again) for folder in walk(tmp_path)] == [
        ((), False), (("b",), False), (("b", "up"), True), (("c",), True),
    ]  # fmt: skip


def test_links_to_nothing_are_files_and_known(tmp_path: Path) -> None:
    make(tmp_path, "1")
    (tmp_path / "2").symlink_to("absent")
    (tmp_path / "3").symlink_to("3")
    (tmp_path / "4").symlink_to("1")
    assert (found := look(tmp_path)).files == ["1", "2", "3", "4"]
    assert found.lost == ["2", "3"]


def test_files_below_follow_no_link_to_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "a.parquet", "b/c.parquet", "b/d.csv", "e.parquet/f")
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "g.parquet").symlink_to("absent")
    found = files_below(tmp_path, ".parquet")
    assert found == [tmp_path / "a.parquet", tmp_path / "b/c.parquet"]
    assert files_below(tmp_path / "absent", ".parquet") == []


def test_folders_deeper_than_functions_may_call(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"d" * 300)
    deep.mkdir(parents=True)
    (deep / "a.parquet").touch()
    usual = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(len(inspect.stack()) + 60)
        folders, files = sum(1 for _ in walk(tmp_path)), files_below(tmp_path, ".parquet")
    finally:
        sys.setrecursionlimit(usual)
    assert folders == 301
    assert files == [deep / "a.parquet"]


def test_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/a") == Path("/home/me/a")
    assert expanded("~nobody-of-this-name/a") == Path("~nobody-of-this-name/a")
