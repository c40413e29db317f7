"""Uploads against a Hub in this process, without the network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_stub
import pytest

from mm_imagenet_r.uploads import DryRun, Upload, send


def test_a_dry_run_prints_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    send(Upload("dataset", "me/x", {"source/\x1b[2J\n.py": b"one"}, "m"), DryRun())
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.endswith("  3  source/\\x1b[2J\\n.py\n")


def test_a_file_that_matches_is_not_read_as_the_same(tmp_path: Path) -> None:
    """Equal sizes are not equal contents, of plain and of large files."""

    class There:
        endpoint = "http://hub"

        def __init__(self, files: dict[str, bytes]) -> None:
            self.files = files
            self.sent: list[str] = []

        def create_repo(self, *_: Any, **__: Any) -> None:
            pass

        def list_repo_tree(self, *_: Any, **__: Any) -> Iterator[Any]:
            from huggingface_hub.hf_api import RepoFile, RepoFolder

            for entry in hub_stub.tree(self.files):
                kind = RepoFile if entry.pop("type") == "file" else RepoFolder
                yield kind(**entry)

        def create_commit(self, _: str, operations: list[Any], **__: Any) -> None:
            self.sent += [one.path_in_repo for one in operations]

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
