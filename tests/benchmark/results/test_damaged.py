"""Damaged archives, images, lists and captions through every command: said, and nothing begun."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from running import Call
from standin import (
    bomb,
    first_of_each_class,
    image_files,
    plain_captions,
    write_captions,
    write_tar,
)

from mm_imagenet_r import splits, tar_index
from mm_imagenet_r.classes import image_names
from mm_imagenet_r.export.__main__ import main as export

NAMES = first_of_each_class(image_names(), 12)[:24]
FILES = dict(image_files(NAMES))
#: No options, and the images here are taken for all that were published.
COMPLETE: list[str] = []


@pytest.fixture
def folder(tmp_path: Path, own_caches: None) -> Path:
    """Two classes of ImageNet-R with captions; caches of its own."""
    place = tmp_path / "data"
    place.mkdir()
    write_tar(place / "imagenet-r.tar", FILES.items())
    write_captions(place / "captions" / "instructblip.csv", plain_captions(NAMES))
    return place


def cut_short(folder: Path) -> None:
    path = folder / "imagenet-r.tar"
    os.truncate(path, path.stat().st_size // 2)


def strange_member(name: str, link: str = "") -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        member = tarfile.TarInfo(name)
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
        with tarfile.open(folder / "imagenet-r.tar", "a") as tar:
            tar.addfile(member)

    return add


def in_place_of_an_image(data: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_tar(folder / "imagenet-r.tar", {**FILES, NAMES[5]: data}.items())

    return write


def without_a_caption(folder: Path) -> None:
    write_captions(folder / "captions" / "instructblip.csv", plain_captions(NAMES[1:]))


def with_two_captions(folder: Path) -> None:
    with (folder / "captions" / "instructblip.csv").open("a") as file:
        file.write(f"{NAMES[0]},again\n")


def another_list(folder: Path) -> None:
    """Put a split beside the images that names one which is not there."""
    for part in ("train", "test"):
        (folder / f"imagenet-r_{part}.yaml").write_text("- data/imagenet-r/n01443537/art_99.jpg\n")


def nothing(folder: Path) -> None:
    pass


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    facts = ((path, path.stat()) for path in folder.rglob("*"))
    return {str(path): (fact.st_size, fact.st_mtime_ns) for path, fact in facts}


@pytest.mark.parametrize(
    ("damage", "options", "message"),
    [
        (cut_short, ["--partial"], "is truncated or damaged"),
        (strange_member("../../x"), ["--partial"], "its member '../../x' is a link or"),
        (strange_member("imagenet-r/n1/a.jpg", "/etc/passwd"), ["--partial"], "is a link or"),
        (nothing, [], "24 of ImageNet-R's 30,000 images; missing: "),
        (in_place_of_an_image(b"<html>"), COMPLETE, "is not an image that Pillow"),
        (
            in_place_of_an_image(bomb(FILES[NAMES[5]])),
            COMPLETE,
            "too large, it may be a decompression bomb",
        ),
        (without_a_caption, ["--partial"], f"no caption for 1 of 24 images: {NAMES[0]}"),
        (with_two_captions, ["--partial"], f"more than one row for {NAMES[0]}"),
        (another_list, ["--partial", "--split-name", "coda"], "is not the published list (md5 "),
    ],
)
def test_damage_is_said_and_nothing_is_begun(
    damage: Callable[[Path], None],
    options: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if options is COMPLETE:
        monkeypatch.setattr("mm_imagenet_r.classes.missing", lambda names: [])
        monkeypatch.setattr(splits, "image_names", lambda: tuple(NAMES))
    damage(folder)
    before = snapshot(folder)
    data = ["--data-dir", str(folder), *options]
    code, _, err = call("--dataset", "mm_imagenet_r", *data, "--phases", 2)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err, err
    assert export([str(tmp_path / "out"), "--config", "instructblip", *data]) == 2
    assert message in capsys.readouterr().err
    assert snapshot(folder) == before
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "hf").rglob("*.arrow"))


def test_an_archive_of_the_published_size_needs_the_published_hash(
    folder: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tar_index, "PUBLISHED_SIZE", (folder / "imagenet-r.tar").stat().st_size)
    data = ("--dataset", "mm_imagenet_r", "--data-dir", folder, "--partial")
    code, _, err = call(*data, "--phases", 2)
    assert code == 2
    assert "the size of the published archive but other content (sha256 " in err
    assert not (tmp_path / "index").exists()
