from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import re
import shutil
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import image_files, write_folder, write_tar

from mm_imagenet_r import caches, parquet_images, tar_index
from mm_imagenet_r.archive import Images, place
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.open_images import open_images

NAMES = [f"n0144353{c}/{s}_{n}.jpg" for c in range(3) for s in ("art", "toy") for n in range(11)]
FILES = dict(image_files(sorted(NAMES), side=8))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(caches, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "imagenet-r.tar"
    path.parent.mkdir()
    write_tar(path, FILES.items())
    return path


def as_folder(folder: Path) -> Path:
    write_folder(folder, FILES.items())
    (folder / "README.txt").write_text("no image")
    (folder / "captions").mkdir()
    (folder / "captions" / "beside_0.jpg").write_text("not looked into")
    return folder


def as_pilot(folder: Path) -> Path:
    for name, data in FILES.items():
        part = "test" if name.endswith("_1.jpg") else "train"
        write_folder(folder / "imagenet-r" / part, [(name, data)])
    return folder


def as_parquet(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    for part in ("train", "test"):
        names = [name for name in NAMES if name.endswith("_1.jpg") == (part == "test")]
        images = [{"bytes": FILES[name], "path": "x.jpg"} for name in names]
        table = pa.table({"file_name": names, "image": images})
        pq.write_table(table, folder / "data" / f"{part}-00000-of-00001.parquet", row_group_size=10)
    return folder


def content(images: Images) -> dict[str, bytes]:
    return {name: images.read(name) for name in images.names}


@pytest.mark.parametrize("write", [as_folder, as_pilot, as_parquet])
def test_every_source_gives_the_same_bytes(write: object, tar: Path, tmp_path: Path) -> None:
    assert callable(write)
    assert content(open_images(tar)) == FILES
    images = open_images(write(tmp_path / "other"))
    assert images.names == sorted(NAMES)
    assert content(images) == FILES
    split = images.split_of(NAMES[1])
    assert split == (None if write is as_folder else "test")
    assert {images.split_of(name) for name in NAMES} == {split, "train" if split else None}


def test_a_folder_with_the_tar_is_the_tar(tar: Path) -> None:
    images = open_images(tar.parent)
    assert images.path == tar
    assert "not the published" in images.notes[0]
    assert images.identity in images.notes[0]
    assert not list(tar.parent.glob("*.jpg"))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_it_too(method: str, tar: Path) -> None:
    images = open_images(tar)
    assert content(pickle.loads(pickle.dumps(images))) == FILES
    with get_context(method).Pool(2) as pool:
        found = pool.map(images.read, images.names)
    assert found == [FILES[name] for name in images.names]


def test_the_index_is_remembered_until_the_archive_changes(
    tar: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_images(tar)
    with monkeypatch.context() as patched:
        patched.setattr(tar_index, "scan", None)  # not called
        assert content(open_images(tar)) == FILES
    next(cache.rglob("*.json")).write_text("{}")  # broken: looked at again
    assert content(open_images(tar)) == FILES
    write_tar(tar, list(FILES.items())[1:])
    os.utime(tar, (1, 1))
    assert len(open_images(tar)) == len(NAMES) - 1
    assert open_images(tar).identity != first.identity


def test_an_index_that_is_not_as_it_was_written_is_made_again(tar: Path, cache: Path) -> None:
    assert content(open_images(tar)) == FILES
    (memory,) = cache.rglob("*.json")
    good = json.loads(memory.read_text())
    members = good["value"]["members"]
    others = [
        [name, *place] for (name, *_), (_, *place) in zip(members, members[::-1], strict=True)
    ]
    for broken in (others, None, [["red/1.png", "x", 3]]):
        record = {**good, "value": {**good["value"], "members": broken}}
        for text in (json.dumps(record), json.dumps(record["value"])):  # which it once was
            memory.write_text(text)
            assert content(open_images(tar)) == FILES
            assert json.loads(memory.read_text()) == good
    memory.unlink()
    os.mkfifo(memory)
    assert content(open_images(tar)) == FILES


def test_an_archive_that_changes_under_us_is_noticed(tar: Path) -> None:
    images = open_images(tar)
    os.truncate(tar, 2000)
    with pytest.raises(UserError, match="was it moved or changed"):
        images.read(images.names[-1])


def test_the_published_size_demands_the_published_hash(
    tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_index, "PUBLISHED_SIZE", tar.stat().st_size)
    with pytest.raises(UserError, match=r"damaged\. Delete it and download"):
        open_images(tar)
    digest = tar_index.hashlib.sha256(tar.read_bytes()).hexdigest()
    monkeypatch.setattr(tar_index, "PUBLISHED_SHA256", digest)
    monkeypatch.setattr("mm_imagenet_r.archive.tar_index.PUBLISHED_SHA256", digest)
    assert open_images(tar).notes == ()


@given(share=st.floats(0.0, 0.999))
def test_a_cut_archive_is_refused_wherever_it_is_cut(
    share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = tmp_path_factory.getbasetemp() / "whole.tar"
    if not whole.exists():
        write_tar(whole, list(FILES.items())[:3])
    data = whole.read_bytes()
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512  # from here on there are only end marks
    cut = whole.with_name("cut.tar")
    cut.write_bytes(data[: int(share * end)])
    with pytest.raises(UserError, match=r"truncated or damaged|neither a tar nor"):
        tar_index.scan(cut)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("../../x"),
        member("imagenet-r/../../x.jpg"),
        member("/etc/passwd"),
        member("imagenet-r/n1/art_0.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        member("imagenet-r/n1/art_0.jpg", tarfile.LNKTYPE, "x"),
        member("imagenet-r/n1/art_0.jpg", tarfile.CHRTYPE),
        member("imagenet-r/n1/art_0.jpg", tarfile.FIFOTYPE),
    ],
)
def test_members_that_have_no_business_there(
    bad: tarfile.TarInfo, tar: Path, tmp_path: Path
) -> None:
    with tarfile.open(tar, "a") as archive:
        archive.addfile(bad)
    words = f"its member {bad.name!r} is a link or a device, or points outside the archive"
    with pytest.raises(UserError, match=re.escape(words)):
        open_images(tar)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]  # not even an index


def test_headers_that_are_damaged(tar: Path) -> None:
    data = bytearray(tar.read_bytes())
    data[data.index(b"ustar", 20_000) + 20] ^= 0xFF  # the checksum no longer fits
    tar.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        open_images(tar)


def test_an_archive_that_goes_on_behind_its_end(tar: Path) -> None:
    size = tar.stat().st_size
    with tar.open("r+b") as file:
        file.truncate(size + 2**20)  # filled up, as some programs do
    assert len(open_images(tar).names)
    with tar.open("r+b") as file:
        file.truncate(2**40)  # it would be hashed for hours
    with pytest.raises(UserError, match="bytes follow its end"):
        open_images(tar)


def test_other_things_that_are_no_source(tar: Path, tmp_path: Path) -> None:
    packed = tmp_path / "imagenet-r.tar.gz"
    packed.write_bytes(gzip.compress(tar.read_bytes()))
    empty = tmp_path / "empty"
    empty.mkdir()
    astray = tmp_path / "astray"
    write_folder(astray, [("1.jpg", b"x")])
    text = tmp_path / "text.tar"
    text.write_text("no tar")
    nameless = tmp_path / "nameless.parquet"
    pq.write_table(pa.table({"image": [b"x"], "wnid": ["n1"]}), nameless)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(nameless.read_bytes()[:-20])
    flat = tmp_path / "flat.parquet"
    pq.write_table(pa.table({"image": [b"x"], "file_name": ["a.jpg"]}), flat)
    twice = as_pilot(tmp_path / "twice")
    shutil.copytree(
        twice / "imagenet-r" / "test", twice / "imagenet-r" / "train", dirs_exist_ok=True
    )
    for path, message in (
        (packed, "a compressed tar must be decompressed first"),
        (empty, "holds no images"),
        (astray, "holds no images"),
        (text, "is neither a tar nor Parquet: give one of these"),
        (nameless, "has no column file_name but image, wnid"),
        (broken, "is damaged"),
        (flat, "is not <class>/<file>.jpg"),
        (twice, "occurs more than once"),
        (tmp_path / "absent", "does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            open_images(path)


def as_export(folder: Path) -> Path:
    """Two configurations of the same images, sorted by class, and one of drawings."""
    for config in ("mini", "instructblip-masked", "instructblip"):
        write_parquet(folder / "data" / config, NAMES if config != "mini" else ["m1/art_0.jpg"])
        write_parquet(folder / "captions", NAMES)
        write_parquet(folder / ".export" / config, NAMES)  # a stopped one's
    return folder


def write_parquet(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        there = [name for name in sorted(names) if name.endswith("_1.jpg") == (part == "test")]
        images = [{"bytes": FILES.get(name, b"x"), "path": "x.jpg"} for name in there]
        schema = pa.schema(
            {
                "file_name": pa.string(),
                "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            }
        )
        table = pa.table({"file_name": there, "image": images}, schema=schema)
        pq.write_table(table, folder / f"{part}-00000-of-00001.parquet", row_group_size=4)


def test_an_export_of_several_configurations_is_read_once(tmp_path: Path) -> None:
    folder = as_export(tmp_path / "exported")
    assert content(open_images(folder)) == FILES
    shutil.rmtree(folder / "data" / "instructblip")
    shutil.rmtree(folder / "data" / "instructblip-masked")
    assert open_images(folder).names == ["m1/art_0.jpg"]


def test_parquet_groups_are_read_once_in_either_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = as_export(tmp_path / "exported")
    groups = sum(
        pq.ParquetFile(path).num_row_groups for path in (folder / "data/instructblip").iterdir()
    )
    reads, read = [], pq.ParquetFile.read_row_group

    def counting(self: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        reads.append(columns == ["image"])
        return read(self, group, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counting)
    images = open_images(folder)
    assert content(images) == FILES  # the keys go to and fro between the two files
    assert sum(reads) == groups
    reads.clear()
    monkeypatch.setattr(parquet_images, "_KEPT", 0)  # only the last one
    images = open_images(folder)
    stored = images.as_stored(images.names)
    assert sorted(stored) == images.names
    assert {name: images.read(name) for name in stored} == FILES
    assert sum(reads) == groups
    assert len(images._kept) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("write", [as_parquet, as_folder])
def test_other_threads_read_it_too(write: object, tmp_path: Path) -> None:
    assert callable(write)
    images = pickle.loads(pickle.dumps(open_images(write(tmp_path / "images"))))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(images.read, images.names)) == [FILES[n] for n in images.names]


def test_parquet_without_bytes(tmp_path: Path) -> None:
    images = [{"bytes": None, "path": "/somewhere/a.jpg"}]
    table = pa.table(
        {"file_name": ["c/a.jpg"], "image": images},
        schema=pa.schema(
            {
                "file_name": pa.string(),
                "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            }
        ),
    )
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(UserError, match="paths only"):
        open_images(tmp_path / "x.parquet").read("c/a.jpg")


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "tree")
    (folder / "n01443530" / "up").symlink_to(folder)
    assert open_images(folder).names == sorted(NAMES)


def test_links_do_not_multiply_folders(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "tree")
    for number in range(200):  # 200**3 ways three levels down
        (folder / f"to{number}").symlink_to(folder)
    assert open_images(folder).names == sorted(NAMES)


def test_links_to_nothing_are_counted(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "tree")
    for number in range(7):
        (folder / f"n01443530/photo_{number}.jpg").symlink_to("../.git/annex/absent")
    with pytest.raises(UserError, match=r"7 files of images are links to files that are not there"):
        open_images(folder)


def test_an_image_that_is_no_file_any_more(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "tree")
    images = open_images(folder)
    (folder / NAMES[0]).unlink()
    os.mkfifo(folder / NAMES[0])
    with pytest.raises(UserError, match=r"could not be read \(it is a pipe"):
        images.read(NAMES[0])


def numbered(size: bytes, kind: bytes = tarfile.REGTYPE) -> Callable[[bytearray], None]:
    """Give the first header another size and kind, and the sum that belongs to it."""

    def change(data: bytearray) -> None:
        data[124:136], data[156:157], data[148:156] = size, kind, b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (numbered(b"\x80" + b"\x7f" * 11), "ends behind it"),
        (numbered(b"\x80" + b"\0" * 3 + b"\x01" + b"\0" * 7), "ends behind it"),
        (numbered(b"\xff" * 12), "a header of -1 bytes"),
        (numbered(b"\x80" + b"\x7f" * 11, tarfile.DIRTYPE), "ends behind it"),
        (numbered(b"\x80" + b"\0" * 5 + b"\x7f" + b"\0" * 5, b"L"), "a header of 139,637"),
        (numbered(b"\x80" + b"\0" * 5 + b"\x7f" + b"\0" * 5, b"x"), "a header of 139,637"),
        (numbered(b"\x80" + b"\x7f" * 11, b"S"), "is refused: its member"),
    ],
)
def test_sizes_that_no_archive_has(
    tar: Path, change: Callable[[bytearray], None], message: str
) -> None:
    data = bytearray(tar.read_bytes())
    change(data)
    tar.write_bytes(data)
    with pytest.raises(UserError, match=message):
        tar_index.scan(tar)


def test_an_archive_of_another_name_is_told_by_its_content(tar: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO(tar.read_bytes())
    other = tmp_path / "images.bin"
    other.write_bytes(buffer.getvalue())
    assert len(open_images(other)) == len(NAMES)


@given(st.lists(st.sampled_from(["imagenet-r", "train", "n1", ".x", "a.jpg", "b.txt"]), max_size=5))
def test_a_place_is_a_class_and_a_file(parts: list[str]) -> None:
    found = place(tuple(parts))
    if found is not None:
        name, split = found
        assert name == "/".join(parts[-2:])
        assert name.count("/") == 1
        assert split in (None, "train")
        assert name.endswith(".jpg")
