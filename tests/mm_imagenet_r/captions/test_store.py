"""The caption set on disk: frozen manifests, units, claims, the finished file."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mm_imagenet_r.captions.captioner import Caption
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.captions.store import SCHEMA, Store
from mm_imagenet_r.errors import UserError

IDENTITY = {"model": "m", "prompt": "Describe.", "decoding": {"num_beams": 5}}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hashes(*names: str) -> dict[str, str]:
    return {name: sha(name) for name in names}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path, IDENTITY, {})
    yield made
    made.close()


def commit_all(store: Store) -> None:
    for number, unit in enumerate(store.units):
        if not store.is_done(number):
            store.commit(number, [Caption(f"this is {item.file_name}") for item in unit])


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


def outcome(tmp_path: Path) -> dict[str, str] | str:
    """What a set says after whatever was done to its files: the captions, or a refusal."""
    try:
        store = Store(tmp_path, IDENTITY, {})
        try:
            store.failed()
            path = store.finish()
        finally:
            store.close()
        assert path is not None
        assert store.about == {}
        captions = read_captions(path)
    except UserError as error:
        return str(error)
    assert captions.info == {"fingerprint": store.folder.name, "served_model": "s", **IDENTITY}
    return captions.by_name


@pytest.fixture
def finished(store: Store) -> Path:
    """The folder of a finished set of six captions from a server."""
    store.manifest.add({**hashes("a", "b", "c", "d", "e"), "copy": sha("a")}, unit_size=2)
    for number, unit in enumerate(store.units):
        said = [Caption(f"this is {item.file_name}", served_model="s") for item in unit]
        store.commit(number, said)
    store.finish()
    store.close = lambda: None  # type: ignore[method-assign]  # the next one has the same claims
    return store.folder


KEPT = ["run.json", "served_model.json", "manifest-0000.parquet", "parts/00000001.parquet"]


@pytest.mark.parametrize("name", [*KEPT, "captions.parquet"])
def test_a_flipped_bit_is_refused_or_without_effect(
    name: str, finished: Path, tmp_path: Path
) -> None:
    path = finished / name
    good, before = path.read_bytes(), outcome(tmp_path)
    assert isinstance(before, dict)
    refused = 0
    for place in range(0, len(good), max(1, len(good) // 150)):
        data = bytearray(good)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        if name == "captions.parquet":
            try:
                now: dict[str, str] | str = read_captions(finished).by_name
            except UserError as error:
                now = str(error)
        else:
            now = outcome(tmp_path)
        assert now == before or (isinstance(now, str) and path.name in now), (place, now)
        refused += isinstance(now, str)
        path.write_bytes(good)
    assert refused > 50
    path.write_bytes(data)
    if name == "captions.parquet":
        assert outcome(tmp_path) == before, "it is made again of its parts"


def test_a_unit_of_another_set_is_refused(finished: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other", {**IDENTITY, "prompt": "Another."}, {})
    other.manifest.add(hashes("a", "b", "c", "d", "e"), unit_size=2)
    commit_all(other)
    other.close()
    shutil.copy(other.folder / "parts/00000001.parquet", finished / "parts")
    assert "00000001.parquet is damaged (its content is not what was" in outcome(tmp_path)


def test_files_without_a_seal_are_read_as_they_were_written(finished: Path, tmp_path: Path) -> None:
    before = outcome(tmp_path)
    for path in finished.rglob("*.parquet"):
        rewritten(path)
    record = json.loads((finished / "run.json").read_text())
    del record["sha256"]
    (finished / "run.json").write_text(json.dumps(record))
    (finished / "served_model.json").write_text('"s"')
    assert outcome(tmp_path) == before


def rewritten(path: Path, **values: Any) -> None:
    """Write a table without a seal, as older versions did, with other columns; None drops one."""
    table = pq.read_table(path)
    metadata = {k: v for k, v in (table.schema.metadata or {}).items() if b"seal" not in k}
    for name, value in values.items():
        place = table.column_names.index(name)
        table = table.remove_column(place)
        if value is not None:
            table = table.add_column(place, name, pa.array([value] * len(table)))
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *(("parts/00000001.parquet", {column: None}) for column in SCHEMA.names[:-1]),
        *(("parts/00000001.parquet", {column: 3}) for column in ("caption", "flags", "finish")),
        ("parts/00000001.parquet", {"n_tokens": 2**40}),
        ("parts/00000001.parquet", {"n_tokens": "3"}),
        *(("manifest-0000.parquet", {column: None}) for column in ("file_name", "sha256", "unit")),
        *(("manifest-0000.parquet", {"unit": unit}) for unit in (-1, 2**30, "0")),
        *(("manifest-0000.parquet", {column: 3}) for column in ("file_name", "sha256")),
    ],
)
def test_an_old_table_of_another_shape_is_refused(
    name: str, values: dict[str, Any], finished: Path, tmp_path: Path
) -> None:
    rewritten(finished / name, **values)
    now = outcome(tmp_path)
    assert isinstance(now, str)
    assert f"{Path(name).name} is damaged" in now


@pytest.mark.parametrize("name", [*KEPT, "claims"])
@pytest.mark.parametrize("what", ["pipe", "folder", "device", "nothing", "deep", "null", "long"])
def test_what_stands_in_place_of_a_file_is_refused(
    name: str, what: str, finished: Path, tmp_path: Path
) -> None:
    path, before = finished / name, outcome(tmp_path)
    path.unlink()
    make: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
        "nothing": lambda: path.write_bytes(b""),
        "deep": lambda: path.write_bytes(b'{"a":' * 100_000),
        "null": lambda: path.write_bytes(b"null"),
        "long": lambda: (path.touch(), os.truncate(path, 2**40)),
    }
    make[what]()
    now = outcome(tmp_path)
    if name == "claims" and what in ("nothing", "deep", "null", "long"):
        assert now == before  # only its locks count
    else:
        assert isinstance(now, str)
        assert path.name in now or "claims" in now


def test_what_does_not_belong_to_a_set_is_left_alone(finished: Path, tmp_path: Path) -> None:
    before = outcome(tmp_path)
    for name in ("x.parquet", "-1.parquet", "notes.txt", "²0000000.parquet", "9" * 20 + ".parquet"):
        (finished / "parts" / name).write_bytes(b"mine")
    (finished / "parts" / ".ipynb_checkpoints").mkdir()
    (finished / ".mine.tmp").mkdir()
    os.utime(finished / ".mine.tmp", (0, 0))
    assert outcome(tmp_path) == before
    assert (finished / "parts" / "x.parquet").read_bytes() == b"mine"


def test_nothing_outside_is_touched_through_links(finished: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(finished / "parts", outside)
    (outside / ".old.tmp").write_bytes(b"mine")
    os.utime(outside / ".old.tmp", (0, 0))
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    shutil.rmtree(finished / "parts")
    (finished / "parts").symlink_to(outside)
    assert "parts is a link" in outcome(tmp_path)
    (finished / "parts").unlink()
    (finished / "parts").mkdir()
    (finished / "claims").unlink()
    (finished / "claims").symlink_to(outside / "made")
    assert "claims" in outcome(tmp_path)
    (finished / "claims").unlink()
    for path in outside.glob("*.parquet"):
        (finished / "parts" / path.name).symlink_to(path)
    (finished / "captions.parquet").unlink()
    (finished / "captions.parquet").symlink_to(outside / ".old.tmp")
    (finished / ".link.tmp").symlink_to(outside / ".old.tmp")
    os.utime(finished / ".link.tmp", (0, 0), follow_symlinks=False)
    assert isinstance(outcome(tmp_path), dict)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
    assert not (finished / "captions.parquet").is_symlink()
