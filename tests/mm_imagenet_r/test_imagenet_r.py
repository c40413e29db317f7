"""From a tar and a caption set to `load_dataset`, on a few true names."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Image, load_dataset, load_dataset_builder
from standin import (
    PROFILE,
    bomb,
    first_of_each_class,
    image_files,
    plain_captions,
    write_captions,
    write_folder,
    write_tar,
)

import mm_imagenet_r
from mm_imagenet_r import caches, classes, imagenet_r, mini
from mm_imagenet_r.captions.files import METADATA_KEY, read_captions
from mm_imagenet_r.catalog import CATALOG, find_source
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import export
from mm_imagenet_r.open_images import open_images


@pytest.fixture(scope="module")
def made(
    shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, bytes]]:
    """A data folder with five images a class of the first 20 classes, and these images."""
    folder = tmp_path_factory.mktemp("data")
    names = first_of_each_class(classes.image_names(), 5)[:100]
    files = dict(image_files(names, side=16))
    write_tar(folder / "imagenet-r.tar", files.items())
    captions = plain_captions(names)
    write_captions(folder / "captions" / "instructblip.csv", captions)
    write_captions(folder / "captions" / "short.csv", dict.fromkeys(names, "a goldfish, maybe"))
    lists = folder / "splits"
    lists.symlink_to(shared_data("coda_split"))
    return folder, files


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(caches, "cache_folder", lambda: tmp_path / "index")
    monkeypatch.delenv(CATALOG["mm_imagenet_r"].environment, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def load(made: tuple[Path, dict[str, bytes]], cache: Path) -> Callable[..., Any]:
    def call(name: str | None = None, **options: Any) -> Any:
        known = {"data_dir": made[0], "partial": True, "cache_dir": str(cache)}
        return mm_imagenet_r.load(name, **{**known, **options})

    return call


def rows(dataset: Any) -> dict[str, dict[str, Any]]:
    """All rows of all splits with their bytes, by name."""
    raw = {name: part.cast_column("image", Image(decode=False)) for name, part in dataset.items()}
    return {row["file_name"]: {**row, "part": n} for n, part in raw.items() for row in part}


def test_rows_are_the_images_untouched_with_their_captions(
    load: Callable[..., Any], made: tuple[Path, dict[str, bytes]]
) -> None:
    dataset = load()
    found = rows(dataset)
    assert {name: row["image"]["bytes"] for name, row in found.items()} == made[1]
    name = next(iter(made[1]))
    assert len(found[name]["image"]["bytes"]) > PROFILE
    assert found[name] == {
        "image": {"bytes": made[1][name], "path": "n01443537__art_0.jpg"},
        "caption": "a picture called n01443537 art_0.jpg",
        "label": 0,
        "file_name": "n01443537/art_0.jpg",
        "wnid": "n01443537",
        "class_name": "goldfish",
        "imagenet_index": 1,
        "style": "art",
        "part": found[name]["part"],
    }
    assert (len(dataset["train"]), len(dataset["test"])) == (73, 27)  # of 24,000 and 6,000
    assert dataset["train"].features["label"].names == [cls.wnid for cls in classes.classes()]
    for part in dataset.values():
        assert part["file_name"][:] == sorted(part["file_name"])
        assert part["label"][:] == sorted(part["label"])
    assert {image.mode for image in dataset["train"]["image"]} == {"RGB", "L", "CMYK"}


def test_every_route_gives_the_same(
    load: Callable[..., Any], made: tuple[Path, dict[str, bytes]], cache: Path
) -> None:
    expected = rows(load())
    known = {"data_dir": str(made[0]), "partial": True, "cache_dir": str(cache)}
    assert rows(load_dataset("mm_imagenet_r", "instructblip", **known)) == expected
    assert load_dataset_builder("mm_imagenet_r", **known).config.name == "instructblip"
    assert len(list(cache.rglob("*-train.arrow"))) == 1  # one cached copy for all of them
    assert rows(load(streaming=True)) == expected
    assert rows(load(num_proc=2, cache_dir=str(cache / "two"))) == expected


def test_the_folder_may_come_from_the_environment(
    load: Callable[..., Any],
    made: tuple[Path, dict[str, bytes]],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(CATALOG["mm_imagenet_r"].environment, str(made[0]))
    found = load("short", data_dir=None)
    assert set(found["train"]["caption"]) == {"a goldfish, maybe"}
    options = {"partial": True, "cache_dir": str(cache)}
    for bare in (mm_imagenet_r.load(**options), load_dataset("mm_imagenet_r", **options)):
        assert rows(bare) == rows(load())
    assert caplog.records == []


def test_without_a_folder_mini_is_drawn_and_said_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bare = (mm_imagenet_r.load(), load_dataset("mm_imagenet_r"))
    assert [set(data["test"]["class_name"]) for data in bare] == [
        {cls.name for cls in mini.classes()}
    ] * 2
    said = [record.getMessage() for record in caplog.records if record.name == "mm_imagenet_r"]
    assert len(said) == len(bare)
    assert all("\n" not in line and "MM_IMAGENET_R_DATA_DIR" in line for line in said)
    caplog.clear()
    mm_imagenet_r.load("mini")
    assert caplog.records == []
    with pytest.raises(UserError, match="needs data_dir"):  # a split means the real data
        mm_imagenet_r.load(split_name="coda")


def test_each_split_is_a_cut_of_its_own_and_named(load: Callable[..., Any]) -> None:
    seen = {}
    for name in (None, "coda", "seeded"):
        dataset = load(split_name=name)
        seen[name] = dataset["test"]["file_name"][:]
        assert len(dataset["train"]) + len(dataset["test"]) == 100
        described = dataset["train"].info.description
        assert f"split {name or 'seed42'}; split_sha256 " in described
        assert "captions instructblip; caption_set " in described
    assert len({tuple(names) for names in seen.values()}) == 3


def test_pilots_folders_are_a_split_already(
    load: Callable[..., Any], made: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    folder = tmp_path / "pilot"
    for name, data in made[1].items():
        part = "test" if "_1" in name else "train"
        write_folder(folder / "imagenet-r" / part, [(name, data)])
    (folder / "captions").symlink_to(made[0] / "captions")
    dataset = load(data_dir=folder)
    assert set(dataset["test"]["file_name"]) == {name for name in made[1] if "_1" in name}
    assert {n: row["image"]["bytes"] for n, row in rows(dataset).items()} == made[1]
    assert "split folder; split_sha256 " in dataset["train"].info.description
    again = load(data_dir=folder, split_name="seed42")
    assert again["test"]["file_name"][:] == load()["test"]["file_name"][:]


def test_what_a_result_should_name(made: tuple[Path, dict[str, bytes]]) -> None:
    source = find_source("short", str(made[0]), "coda", partial=True)
    facts = source.provenance()
    assert {key: facts[key] for key in ("captions", "split")} == {
        "captions": "short",
        "split": "coda",
    }
    assert re.fullmatch("[0-9a-f]{64}", facts["split_sha256"])
    others = [
        find_source("instructblip", str(made[0]), "coda", partial=True),
        find_source("short", str(made[0]), "seeded", partial=True),
    ]
    assert len({other.identity() for other in [source, *others]}) == 3


def test_masked_captions_do_not_name_the_class(load: Callable[..., Any]) -> None:
    raw, masked = load("short"), load("short-masked")
    of_goldfish = [row["caption"] for row in masked["train"] if row["label"] == 0]
    others = [row["caption"] for row in masked["train"] if row["label"] == 5]
    assert of_goldfish
    assert not any("goldfish" in caption for caption in of_goldfish)
    assert set(others) == {"a goldfish, maybe"}
    assert set(raw["train"]["caption"]) == {"a goldfish, maybe"}


def test_missing_images_are_named_unless_that_is_wanted(load: Callable[..., Any]) -> None:
    with pytest.raises(
        UserError, match=r"has 100 of ImageNet-R's 30,000 images; missing: all \d+ images of n"
    ):
        load(partial=False)


@pytest.fixture
def complete(made: tuple[Path, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the images of `made` be all that were published."""
    monkeypatch.setattr(classes, "missing", lambda names: [])
    monkeypatch.setattr("mm_imagenet_r.splits.image_names", lambda: tuple(made[1]))


