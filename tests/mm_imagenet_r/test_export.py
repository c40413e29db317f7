"""What is exported is what was loaded, and an export that is stopped loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Image, load_dataset
from exporting import FEATURES, made_up

from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import STAGING, export, shards
from mm_imagenet_r.export.__main__ import main
from mm_imagenet_r.export.shards import GROUP_ROWS, record_of

FACTS = {
    "captions": "made-up",
    "caption_set": "cd34-0f0f0f0f",
    "split": "seed42",
    "split_sha256": "ab12",
}


@pytest.fixture(scope="module")
def data() -> Any:
    return made_up()


def raw(dataset: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dataset.cast_column("image", Image(decode=False))[:]
    columns = list(found)
    return [dict(zip(columns, row, strict=True)) for row in zip(*found.values(), strict=True)]


def written(folder: Path, name: str, data: Any, **options: Any) -> list[str]:
    lines: list[str] = []
    export(folder, name, data, FACTS, report=lines.append, **options)
    return lines


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def modified(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


def test_rows_come_back_sorted_and_their_bytes_untouched(data: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    written(folder, "made-up", data, shard_bytes=200_000)
    back = load_dataset(str(folder), "made-up", cache_dir=str(tmp_path / "cache"))
    assert back["train"].features == FEATURES
    for split in ("train", "test"):
        expected = sorted(raw(data[split]), key=lambda row: (row["label"], row["file_name"]))
        assert raw(back[split]) == expected
    assert back["train"][0]["image"].format == "JPEG"


def test_a_plain_call_needs_nothing_of_ours(data: Any, tmp_path: Path) -> None:
    written(tmp_path / "out", "made-up", data)
    program = """if True:
        import sys
        from datasets import load_dataset
        ds = load_dataset("out")
        assert not any(name.startswith("mm_imagenet_r") for name in sys.modules)
        print({name: len(split) for name, split in ds.items()}, ds["test"].features["label"].names)
        options = {"filters": [("label", "in", [1])], "verification_mode": "no_checks"}
        print(len(load_dataset("out", "made-up", split="train", **options)))
        print(next(iter(load_dataset("out", split="test", streaming=True)))["file_name"])
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**environment, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, filtered, streamed = done.stdout.splitlines()
    assert first == "{'train': 450, 'test': 30} ['n01', 'n02', 'n03']"
    assert filtered == "150"
    assert streamed == "n01/art_1000.jpg"


def test_files_are_laid_out_for_the_hub(data: Any, tmp_path: Path) -> None:
    written(tmp_path, "made-up", data, shard_bytes=200_000)
    place = tmp_path / "data" / "made-up"
    found = sorted(place.glob("train-*"))
    assert [p.name for p in found] == [f"train-{i:05d}-of-00003.parquet" for i in range(3)]
    assert [p.name for p in place.glob("test-*")] == ["test-00000-of-00001.parquet"]
    for path in found:
        footer = pq.read_metadata(path)
        assert footer.row_group(0).num_rows <= GROUP_ROWS
        leaves = {
            footer.row_group(0).column(i).path_in_schema: footer.row_group(0).column(i)
            for i in range(footer.num_columns)
        }
        assert leaves["image.bytes"].compression == "UNCOMPRESSED"
        assert leaves["caption"].compression == "SNAPPY"
        assert leaves["label"].has_offset_index  # the page index
        assert b"content_defined_chunking" in footer.metadata
    assert {k: v for k, v in record_of(found[0]).items() if k in FACTS} == FACTS
    # Sorted by label: one class lies in one or two row groups, not in all.
    labels = pq.read_table(place / "train-00000-of-00003.parquet", columns=["label"])["label"]
    assert labels.to_pylist() == sorted(labels.to_pylist())


def test_captions_lie_apart_and_are_a_caption_set(data: Any, tmp_path: Path) -> None:
    written(tmp_path, "made-up", data)
    path = tmp_path / "captions" / "made-up.parquet"
    assert path.stat().st_size < 40_000
    captions = read_captions(path)
    both = [row for split in data.values() for row in raw(split)]
    assert captions.by_name == {row["file_name"]: row["caption"] for row in both}
    assert captions.info == {**FACTS, "fingerprint": "cd34"}
    assert captions.identity.startswith("cd34-")


def test_nothing_complete_is_written_again(data: Any, tmp_path: Path) -> None:
    written(tmp_path, "made-up", data, shard_bytes=200_000)
    place = tmp_path / "data" / "made-up"
    before = modified(place)
    lines = written(tmp_path, "made-up", data, shard_bytes=200_000)
    assert modified(place) == before
    assert sum("there already" in line for line in lines) == len(before)
    changed = data["test"].map(lambda row: {"caption": row["caption"] + "!"})
    written(tmp_path, "made-up", {"train": data["train"], "test": changed}, shard_bytes=200_000)
    after = modified(place)
    assert [name for name in after if after[name] != before[name]] == [
        "test-00000-of-00001.parquet"
    ]


def test_a_stopped_export_is_not_seen_and_goes_on(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "whole", "made-up", data, shard_bytes=200_000)
    count, write = 0, shards.write

    def first_of(tables: Any) -> Any:
        yield next(tables)
        raise KeyboardInterrupt

    def stopping(path: Path, tables: Any, *rest: Any) -> None:
        nonlocal count
        count += 1
        if count == 3:  # in the middle of the third shard
            tables = first_of(tables)
        write(path, tables, *rest)

    folder = tmp_path / "out"
    monkeypatch.setattr(shards, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        written(folder, "made-up", data, shard_bytes=200_000)
    assert not list(folder.glob("data/**/*.parquet"))
    assert not (folder / "README.md").exists()
    assert not list(folder.rglob("*.tmp"))
    monkeypatch.undo()
    (folder / "captions").mkdir()
    (folder / "captions" / ".made-up.parquet.0a1b2c3d.tmp").write_bytes(b"of a process killed")
    (folder / STAGING / "made-up" / ".train-00003.parquet.0a1b2c3d.tmp").write_bytes(b"of another")
    lines = written(folder, "made-up", data, shard_bytes=200_000)
    assert sum("there already" in line for line in lines) == 2
    assert contents(folder) == contents(tmp_path / "whole")


def test_another_cut_leaves_no_old_shards(data: Any, tmp_path: Path) -> None:
    written(tmp_path, "made-up", data, shard_bytes=200_000)
    written(tmp_path, "made-up", data)
    found = sorted(path.name for path in (tmp_path / "data" / "made-up").iterdir())
    assert found == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]


def test_row_without_image_is_named(tmp_path: Path) -> None:
    data = made_up({"train": 2})["train"]
    broken = data.map(lambda row: {"image": None}, features=FEATURES)
    with pytest.raises(UserError, match=r"n01/art_0\.jpg has no image"):
        written(tmp_path, "made-up", {"train": broken})
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out", "--config", "minni"], "did you mean 'mini'"),
        (["out", "--shard-mb", "0"], "--shard-mb 0"),
        (["out", "--shards", "3"], "--help shows"),
        (["out", "--data-dir", "out"], "choose another folder"),
        (["a-file"], "is a file"),
        (["mine"], "was not written by this command"),
    ],
)
def test_mistakes_end_with_2_and_write_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("mine")
    Path("mine").mkdir()
    Path("mine/README.md").write_text("mine")
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert Path("mine/README.md").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["README.md", "a-file", "mine"]
