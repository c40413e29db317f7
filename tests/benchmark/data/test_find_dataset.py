from __future__ import annotations

from collections import Counter
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photos import picture, two_classes

from benchmark.data import ColumnNames, open_data
from mm_imagenet_r import mini
from mm_imagenet_r.errors import UserError


@pytest.mark.parametrize(("edition", "train"), [("mini", 120), ("mini-1", 50)])
def test_mini_needs_no_options(edition: str, train: int) -> None:
    data = open_data(edition)
    assert (data.num_classes, data.captions, data.name) == (40, edition, edition)
    assert set(Counter(data.train.labels.tolist()).values()) == {train}
    assert set(Counter(data.test.labels.tolist()).values()) == {20}
    assert data.test[0].caption
    known, folder = mini.classes(mini.EDITIONS[edition]), data.test[0].file_name.partition("/")[0]
    name = next(cls.name for cls in known if cls.wnid == folder)
    assert data.class_names[data.test[0].label] == name
    assert data.notes == ()
    assert data.data_sha256 == open_data(edition).data_sha256


@pytest.mark.parametrize("shown", [True, False])
def test_the_progress_bars_of_datasets_are_left_as_they_were(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    rows = {"image": [picture(str(n)) for n in range(4)], "label": [0, 1, 0, 1]}
    pq.write_table(pa.table(rows), tmp_path / "new.parquet")
    (datasets.enable_progress_bars if shown else datasets.disable_progress_bars)()
    try:
        open_data(str(tmp_path / "new.parquet"))
        assert datasets.are_progress_bars_disabled() != shown
    finally:
        datasets.enable_progress_bars()
    assert capfd.readouterr() == ("", "")


def test_a_name_comes_before_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_classes(tmp_path / "mini")
    monkeypatch.chdir(tmp_path)
    assert open_data("mini").num_classes == 40
    assert open_data("./mini").num_classes == 2
    with pytest.raises(UserError, match=r"leave out the --\.\.\.-column options"):
        open_data("mini", columns=ColumnNames(label="wnid"))


def test_captions_of_mini_can_be_replaced(tmp_path: Path) -> None:
    captions = tmp_path / "mine.csv"
    key = open_data("mini").train[0].file_name
    captions.write_text(f"file_name,caption\n{key},something new\n")
    data = open_data("mini", captions=captions)
    assert data.train[0].caption == "something new"
    assert data.captions == "mine.csv"
    assert "5599 of 5600 images have no caption: empty texts" in data.notes


def test_unknown_names_are_told_from_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'mini'"):
        open_data("minni")
    with pytest.raises(UserError, match="--dataset is empty"):
        open_data("")
    (tmp_path / "a.parquet").touch()
    with pytest.raises(UserError, match="a file has no configurations, leave 'x' out"):
        open_data(f"{tmp_path}/a.parquet:x")
    with pytest.raises(UserError, match="no such folder"):
        open_data(str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="bad-images"):
        open_data("mini", bad_images="ignore")


def test_only_data_sets_on_the_hub_have_revisions(tmp_path: Path) -> None:
    two_classes(tmp_path / "photos")
    for name in ("mini", "mm_imagenet_r", "upmc_food101", str(tmp_path / "photos")):
        with pytest.raises(UserError, match=f"{name} has no revisions.*: give --dataset {name}$"):
            open_data(f"{name}@v1.0")
    two_classes(tmp_path / "photos@v1.0")
    assert open_data(str(tmp_path / "photos@v1.0")).num_classes == 2


@pytest.mark.parametrize("more", ["", ":some.thing", "@refs/pr/1", "@v1:instructblip@0123-masked"])
def test_hub_offline_is_said_at_once(more: str) -> None:
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE is set and the cache .* unset that"):
        open_data(f"nobody-of-this-name/no-such-set{more}")
