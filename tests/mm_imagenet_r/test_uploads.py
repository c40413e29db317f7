"""Uploads against a Hub in this process, without the network."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_stub
import pytest

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.uploads import DryRun, Upload, send


class There:
    """A repository that is there; `parent` is the state that a commit was made for."""

    endpoint = "http://hub"
    parent = ""

    def __init__(self, files: dict[str, bytes], *, private: bool = False) -> None:
        self.files = files
        self.private = private
        self.sent: list[str] = []

    def repo_info(self, *_: Any, **__: Any) -> Any:
        return types.SimpleNamespace(sha="ab" * 20, private=self.private)

    def create_repo(self, *_: Any, **__: Any) -> None:
        pass

    def list_repo_tree(self, *_: Any, revision: str, **__: Any) -> Iterator[Any]:
        from huggingface_hub.hf_api import RepoFile, RepoFolder

        assert revision == "ab" * 20
        for entry in hub_stub.tree(self.files):
            kind = RepoFile if entry.pop("type") == "file" else RepoFolder
            yield kind(**entry)

    def create_commit(
        self, _: str, operations: list[Any], *, parent_commit: str, **__: Any
    ) -> None:
        self.parent = parent_commit
        self.sent += [one.path_in_repo for one in operations]


def test_a_dry_run_prints_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    send(Upload("dataset", "me/x", {"source/\x1b[2J\n.py": b"one"}, "m"), DryRun())
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.endswith("  3  source/\\x1b[2J\\n.py\n")


def test_a_file_that_matches_is_not_read_as_the_same(tmp_path: Path) -> None:
    """Equal sizes are not equal contents, of plain and of large files."""

    path = tmp_path / "b.parquet"
    path.write_bytes(b"four")
    files: dict[str, bytes | Path] = {"x/a.txt": b"five", "x/b.parquet": path}
    upload = Upload("dataset", "me/x", files, "m")
    same = There({"x/a.txt": b"five", "x/b.parquet": b"four"})
    assert "nothing to send" in send(upload, same)
    other = There({"x/a.txt": b"FIVE", "x/b.parquet": b"FOUR"})
    assert "2 files sent" in send(upload, other)
    assert other.sent == ["x/a.txt", "x/b.parquet"]
    assert json.dumps(same.sent) == "[]"
    assert other.parent == "ab" * 20


def test_a_repository_that_all_may_see_is_not_taken_for_private() -> None:
    upload = Upload("space", "me/x", {"a": b"one"}, "m")
    public = There({})
    with pytest.raises(UserError, match="me/x exists and is not private"):
        send(upload, public, private=True)
    assert public.sent == []
    assert "1 file sent" in send(upload, There({}, private=True), private=True)
    shared = Upload("dataset", "me/x", {"a": b"one"}, "m", create=False)
    assert "1 file sent" in send(shared, There({}), private=True)  # nobody asked for it to be made


def test_a_repository_is_known_by_the_mark_of_its_card(tmp_path: Path) -> None:
    class Carded(There):
        def hf_hub_download(self, _: str, name: str, *, revision: str, **__: Any) -> str:
            assert revision == "ab" * 20
            (tmp_path / name).write_bytes(self.files[name])
            return str(tmp_path / name)

    upload = Upload("dataset", "me/x", {"a": b"one"}, "m", mark="<!-- ours -->")
    for card in (None, b"mine", b"\xff", b"<!-- ours -->" + b" " * 2**23):
        theirs = Carded({"b": b"two"} | ({"README.md": card} if card else {}))
        with pytest.raises(UserError, match=r"me/x holds something else \(b\)"):
            send(upload, theirs)
        assert theirs.sent == []
    assert "1 file sent" in send(upload, Carded({"b": b"two", "README.md": b"<!-- ours -->"}))
    assert "1 file sent" in send(upload, Carded({"README.md": b"mine"}))
