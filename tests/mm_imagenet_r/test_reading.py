"""Reading what anyone may have put there."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.reading import open_regular, parse_json, read_bytes, read_text


def test_a_regular_file_and_a_link_to_one(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"\xef\xbb\xbftext")
    link.symlink_to(path)
    assert read_bytes(link, 100) == path.read_bytes()
    assert read_text(link) == "text"
    with pytest.raises(OSError, match="it is a link"):
        read_bytes(link, 100, follow=False)


def test_nothing_that_would_hang_or_never_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, words in (
            ("pipe", "it is a pipe"),
            ("zero", "it is a device"),
            ("socket", "it is a socket"),
            ("circle", "symbolic links"),
            (".", "it is a folder"),
            ("absent", "No such file"),
        ):
            with pytest.raises(OSError, match=words):
                open_regular(tmp_path / name)


def test_no_more_than_expected(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_bytes(path, 4)
    os.truncate(path, 2**40)  # none of it is read
    with pytest.raises(OSError, match="more than 5 bytes"):
        read_bytes(path, 5)


def test_a_file_whose_size_is_not_known() -> None:
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    assert b"VmPeak" in read_bytes(path, 2**20)
    with pytest.raises(OSError, match="more than 9 bytes"):
        read_bytes(path, 9)


def test_a_link_to_nothing_says_how_it_may_come_back(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(".git/annex/objects/a")
    with pytest.raises(FileNotFoundError, match=r"not there \(git annex get"):
        open_regular(tmp_path / "a")


def test_json_of_anyone() -> None:
    assert parse_json(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    for text, words in (
        ("[" * 100_000, "nested too deeply"),
        ('{"a": [' * 40 + "]}" * 40, "nested too deeply"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "'c' occurs twice"),
        ('{"a"', "Expecting"),
    ):
        with pytest.raises(ValueError, match=words):
            parse_json(text)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_only_a_file_or_a_link_is_written_over(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "odd")
    with pytest.raises(UserError, match=r"odd is not a regular file: remove it"):
        write_atomic(tmp_path / "odd", b"data")
    assert not (tmp_path / "odd").is_file()
    (tmp_path / "link").symlink_to(tmp_path / "odd")
    write_atomic(tmp_path / "link", b"data")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["link", "odd"]
