"""MM-ImageNet-R and UPMC Food-101 by their names, from small stand-ins of their files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running import Call, folders
from standin import (
    first_of_each_class,
    image_files,
    plain_captions,
    write_captions,
    write_folder,
    write_tar,
)

from benchmark import results
from benchmark.data import DatasetOptions, open_data
from benchmark.results.tables import by_budget, table
from benchmark.results.verify import verify
from mm_imagenet_r import imagenet_r, splits
from mm_imagenet_r.builder import MMImageNetR
from mm_imagenet_r.catalog import CATALOG
from mm_imagenet_r.classes import classes, image_names
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.open_images import open_images

NAMES = first_of_each_class(image_names()[::7], 12)[12:60]


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return dict(image_files(NAMES))


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path, own_caches: None) -> Path:
    """ImageNet-R of four classes with two caption sets; caches of its own."""
    place = tmp_path / "data"
    place.mkdir()
    write_tar(place / "imagenet-r.tar", files.items())
    write_captions(place / "captions" / "instructblip.csv", plain_captions(NAMES))
    write_captions(place / "captions" / "short.csv", dict.fromkeys(NAMES, "a shark, maybe"))
    return place


def food(place: Path) -> Path:
    """UPMC Food-101 of two classes; one image that its tables name is not there."""
    for part, numbers in {"train": range(4), "test": range(4, 6)}.items():
        rows = [(f"{cls}_{n}.jpg", cls) for cls in ("tacos", "apple_pie") for n in numbers]
        write_folder(place / "images" / part, image_files(f"{cls}/{file}" for file, cls in rows))
        text = "".join(f"{file},A recipe of {cls},{cls}\n" for file, cls in rows)
        (place / "texts").mkdir(exist_ok=True)
        (place / "texts" / f"{part}_titles.csv").write_text(text)
    (place / "class_idx.json").write_text(json.dumps({"tacos": 0, "apple_pie": 1}))
    (place / "images" / "train" / "tacos" / "tacos_0.jpg").unlink()
    return place


def test_images_are_untouched_and_everything_has_a_name(
    folder: Path, files: dict[str, bytes]
) -> None:
    data = open_data("mm_imagenet_r:short", archive=DatasetOptions(folder, partial=True))
    assert data.class_names == ("great white shark", "hammerhead", "stingray", "hen")
    samples = [*data.train, *data.test]
    assert {sample.file_name: sample.image for sample in samples} == files
    wnids = [cls.wnid for cls in classes()[1:5]]
    assert all(sample.file_name.startswith(wnids[sample.label]) for sample in samples)
    assert {sample.caption for sample in samples} == {"a shark, maybe"}
    split = splits.split(open_images(folder), partial=True)
    info = data.info()
    assert (info["split"], info["split_sha256"]) == ("seed42", split.sha256)
    assert info["left_out"] == 30_000 - len(NAMES)
    source = imagenet_r.find_imagenet_r("short", str(folder), partial=True)
    assert (info["captions"], info["captions_id"]) == ("short", source.caption_facts["caption_set"])
    assert data.notes[0] == source.description()


def test_each_split_and_caption_set_is_another_experiment(folder: Path) -> None:
    def infos(name: str, split: str | None) -> tuple[str, str, str]:
        info = open_data(name, archive=DatasetOptions(folder, split, partial=True)).info()
        return info["split"], info["split_sha256"], info["captions_id"]

    one, other = infos("mm_imagenet_r:short", None), infos("mm_imagenet_r:short", "seeded:3")
    masked = infos("mm_imagenet_r:short-masked", None)
    assert other[0] == "seeded:3"
    assert one[1] != other[1]
    assert one[2] == other[2]
    assert masked[:2] == one[:2]


def test_one_of_several_caption_sets(folder: Path, tmp_path: Path, call: Call) -> None:
    for fingerprint, text in (("0123", "a shark"), ("4567", "a hen")):
        place = folder / "captions" / "several" / fingerprint
        place.mkdir(parents=True)
        table = pa.table({"file_name": NAMES, "caption": [text] * len(NAMES)})
        metadata = {"mm_imagenet_r": json.dumps({"fingerprint": fingerprint})}
        pq.write_table(table.replace_schema_metadata(metadata), place / "captions.parquet")
    options = ("--data-dir", folder, "--partial", "--method", "replay", "--backbone", "tiny")
    several = ("--phases", 2, "--epochs", 1, "--dataset", "mm_imagenet_r:several")
    code, _, err = call(*options, *several)
    assert code == 2
    assert "Name one: several@0123 (" in err
    code, _, err = call(*options, *several[:-1], "mm_imagenet_r:several@4")
    assert (code, err) == (0, "")
    (run,) = folders(tmp_path)
    assert results.read(run)["dataset"]["captions"] == "several@4"
    assert results.read(run)["dataset"]["captions_id"].startswith("4567-")


def test_a_run_from_the_archive(
    folder: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CATALOG["mm_imagenet_r"].environment, str(folder))
    options = ("--dataset", "mm_imagenet_r", "--partial", "--phases", 2, "--epochs", 1)
    code, out, err = call(*options, "--method", "replay", "--backbone", "tiny")
    assert (code, err) == (0, "")
    assert "split seed42; split_sha256 " in out
    (run,) = folders(tmp_path)
    assert run.parts[-3].startswith("mm_imagenet_r_instructblip-2phases")
    assert verify(run) == []
    result = results.read(run)
    data = result["dataset"]
    assert (data["name"], data["split"]) == ("mm_imagenet_r:instructblip", "seed42")
    assert data["captions"] == "instructblip"
    assert "great white shark" in result["class_order"]["names"]
    assert "great white shark" in (run / "report.html").read_text()
    ((heading, _),) = by_budget(table([result]))
    assert "split seed42, 29,952 images left out;" in heading
    again = call(*options, "--method", "replay", "--dataset", "mm_imagenet_r:instructblip")
    assert (again[0], folders(tmp_path)) == (0, [run])


def test_food101_with_an_image_missing(tmp_path: Path, folder: Path) -> None:
    place = food(tmp_path)
    with pytest.raises(UserError, match="lacks 1 image that its tables name"):
        open_data("upmc_food101", archive=DatasetOptions(place))
    data = open_data("upmc_food101", archive=DatasetOptions(place, partial=True))
    assert data.class_names == ("tacos", "apple pie")
    info = data.info()
    assert (info["train"], info["test"], info["left_out"]) == (7, 4, 1)
    assert (info["captions"], info["split"]) == ("titles of web pages", "published")
    captions = tmp_path / "mine.csv"
    captions.write_text("file_name,caption\ntacos/tacos_1.jpg,crisp\n")
    mine = open_data("upmc_food101", archive=DatasetOptions(place, partial=True), captions=captions)
    assert mine.info()["captions"] == "mine.csv"
    assert mine.info()["captions_id"] != info["captions_id"]


def test_images_that_cannot_be_used_are_left_out_and_named(
    folder: Path, files: dict[str, bytes], tmp_path: Path, call: Call
) -> None:
    train = splits.split(open_images(folder), partial=True).train
    cut, page = train[3], train[-3]
    (folder / "imagenet-r.tar").unlink()
    write_folder(folder, {**files, cut: files[cut][:-300]}.items())
    options = ("--dataset", "mm_imagenet_r:short", "--data-dir", folder)
    refused = call(*options, "--partial", "--bad-images", "skip")
    assert refused[0] == 2
    assert "--bad-images skip is not for --dataset mm_imagenet_r:short: use --partial" in refused[2]
    write_folder(folder, [(page, b"<html>")])
    run = (*options, "--partial", "--phases", 2, "--epochs", 1, "--method", "replay")
    for _ in range(2):  # the second time from the cache
        code, out, err = call(*run, "--backbone", "tiny")
        assert (code, err) == (0, "")
        assert "2 of 48 images cannot be used and are left out:" in out
        assert f"  {page} is not an image that Pillow can read\n  {cut} does not decode" in out
    (result,) = folders(tmp_path)
    assert results.read(result)["dataset"]["left_out"] == 30_000 - 46
    assert (result / "left_out.txt").read_text().startswith(f"{page} is not an image")
    write_folder(folder, files.items())
    mended = open_data("mm_imagenet_r:short", archive=DatasetOptions(folder, partial=True))
    assert (len(mended.train), mended.left_out) == (len(train), ())


def test_truncated_images_are_refused_with_the_option_that_leaves_them_out(
    folder: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mm_imagenet_r.classes.missing", lambda names: [])
    monkeypatch.setattr(splits, "image_names", lambda: tuple(NAMES))
    cut = NAMES[5]
    write_tar(folder / "imagenet-r.tar", {**files, cut: files[cut][:-300]}.items())
    with pytest.raises(
        UserError, match=rf"{cut} does not decode(.|\n)*leave it out with --partial$"
    ):
        open_data("mm_imagenet_r:short", archive=DatasetOptions(folder))


def test_a_class_without_a_test_image_is_told_how_to_get_one(
    folder: Path, files: dict[str, bytes]
) -> None:
    test = splits.split(open_images(folder), partial=True).test
    (folder / "imagenet-r.tar").unlink()
    lost = {name for name in test if name.partition("/")[0] == test[0].partition("/")[0]}
    write_folder(folder, ((name, data) for name, data in files.items() if name not in lost))
    with pytest.raises(
        UserError, match=r"at least one test image.*seed42 is of the 30,000.*--dataset"
    ):
        open_data("mm_imagenet_r:short", archive=DatasetOptions(folder, partial=True))
    captions = (folder / "captions").rename(folder.parent / "captions") / "short.csv"
    assert open_data(str(folder), captions=captions).num_classes == 4


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("mini", ("--data-dir", "."), "--data-dir is for --dataset mm_imagenet_r or upmc_food101"),
        ("mini", ("--partial",), "leave it out for --dataset mini"),
        ("mini", ("--bad-images", "skip"), "not for --dataset mini: its images are drawn"),
        ("upmc_food101:x", ("--data-dir", "D"), "has no caption sets to name: give --dataset upmc"),
        ("upmc_food101", ("--data-dir", ".", "--split-name", "coda"), "is for --dataset mm_imag"),
        (None, ("--split-name", "coda"), "--split-name is for --dataset mm_imagenet_r: leave it"),
        ("mm_imagenet_r", (), "python -m mm_imagenet_r.download DIR fetches"),
        ("upmc_food101", (), "needs --data-dir DIR: the folder into which it was unpacked"),
        ("mm_imagenet_r:mini", ("--data-dir", "D"), "is not a caption set of mm_imagenet_r: give"),
        ("mm_imagenet_r:shrt", ("--data-dir", "D"), "did you mean 'short'"),
        ("mm_imagenet_r:none", ("--data-dir", "D"), "Make one with python -m mm_imagenet_r.capt"),
        ("mm_imagenet_r", ("--data-dir", "D"), "48 of ImageNet-R's 30,000 images"),
        ("mm_imagenet_r", ("--data-dir", "D", "--captions", "D/x.csv"), "captions/ of its folder"),
        ("mm_imagenet_r", ("--data-dir", "D", "--label-column", "x"), "is not a table"),
        ("mm_imagenet_r", ("--data-dir", "D", "--partial", "--test-fraction", "0.3"), "test part"),
        ("mm_imagenet_r", ("--data-dir", "D", "--partial", "--split-seed", "3"), "test part"),
        ("mm_imagenet_r", ("--data-dir", "D", "--partial", "--split-name", "code"), "'coda'"),
        ("mm_imagenet_r", ("--class-order", "code"), "no class order 'code': did you mean 'coda'"),
        ("mm_imagenet_r", ("--class-order", "pilot:7"), "is --class-order-seed 7: give that"),
        ("mm_imagenet_r", ("--class-order", "natural"), "is --class-order-seed none"),
        ("mini", ("--class-order", "coda"), "is for --dataset mm_imagenet_r only"),
        (
            "mm_imagenet_r",
            ("--class-order", "coda", "--class-order-seed", "7"),
            "are two orders: give one of them",
        ),
        (
            "mm_imagenet_r",
            ("--data-dir", "D", "--partial", "--class-order", "coda:1"),
            "orders 200 classes, the data set has 4",
        ),
    ],
)
def test_options_that_cannot_be_meant(
    dataset: str | None,
    options: tuple[str, ...],
    message: str,
    folder: Path,
    coloured: Path,
    call: Call,
) -> None:
    given = [option.replace("D", str(folder)) for option in options]
    code, _, err = call("--dataset", dataset or str(coloured), *given, "--phases", 2)
    assert code == 2
    assert message in err, err


def test_a_copy_of_a_named_data_set_is_read_as_it_was_made(folder: Path, tmp_path: Path) -> None:
    def sha256() -> str:
        options = DatasetOptions(folder, partial=True)
        return open_data("mm_imagenet_r:short", archive=options).data_sha256

    before = sha256()
    (copy,) = (tmp_path / "hf").rglob("*train.arrow")
    info = copy.with_name("dataset_info.json")
    for file, change in ((copy, (b"a shark", b"a sharp")), (info, (b"{", b"["))):
        whole = file.read_bytes()
        file.write_bytes(whole.replace(*change))
        with pytest.raises(UserError, match=r"mm_imagenet_r/short\S* has a damaged copy .*remove"):
            sha256()
        file.write_bytes(whole)
    copy.with_name("mm_imagenet_r_copy.json").unlink()  # as of an earlier version
    assert sha256() == before
    copy.with_name("mm_imagenet_r_copy.json").unlink()
    copy.write_bytes(copy.read_bytes()[:-3000])
    with pytest.raises(UserError, match="has a damaged copy"):
        sha256()


def test_an_old_copy_of_mini_has_the_data_that_are_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_data("mini")
    made = Path(MMImageNetR(config_name="mini").cache_dir)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    copy = Path(MMImageNetR(config_name="mini").cache_dir)
    shutil.copytree(made, copy, ignore=shutil.ignore_patterns("*seal.json"))
    assert open_data("mini").data_sha256 == before.data_sha256
    (copy / "mm_imagenet_r_copy.json").unlink()
    arrow, caption = copy / "mm_imagenet_r-train.arrow", before.train[0].caption.encode()
    arrow.write_bytes(arrow.read_bytes().replace(caption, caption.upper(), 1))
    asked = []

    def prepare(self: MMImageNetR, download_mode: datasets.DownloadMode | None = None) -> None:
        if download_mode is not None:  # drawing takes long
            asked.append(download_mode)
            shutil.copy(made / arrow.name, arrow)

    monkeypatch.setattr(MMImageNetR, "download_and_prepare", prepare)
    assert [open_data("mini").data_sha256 for _ in range(2)] == [before.data_sha256] * 2
    assert asked == [datasets.DownloadMode.FORCE_REDOWNLOAD]
