"""What is exported is what was loaded, and an export that is stopped loses nothing."""

from __future__ import annotations

import ast
import contextlib
import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Image, load_dataset
from exporting import FEATURES, jpeg, made_up

from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import card, export, shards
from mm_imagenet_r.export.__main__ import main
from mm_imagenet_r.export.shards import GROUP_ROWS, STAGING, record_of

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
    assert captions.identity.startswith("cd34")


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
    staged = folder / STAGING / "made-up" / "new"
    (staged / ".train-00003.parquet.0a1b2c3d.tmp").write_bytes(b"of another")
    lines = written(folder, "made-up", data, shard_bytes=200_000)
    assert sum("there already" in line for line in lines) == 2
    assert contents(folder) == contents(tmp_path / "whole")


def flip(path: Path) -> None:
    """Damage an image, where the footer says nothing of it."""
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def test_a_damaged_shard_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made_up({"train": 4, "test": 2})
    written(tmp_path / "whole", "made-up", data)
    whole = contents(tmp_path / "whole")
    place = tmp_path / "whole" / "data" / "made-up"
    flip(place / "test-00000-of-00001.parquet")
    lines = written(tmp_path / "whole", "made-up", data)
    assert sum("there already" in line for line in lines) == 1
    assert contents(tmp_path / "whole") == whole
    # One that waits for the others, too.
    folder = tmp_path / "out"

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", stop)
    with pytest.raises(KeyboardInterrupt):
        written(folder, "made-up", data)
    monkeypatch.undo()
    flip(folder / STAGING / "made-up" / "new" / "test-00000-of-00001.parquet")
    lines = written(folder, "made-up", data)
    assert sum("there already" in line for line in lines) == 1
    assert contents(folder) == whole


def test_damage_of_another_configuration_gets_no_hash(tmp_path: Path) -> None:
    data = made_up({"train": 4, "test": 2})
    written(tmp_path, "made-up", data)
    before = (tmp_path / "croissant.json").read_bytes()
    flip(tmp_path / "data" / "made-up" / "test-00000-of-00001.parquet")
    with pytest.raises(UserError, match=r"test-.* not as it was exported: remove .*made-up and"):
        written(tmp_path, "other", data)
    assert (tmp_path / "croissant.json").read_bytes() == before
    shutil.rmtree(tmp_path / "data" / "made-up")
    written(tmp_path, "made-up", data)
    written(tmp_path, "other", data)
    assert card.faults(tmp_path) == []


def shown(folder: Path) -> set[str]:
    """How the captions end that a reader finds."""
    found = [
        pq.read_table(path, columns=["caption"])["caption"].to_pylist()
        for path in folder.glob("data/made-up/*.parquet")
    ]
    return {caption[-3:] for captions in found for caption in captions}


