"""Caption sets that were damaged, or hold what somebody else put there."""

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
from caption_sets import IDENTITY, commit_all, hashes, sha

from mm_imagenet_r.captions.captioner import Caption
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.captions.store import SCHEMA, Store
from mm_imagenet_r.errors import UserError


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
    store.close()
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