@pytest.fixture
def broken(made: tuple[Path, dict[str, bytes]], tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """The images of `made` in folders, three of them broken, and what these three were."""
    names = [sorted(made[1])[number] for number in (1, 7, -1)]
    whole = {name: made[1][name] for name in names}
    wrong = dict(zip(names, (b"<html>", b"", bomb(whole[names[2]])), strict=True))
    folder = tmp_path / "broken"
    write_folder(folder, {**made[1], **wrong}.items())
    (folder / "captions").symlink_to(made[0] / "captions")
    return folder, whole


@pytest.mark.usefixtures("complete")
def test_files_that_are_no_images_are_named_at_once(
    broken: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    (folder, whole), cache = broken, str(tmp_path / "cache")
    first, second, third = whole
    message = (
        rf"3 files of {folder} cannot be used: {first} is not an image that Pillow can read, "
        rf"{second} is empty \(0 bytes\), {third} .*decompression bomb.*leave them out .*--partial"
    )
    for num_proc in (None, 2):
        with pytest.raises(UserError, match=message):
            mm_imagenet_r.load("short", data_dir=folder, cache_dir=cache, num_proc=num_proc)
    assert not list(tmp_path.rglob("*.arrow"))
    with pytest.raises(UserError, match=message):
        list(mm_imagenet_r.load("short", "train", data_dir=folder, streaming=True))


@pytest.mark.usefixtures("complete")
def test_files_that_are_no_images_are_left_out_and_come_back(
    broken: tuple[Path, dict[str, bytes]], tmp_path: Path, load: Callable[..., Any]
) -> None:
    folder, whole = broken

    def found(**options: Any) -> set[str]:
        dataset = load("short", data_dir=folder, **options)
        return {name for part in dataset.values() for name in part["file_name"][:]}

    with pytest.warns(UserWarning, match=rf"left out: . files? of {folder}: n\d+") as warned:
        some = found()
    assert sum(len([name for name in whole if name in str(w.message)]) for w in warned) == 3
    assert len(some) == 97
    assert not some & set(whole)
    with pytest.raises(UserError, match="3 files of"):  # and not the copy that lacks them
        found(partial=False)
    write_folder(folder, whole.items())
    assert found() == some | set(whole)


def folder_of(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_caption_sets_that_do_not_fit(
    load: Callable[..., Any], made: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    names = list(made[1])
    folder = folder_of(tmp_path / "mine")
    (folder / "imagenet-r.tar").symlink_to(made[0] / "imagenet-r.tar")
    with pytest.raises(UserError, match=r"there is none\. Make one with"):
        load("mine", data_dir=folder)
    place = folder / "captions"
    write_captions(place / "less.csv", plain_captions(names[2:]))
    write_captions(place / "twice.csv", plain_captions(names))
    with (place / "twice.csv").open("a") as file:
        file.write(f"{names[0]},again\n")
    for fingerprint in ("aaaa", "bbbb"):
        folder_of(place / "several" / fingerprint)
        (place / "several" / fingerprint / "captions.parquet").write_bytes(b"PAR1")
    for name, message in (
        ("less", rf"no caption for 2 of 100 images: {names[0]}, {names[1]}\. Its column"),
        ("twice", f"more than one row for {names[0]}"),
        (
            "several",
            r"none of the 2 caption sets in .* have captions of all 100 images\. Name one: ",
        ),
        ("lesss", "did you mean 'less'"),
        ("lesss-masked", "did you mean 'less'"),
    ):
        with pytest.raises(UserError, match=message):
            load(name, data_dir=folder)


def caption_set(
    place: Path, fingerprint: str, captions: Mapping[str, str | None], **facts: Any
) -> Path:
    """Write a finished caption set; where the caption is None the captioner failed."""
    info = {"fingerprint": fingerprint, "model": "m", "revision": None, "prompt": "p", **facts}
    table = pa.table(
        {
            "file_name": list(captions),
            "caption": list(captions.values()),
            "error": ["out of memory" if text is None else None for text in captions.values()],
        }
    )
    path = folder_of(place / fingerprint) / "captions.parquet"
    metadata = {"mm_imagenet_r": json.dumps(info)}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


@pytest.fixture
def folder(made: tuple[Path, dict[str, bytes]], tmp_path: Path) -> Path:
    """The images of `made` without captions."""
    place = folder_of(tmp_path / "mine")
    (place / "imagenet-r.tar").symlink_to(made[0] / "imagenet-r.tar")
    return place


def test_of_several_caption_sets_the_whole_one_is_taken_or_the_named_one(
    load: Callable[..., Any], made: tuple[Path, dict[str, bytes]], folder: Path
) -> None:
    place, names = folder / "captions" / "several", list(made[1])
    caption_set(place, "0123aaaa4567", dict.fromkeys(names[:50], "a goldfish"), prompt="What?")
    caption_set(place, "0123bbbb4567", dict.fromkeys(names, "a goldfish, whole"))
    assert set(load("several", data_dir=folder)["train"]["caption"]) == {"a goldfish, whole"}
    caption_set(place, "cccc", dict.fromkeys(names, "other"))
    assert set(load("several@c", data_dir=folder)["train"]["caption"]) == {"other"}
    masked = load("several@0123b-masked", data_dir=folder)
    assert "an object, whole" in {caption.lower() for caption in masked["train"]["caption"]}
    streamed = load("several@0123b", data_dir=folder, streaming=True)
    assert next(iter(streamed["test"]))["caption"] == "a goldfish, whole"
    known = (
        r"Name one: several@0123aaaa \(m, \"What\?\", 50 captions\); "
        r"several@0123bbbb \(m, \"p\", 100 captions\); several@cccc \(m, \"p\", 100 captions\)$"
    )
    for name, message in (
        ("several", "2 of the 3 caption sets in .* have captions of all 100 images"),
        ("several@0123", "2 of the 3 .* have a fingerprint that begins with '0123'"),
        ("several@d", "none of the 3 .* have a fingerprint that begins with 'd'"),
    ):
        with pytest.raises(UserError, match=rf"{message}\. {known}"):
            load(name, data_dir=folder)
    with pytest.raises(UserError, match="no caption for 50 of 100 images"):
        load("several@0123a", data_dir=folder)
    with pytest.raises(UserError, match="did you mean 'several'"):
        load("severl@0123a", data_dir=folder)


def test_a_caption_set_is_named_by_its_recipe_and_by_what_it_says(
    made: tuple[Path, dict[str, bytes]], folder: Path
) -> None:
    captions: dict[str, str | None] = {**dict.fromkeys(made[1], "a goldfish")}

    def found(name: str = "set") -> str:
        return find_source(name, str(folder), partial=True).provenance()["caption_set"]

    path = caption_set(folder / "captions" / "set", "0123", captions)
    whole, masked = found(), found("set-masked")
    assert re.fullmatch("0123-[0-9a-f]{8}", whole)
    assert re.fullmatch("0123-[0-9a-f]{8}", masked)
    assert whole != masked
    assert whole == read_captions(path).identity
    path.unlink()
    path.parent.rmdir()
    caption_set(folder / "captions" / "set", "0123", {**captions, next(iter(captions)): "a fish"})
    assert found() not in (whole, masked)


def test_how_captions_were_made_is_told(made: tuple[Path, dict[str, bytes]], folder: Path) -> None:
    facts = {"backend": "served", "decoding": {"top_p": 0.5, "num_beams": 5}, "max_side": 1024}
    caption_set(folder / "captions" / "set", "0123", dict.fromkeys(made[1], "x"), **facts)
    source = find_source("set", str(folder), partial=True)
    told = source.provenance()
    assert {key: told[key] for key in ("model", "prompt", *facts)} == {
        "model": "m",
        "prompt": "p",
        "backend": "served",
        "decoding": "num_beams=5 top_p=0.5",
        "max_side": "1024",
    }
    assert "revision" not in told
    assert "fingerprint" not in told
    assert "model m; prompt p; split seed42" in source.description()
    assert "29,900 images are absent" in source.description()


def test_an_export_is_a_source_with_the_same_identity(
    load: Callable[..., Any],
    made: tuple[Path, dict[str, bytes]],
    folder: Path,
    tmp_path: Path,
) -> None:
    captions: dict[str, str | None] = {name: f"a goldfish {name}" for name in made[1]}
    captions[next(iter(captions))] = None
    caption_set(folder / "captions" / "set", "0123", captions, dtype="float16")
    write_captions(folder / "captions" / "plain.csv", plain_captions(made[1]))
    out = tmp_path / "exported"
    for name in ("set", "set-masked", "set@01", "plain"):
        source = find_source(name, str(folder), partial=True)
        data = load(name, data_dir=folder)
        export(out, name, data, source.provenance(), report=lambda _: None)
        again = find_source(name, str(out), partial=True)
        for key in source.provenance().keys() - {"split", "split_sha256"}:
            assert again.provenance()[key] == source.provenance()[key], (name, key)
        assert again.provenance().keys() == source.provenance().keys()
        assert (
            read_captions(out / "captions" / f"{name}.parquet").identity
            == (source.provenance()["caption_set"])
        )
        plain = load_dataset(str(out), name, cache_dir=str(tmp_path / "cache"))
        assert plain["test"][:] == load(name, data_dir=out)["test"][:]


@pytest.mark.usefixtures("complete")
def test_many_images_without_captions_are_refused(
    made: tuple[Path, dict[str, bytes]], folder: Path
) -> None:
    names = list(made[1])
    texts = dict.fromkeys(names, "x")
    caption_set(folder / "captions" / "one", "0123", {**texts, names[3]: None})
    assert find_source("one", str(folder)).provenance()["empty_captions"] == "1"
    caption_set(folder / "captions" / "two", "0123", {**texts, names[3]: None, names[4]: None})
    with pytest.raises(
        UserError,
        match=rf"no caption for 2 of 100 images, such as {names[3]} \(out of .*--retry-er",
    ):
        find_source("two", str(folder))
    allowed = find_source("two", str(folder), partial=True)
    assert allowed.provenance()["empty_captions"] == "2"


@pytest.mark.usefixtures("complete")
def test_empty_captions_are_counted_and_many_are_refused(
    made: tuple[Path, dict[str, bytes]], folder: Path
) -> None:
    texts = plain_captions(made[1])
    names, place = list(texts), folder / "captions"
    write_captions(place / "one.csv", {**texts, names[3]: ""})
    assert "empty_captions 1" in find_source("one", str(folder)).description()
    write_captions(place / "two.csv", {**texts, names[3]: "", names[4]: ""})
    with pytest.raises(
        UserError,
        match=rf"no caption for 2 of 100 .*{names[3]} \(an empty text\)\. Write .*--partial",
    ):
        find_source("two", str(folder))
    partial = find_source("two", str(folder), partial=True)
    assert "empty_captions 2" in partial.description()
    (place / "none.jsonl").write_text(
        "".join(json.dumps({"file_name": name, "caption": None}) + "\n" for name in names)
    )
    with pytest.raises(UserError, match=r"no caption for 100 of 100 .*Write the texts it lacks$"):
        find_source("none", str(folder), partial=True)


def test_two_caption_sets_of_one_name_are_refused(
    made: tuple[Path, dict[str, bytes]], folder: Path
) -> None:
    place = folder / "captions"
    write_captions(place / "mine.csv", plain_captions(made[1]))
    write_captions(place / "other.csv", plain_captions(made[1]))
    (place / "mine.jsonl").write_text("")
    for name in ("mine", "mine-masked"):
        with pytest.raises(UserError, match=r"'mine' may be .*/mine\.csv or .*/mine\.jsonl: keep"):
            find_source(name, str(folder), partial=True)
    assert find_source("other", str(folder), partial=True).provenance()["captions"] == "other"
    (place / "mine.jsonl").unlink()
    folder_of(place / "mine")
    with pytest.raises(UserError, match=r"'mine' may be .*/mine or .*/mine\.csv: keep"):
        find_source("mine@0123", str(folder), partial=True)


def test_folders_that_are_something_else(
    made: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is not a folder: give the one that holds"):
        find_source("x", str(tmp_path / "absent"))
    strange = folder_of(tmp_path / "strange")
    folder_of(strange / "cats").joinpath("art_0.jpg").write_bytes(b"x")
    (strange / "captions").symlink_to(made[0] / "captions")
    with pytest.raises(UserError, match=r"not ImageNet-R: cats is not a class of ImageNet-R\."):
        find_source("short", str(strange), partial=True)


def test_splits_are_found_beside_the_images(made: tuple[Path, dict[str, bytes]]) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"  # or this could be the network's doing
    names = open_images(made[0]).names
    split = imagenet_r.find_imagenet_r("short", str(made[0]), "coda", partial=True).split
    assert sorted((*split.train, *split.test)) == names


def test_a_caption_set_of_other_images_is_refused(
    made: tuple[Path, dict[str, bytes]], load: Callable[..., Any], tmp_path: Path
) -> None:
    folder, files = tmp_path / "data", dict(made[1])
    write_folder(folder, files.items())
    columns = {
        "file_name": list(files),
        "caption": list(plain_captions(files).values()),
        "sha256": [hashlib.sha256(data).hexdigest() for data in files.values()],
    }
    (folder / "captions").mkdir()
    info = {METADATA_KEY: json.dumps({"fingerprint": "0123"})}
    pq.write_table(pa.table(columns, metadata=info), folder / "captions" / "set.parquet")
    assert len(rows(load("set", data_dir=folder))) == len(files)
    first, second = list(files)[-2:]
    (folder / first).write_bytes(files[second])
    with pytest.raises(UserError, match=rf"\(changed: {first}\): caption these images again"):
        load("set", data_dir=folder)


def test_a_caption_set_of_a_name_that_no_cache_can_have_is_refused(
    made: tuple[Path, dict[str, bytes]], load: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "imagenet-r.tar").symlink_to(made[0] / "imagenet-r.tar")
    write_captions(tmp_path / "captions" / "a?b.csv", plain_captions(made[1]))
    with pytest.raises(
        UserError, match=r"caption set 'a\?b' cannot be loaded, .* have a \?: rename"
    ):
        load("a?b", data_dir=tmp_path)
