"""The caption set on disk: frozen manifests, units, claims, the finished file."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import NoReturn

import pyarrow.parquet as pq
import pytest
from caption_sets import IDENTITY, commit_all, hashes, sha

from mm_imagenet_r.captions.captioner import Caption
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.captions.store import Store
from mm_imagenet_r.errors import UserError


def test_images_of_equal_bytes_are_captioned_once_and_all_get_the_caption(store: Store) -> None:
    store.manifest.add({"a/2.jpg": sha("x"), "a/1.jpg": sha("x"), "b/1.jpg": sha("y")}, unit_size=1)
    assert [[item.file_name for item in unit] for unit in store.units] == [["a/1.jpg"], ["b/1.jpg"]]
    assert store.finish() is None
    commit_all(store)
    path = store.finish()
    assert path is not None
    captions = read_captions(path)
    assert captions.by_name == {
        "a/1.jpg": "this is a/1.jpg", "a/2.jpg": "this is a/1.jpg", "b/1.jpg": "this is b/1.jpg",
    }  # fmt: skip
    assert captions.identity.partition("-")[0] == store.folder.name
    assert captions.info == {"fingerprint": store.folder.name, **IDENTITY}


def test_later_images_get_units_of_their_own(store: Store, tmp_path: Path) -> None:
    store.manifest.add(hashes("a", "b", "c"), unit_size=2)
    commit_all(store)
    before = {path.name: path.read_bytes() for path in store.folder.rglob("*.parquet")}
    store.manifest.add({**hashes("a", "0", "z"), "copy": sha("c")}, unit_size=2)
    assert [[item.file_name for item in unit] for unit in store.units][2:] == [["0", "z"]]
    again = Store(tmp_path, IDENTITY, {})
    assert again.units == store.units
    assert again.done() == {0, 1}
    commit_all(again)
    path = again.finish()
    assert path is not None
    assert read_captions(path).by_name["copy"] == "this is c"
    assert {name: (store.folder / name).read_bytes() for name in before if "manifest" in name} == {
        name: data for name, data in before.items() if "manifest" in name
    }
    again.close()


def test_two_who_add_at_once_end_with_one_list(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path, IDENTITY, {})  # has read the folder before anything was added
    store.manifest.add(hashes("a", "b"), unit_size=1)
    other.manifest.add(hashes("b", "c"), unit_size=1)
    assert [[item.file_name for item in unit] for unit in other.units] == [["a"], ["b"], ["c"]]
    other.close()


def test_finishing_twice_gives_the_same_bytes(store: Store) -> None:
    store.manifest.add(hashes("a", "b"), unit_size=1)
    commit_all(store)
    path = store.finish()
    assert path is not None
    first = path.read_bytes()
    path.unlink()
    store.finish()
    assert path.read_bytes() == first


def test_whoever_knows_few_images_neither_miscounts_nor_replaces_the_captions_of_many(
    store: Store, tmp_path: Path
) -> None:
    store.manifest.add(hashes("a", "b"), unit_size=1)
    other = Store(tmp_path, IDENTITY, {})
    other.manifest.add(hashes("a", "b", "c", "d"), unit_size=1)
    commit_all(other)
    path = other.finish()
    assert path is not None
    for unit in (1, 3):
        (store.folder / "parts" / f"{unit:08}.parquet").unlink()
    assert store.done() == {0}
    assert store.missing() == {1}
    store.commit(1, [Caption("c")])
    assert store.finish() is None
    assert len(read_captions(path).by_name) == 4
    assert store.missing() == {3}
    other.close()


def test_images_added_while_the_captions_are_put_together_are_waited_for(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.manifest.add(hashes("a"), unit_size=1)
    commit_all(store)
    other = Store(tmp_path, IDENTITY, {})
    whole = store._whole

    def slow() -> bytes:
        data = whole()
        if len(other.units) == 1:
            other.manifest.add(hashes("a", "b"), unit_size=1)
            commit_all(other)
            assert other.finish() is not None
        return data

    monkeypatch.setattr(store, "_whole", slow)
    path = store.finish()
    assert path is not None
    assert len(read_captions(path).by_name) == 2
    other.close()


def test_errors_are_rows_without_a_caption(store: Store) -> None:
    store.manifest.add(hashes("a", "b"), unit_size=2)
    store.commit(0, [Caption("this is a dog"), Caption.failed("the image is broken")])
    path = store.finish()
    assert path is not None
    assert pq.read_table(path)["caption"].to_pylist() == ["this is a dog", None]
    captions = read_captions(path)
    assert captions.by_name == {"a": "this is a dog"}
    assert captions.failed == {"b": "the image is broken"}


def _try_to_claim(folder: Path, unit: int, answers: multiprocessing.Queue[bool]) -> None:
    store = Store(folder, IDENTITY, {})
    answers.put(store.claims.take(unit))


def test_a_claim_keeps_others_out_until_its_process_is_gone(store: Store, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    answers = context.Queue()

    def ask(unit: int) -> bool:
        process = context.Process(target=_try_to_claim, args=(tmp_path, unit, answers))
        process.start()
        answer: bool = answers.get(timeout=60)
        process.join()
        return answer

    assert store.claims.take(3)
    assert not ask(3)
    assert ask(4)
    store.claims.release(3)
    assert ask(3)


def test_folders_of_others_are_left_alone(store: Store, tmp_path: Path) -> None:
    run = store.folder / "run.json"
    run.write_text(json.dumps({"identity": {"model": "other"}, "about": {}}))
    with pytest.raises(UserError, match="belongs to a caption set with other settings"):
        Store(tmp_path, IDENTITY, {})
    run.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        Store(tmp_path, IDENTITY, {})
    with pytest.raises(UserError, match="is itself a caption set"):
        Store(store.folder, IDENTITY, {})


def test_a_folder_that_became_read_only_or_is_gone_is_reported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    really_open = os.open

    def refuse_to_make(path: Path, flags: int, *more: int) -> int:
        return refuse() if flags & os.O_CREAT else really_open(path, flags, *more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse_to_make)
        with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"):
            Store(tmp_path, IDENTITY, {})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"):
            store.manifest.add(hashes("a"), unit_size=1)
    shutil.rmtree(store.folder)
    with pytest.raises(UserError, match="restore the folder"):
        store.done()


def test_a_changed_image_and_a_damaged_part_are_named(store: Store) -> None:
    store.manifest.add(hashes("a", "b"), unit_size=1)
    with pytest.raises(UserError, match="b has changed since"):
        store.manifest.add({"b": sha("another")}, unit_size=1)
    commit_all(store)
    part = store.folder / "parts" / "00000001.parquet"
    for data in (b"PAR1", part.with_name("00000000.parquet").read_bytes()):
        part.write_bytes(data)
        with pytest.raises(UserError, match=r"00000001\.parquet is damaged"):
            store.finish()


def test_a_damaged_or_lost_manifest_is_named(store: Store, tmp_path: Path) -> None:
    store.manifest.add(hashes("a"), unit_size=1)
    store.manifest.add(hashes("b"), unit_size=1)
    first = store.folder / "manifest-0000.parquet"
    first.write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"manifest-0000\.parquet is damaged"):
        Store(tmp_path, IDENTITY, {})
    first.unlink()
    with pytest.raises(UserError, match=r"manifest-0001\.parquet is damaged"):
        Store(tmp_path, IDENTITY, {})


def test_copies_of_manifests_and_gaps_in_them_are_no_obstacle(store: Store, tmp_path: Path) -> None:
    store.manifest.add(hashes("a"), unit_size=1)
    store.manifest.add({"copy": sha("a")}, unit_size=1)
    shutil.copy(store.folder / "manifest-0000.parquet", store.folder / "manifest-0000-old.parquet")
    again = Store(tmp_path, IDENTITY, {})
    again.manifest.add(hashes("b"), unit_size=1)
    again.close()
    (store.folder / "manifest-0001.parquet").unlink()
    last = Store(tmp_path, IDENTITY, {})
    last.manifest.add(hashes("c"), unit_size=1)
    last.close()
    assert set(last.manifest.hashes) == {"a", "b", "c"}
    assert [path.name for path in sorted(store.folder.glob("manifest-*"))] == [
        "manifest-0000-old.parquet", *(f"manifest-000{number}.parquet" for number in (0, 2, 3)),
    ]  # fmt: skip