def test_killed_between_any_two_steps_shows_all_old_or_all_new(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have as many shards, so that only their rows tell them apart."""
    monkeypatch.setattr(shards, "GROUP_ROWS", 2)
    small = {split: part.select(range(6)) for split, part in data.items()}

    def ending(end: str) -> Any:
        return {**small, "train": small["train"].map(lambda row: {"caption": f"a {end}"})}

    def make(folder: Path, data: Any) -> None:
        written(folder, "made-up", data, shard_bytes=1)

    make(tmp_path / "old", ending("old"))
    new = ending("new")
    make(tmp_path / "new", new)
    whole, seen = contents(tmp_path / "new"), set()
    real = {name: getattr(os, name) for name in ("rename", "replace", "link", "unlink", "rmdir")}
    for limit in itertools.count():
        folder, steps = tmp_path / f"killed-{limit}", itertools.count()
        shutil.copytree(tmp_path / "old", folder)

        def step(name: str, *arguments: Any, **options: Any) -> Any:
            if next(steps) >= limit:  # noqa: B023 - called within this turn
                raise KeyboardInterrupt
            return real[name](*arguments, **options)

        with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
            for name in real:
                patched.setattr(os, name, functools.partial(step, name))
            make(folder, new)
            break
        found = shown(folder)
        seen.add(frozenset(found))
        assert not folder.joinpath(STAGING).exists() or card.faults(folder)
        make(folder, new)
        assert contents(folder) == whole
        assert not folder.joinpath(STAGING).exists()
        shutil.rmtree(folder)
    assert seen == {frozenset({"old", "ünï"}), frozenset({"new", "ünï"}), frozenset()}


def test_what_is_wrong_with_captions_goes_with_them(data: Any, tmp_path: Path) -> None:
    names = [row["file_name"] for split in data.values() for row in raw(split)]
    path = tmp_path / "set.jsonl"
    rows = [{"file_name": name, "caption": "A dog.", "finish": "stop"} for name in names]
    rows[0] |= {"finish": "length"}
    rows[1] |= {"caption": "", "error": "does not decode"}
    path.write_text("\n".join(map(json.dumps, rows)))
    failed = data["train"].map(
        lambda row: {"caption": "" if row["file_name"] == names[1] else "A dog."}
    )
    given = {"train": failed, "test": data["test"].map(lambda row: {"caption": "A dog."})}
    captions = read_captions(path)
    written(tmp_path / "out", "made-up", given, captions=captions)
    table = tmp_path / "out" / "captions" / "made-up.parquet"
    back = read_captions(table)
    assert (back.by_name, back.failed, back.cut) == (
        captions.by_name,
        {names[1]: "does not decode"},
        {names[0]},
    )
    found = {row["file_name"]: row for row in pq.read_table(table).to_pylist()}
    assert found[names[0]]["flags"] == ["cut"]
    assert found[names[1]]["caption"] is None
    assert found[names[2]]["flags"] == []
    figures = json.loads((tmp_path / "out" / "captions" / "made-up-audit.json").read_text())
    assert figures["captions"] == len(names) - 1
    assert figures["flags"]["cut"] == 1


def test_command_exports_what_is_wrong_with_captions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, rows = tmp_path / "data", []
    for number in range(8):
        name = f"n01443537/art_{number}.jpg"
        file = folder / "imagenet-r" / ("test" if number < 2 else "train") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(number))
        rows.append({"file_name": name, "caption": "A goldfish.", "finish": "stop"})
    rows[3] |= {"finish": "length"}
    rows[4] |= {"caption": "", "error": "refused"}
    (folder / "captions").mkdir()
    (folder / "captions" / "ours.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / """it's "out\""""
    arguments = [str(out), "--config", "ours", "ours-masked", "--data-dir", str(folder)]
    assert main([*arguments, "--partial"]) == 0
    call = ast.parse(capsys.readouterr().out.splitlines()[-1].removesuffix(" reads it")).body[0]
    assert ast.literal_eval(call.value.args[0]) == str(out)  # type: ignore[attr-defined]
    for name, share in (("ours", 1.0), ("ours-masked", 0.0)):
        back = read_captions(out / "captions" / f"{name}.parquet")
        assert back.failed == {rows[4]["file_name"]: "refused"}
        assert back.cut == {rows[3]["file_name"]}
        figures = json.loads((out / "captions" / f"{name}-audit.json").read_text())
        assert figures["named_by"]["label"] == share
    assert card.faults(out) == []


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
        (["out", "--config", "x[1]"], "cannot be the name"),
        (["a-file"], "is a file"),
        (["mine"], "was not written by mm_imagenet_r.export"),
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


@pytest.mark.parametrize("config", ["own", "mini"])
@pytest.mark.parametrize("out", ["home", "home/in", "link/in", "home/captions"])
def test_data_found_by_the_environment_are_not_written_into(
    out: str,
    config: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("home/captions").mkdir(parents=True)
    Path("link").symlink_to("home")
    monkeypatch.setenv("MM_IMAGENET_R_DATA_DIR", str(tmp_path / "home"))
    assert main([out, "--config", config, "--partial"]) == 2
    assert f"{out} lies in the data themselves" in capsys.readouterr().err
    monkeypatch.setenv("MM_IMAGENET_R_DATA_DIR", str(tmp_path / "home" / "captions"))
    assert main(["home", "--config", "own"]) == 2
    assert "home/captions lies in the data" in capsys.readouterr().err


def test_a_full_disk_ends_with_advice_and_nothing_half_written(tmp_path: Path) -> None:
    """Images of more than a page: their errors in Parquet's writer would abort the process."""
    program = """if True:
        import os, resource, signal, sys
        from pathlib import Path
        from datasets import ClassLabel, Dataset, Features, Image, Value
        from mm_imagenet_r.errors import UserError
        from mm_imagenet_r.export import export

        features = Features(
            {"image": Image(), "label": ClassLabel(names=["a"]), "file_name": Value("string")}
        )
        rows = [
            {"image": {"bytes": os.urandom(1_200_000), "path": name}, "label": 0, "file_name": name}
            for name in ("a/1.jpg", "a/2.jpg")
        ]
        data = {"train": Dataset.from_list(rows, features=features)}
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            export(Path("out"), "mine", data, {})
        except UserError as error:
            sys.exit(f"refused: {error}")
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "refused: " in done.stderr
    assert "train-00000-of-00001.parquet could not be written" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
