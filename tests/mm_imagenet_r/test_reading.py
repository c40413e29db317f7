"""Reading what anyone may have put there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mm_imagenet_r.reading import open_regular, read_bytes, read_text


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
