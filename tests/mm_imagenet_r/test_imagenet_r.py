"""From a tar and a caption set to `load_dataset`, on a few true names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Image, load_dataset, load_dataset_builder

import mm_imagenet_r
from mm_imagenet_r import classes, imagenet_r, tar_index
from mm_imagenet_r.archive import open_images
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.sources import find_source
from tests.standin import (
    PROFILE,
    first_of_each_class,
    image_files,
    plain_captions,
    true_names,
    write_captions,
    write_folder,
    write_tar,
)


@pytest.fixture(scope="module")
def made(
    shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, bytes]]:
    """A data folder with five images a class of the first 20 classes, and these images."""
    folder = tmp_path_factory.mktemp("data")
    names = first_of_each_class(true_names(shared_data("coda_split")), 5)[:100]
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
    monkeypatch.setattr(tar_index, "cache_folder", lambda: tmp_path / "index")
    monkeypatch.delenv(imagenet_r.ENVIRONMENT, raising=False)
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
        "style": "art",
        "part": found[name]["part"],
    }
    assert (len(dataset["train"]), len(dataset["test"])) == (80, 20)
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
    load: Callable[..., Any], made: tuple[Path, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(imagenet_r.ENVIRONMENT, str(made[0]))
    found = load("short", data_dir=None)
    assert set(found["train"]["caption"]) == {"a goldfish, maybe"}
    assert mm_imagenet_r.load(split="test[:1]")["wnid"][0].startswith("m")  # mini all the same


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


def test_what_is_no_image_is_named(
    made: tuple[Path, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "n01443537/art_1.jpg"
    for data, message in (
        (b"<html>", f"{name} of .* is not an image that Pillow can read: repair or remove"),
        (b"", r"is empty \(0 bytes\)"),
        (bomb(made[1][name]), "decompression bomb"),
    ):
        folder = tmp_path / str(len(data))
        write_tar(folder_of(folder) / "imagenet-r.tar", {**made[1], name: data}.items())
        (folder / "captions").symlink_to(made[0] / "captions")
        for num_proc in (None, 2):
            with pytest.raises(UserError, match=message):
                mm_imagenet_r.load(
                    data_dir=folder, partial=True, cache_dir=str(tmp_path), num_proc=num_proc
                )
    assert not list(tmp_path.rglob("*.arrow"))


def folder_of(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def bomb(small: bytes) -> bytes:
    """The same JPEG, with a header that speaks of 65,500 x 65,500 pixels."""
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + (65_500).to_bytes(2, "big") * 2 + small[at + 4 :]


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
        ("several", "holds 2 caption sets"),
        ("lesss", "did you mean 'less'"),
        ("lesss-masked", "did you mean 'less'"),
    ):
        with pytest.raises(UserError, match=message):
            load(name, data_dir=folder)


def test_folders_that_are_something_else(
    made: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is no folder: give the one that holds"):
        find_source("x", str(tmp_path / "absent"))
    strange = folder_of(tmp_path / "strange")
    folder_of(strange / "cats").joinpath("art_0.jpg").write_bytes(b"x")
    (strange / "captions").symlink_to(made[0] / "captions")
    with pytest.raises(UserError, match=r"not ImageNet-R: cats is no class of ImageNet-R\. Give"):
        find_source("short", str(strange), partial=True)


def test_splits_are_found_beside_the_images(made: tuple[Path, dict[str, bytes]]) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"  # or this could be the network's doing
    names = open_images(made[0]).names
    split = imagenet_r.find("short", str(made[0]), "coda", partial=True).split
    assert sorted((*split.train, *split.test)) == names
