from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from photos import picture

from benchmark.data import ColumnNames, open_data
from mm_imagenet_r.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def table(count: int = 6, **columns: Any) -> dict[str, Any]:
    """Columns of `count` rows of two classes, the images as plain bytes."""
    rows = {
        "image": [picture(f"{n}") for n in range(count)],
        "label": [n % 2 for n in range(count)],
        "caption": [f"number {n}" for n in range(count)],
    }
    return {name: column for name, column in {**rows, **columns}.items() if column is not None}


def parquet(path: Path, **columns: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table(**columns)), path)
    return str(path)


def ours(count: int = 6) -> Dataset:
    """A data set as this project writes it."""
    features = Features(
        {
            "image": Image(),
            "caption": Value("string"),
            "label": ClassLabel(names=["n02", "n01"]),
            "file_name": Value("string"),
            "wnid": Value("string"),
        }
    )
    keys = [f"n0{2 - n % 2}/art_{n}.jpg" for n in range(count)]
    rows = table(count, file_name=keys, wnid=[key[:3] for key in keys])
    rows["image"] = [{"bytes": picture(key), "path": None} for key in keys]
    return Dataset.from_dict(rows, features=features)


def test_a_parquet_file_of_plain_bytes_is_cut(tmp_path: Path) -> None:
    data = open_data(parquet(tmp_path / "photos.parquet"))
    assert data.class_names == ("0", "1")
    assert (len(data.train), len(data.test)) == (4, 2)
    assert data.captions == "caption"
    samples = {s.file_name: s for part in (data.train, data.test) for s in part}
    assert sorted(samples) == [f"train/{n}" for n in range(6)]
    assert samples["train/3"].image == picture("3")
    assert samples["train/3"].caption == "number 3"
    assert samples["train/3"].label == 1


def test_a_folder_written_by_us_needs_no_options(tmp_path: Path) -> None:
    parts = DatasetDict({"train": ours(6), "test": ours(8).select([6, 7])})
    for part, dataset in parts.items():
        path = tmp_path / f"data/mini/{part}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.to_parquet(path)
    folders = [str(tmp_path)]
    (tmp_path / "classes.json").write_text("[1]")  # must not be taken for the data
    bare = open_data(folders[0])
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: mini\n  data_files:\n  - split: train\n"
        "    path: data/mini/train-*.parquet\n  - split: test\n    path: data/mini/test-*.parquet\n"
        "---\nCard\n"
    )
    card = open_data(folders[0])
    named = open_data(f"{folders[0]}:mini")
    parts.save_to_disk(tmp_path / "saved")
    saved = open_data(str(tmp_path / "saved"))
    for data in (bare, card, named, saved):
        assert data.class_names == ("n02", "n01")
        assert data.train.file_names == ours(6)["file_name"][:]
        assert data.test.file_names == ["n02/art_6.jpg", "n01/art_7.jpg"]
        assert data.train[1].image == picture("n01/art_1.jpg")
        assert data.data_sha256 == bare.data_sha256
    with pytest.raises(UserError, match=r"could not be loaded.*other"):
        open_data(f"{folders[0]}:other")


def test_a_selection_is_read_in_its_own_order(tmp_path: Path) -> None:
    ours(6).select([5, 0, 3, 2]).save_to_disk(tmp_path / "saved")
    data = open_data(str(tmp_path / "saved"), test_fraction=0.5)
    samples = [s for part in (data.train, data.test) for s in part]
    assert {s.file_name: s.label for s in samples} == {
        "n01/art_5.jpg": 1,
        "n02/art_0.jpg": 0,
        "n01/art_3.jpg": 1,
        "n02/art_2.jpg": 0,
    }
    assert all(s.image == picture(s.file_name) for s in samples)


def test_classes_by_name_and_by_number(tmp_path: Path) -> None:
    words = ["dog", "cat", "dog", "cat", "eel", "eel"]
    data = open_data(parquet(tmp_path / "a.parquet", label=None, wnid=words))
    assert data.class_names == ("cat", "dog", "eel")
    data = open_data(parquet(tmp_path / "b.parquet", label=[10, 9, 10, 9, -3, -3]))
    assert data.class_names == ("-3", "9", "10")


def test_classes_that_do_not_occur_are_left_out(tmp_path: Path) -> None:
    features = ours(4).features
    features["label"] = ClassLabel(names=["a", "b", "c", "d"])
    rows = {**ours(4)[:], "label": [3, 1, 3, 1]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "x.parquet")
    assert open_data(str(tmp_path / "x.parquet")).class_names == ("b", "d")


def test_columns_are_found_by_type_or_named_by_the_user(tmp_path: Path) -> None:
    rows = {
        "image": None,
        "caption": None,
        "pixels": [picture(f"{n}") for n in range(6)],
        "text": ["x"] * 6,
        "fine": ["a", "a", "b", "b", "c", "c"],
    }
    path = parquet(tmp_path / "a.parquet", **rows)
    data = open_data(path)
    assert (data.captions, data.num_classes) == ("text", 2)
    data = open_data(path, columns=ColumnNames(label="fine", caption="fine", file_name=None))
    assert (data.captions, data.num_classes) == ("fine", 3)
    with pytest.raises(UserError, match="no column 'fin': did you mean 'fine'"):
        open_data(path, columns=ColumnNames(label="fin"))
    with pytest.raises(UserError, match=r"'text' cannot be the image.*pixels .binary."):
        open_data(path, columns=ColumnNames(image="text"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"image": None},
            r"clearly the image; its columns are label \(int64\), caption \(string\)",
        ),
        ({"image": None, "a": [b""] * 6, "b": [b""] * 6}, "several columns .* the image .a, b."),
        ({"label": None}, "clearly the label.*--label-column"),
        ({"label": None, "wnid": ["x"] * 6, "class": ["x"] * 6}, "several.* label .wnid, class."),
        ({"caption": None, "blip": ["x"] * 6}, "clearly the caption.*--caption-column"),
        ({"label": [0, 1, 0, None, 1, None]}, "2 of 6 rows have no label"),
        ({"file_name": ["a", "b", "a", "c", "d", "b"]}, "more than once: a, b"),
        ({"image": [picture("0"), None] * 3}, r"(?s)3 images of .*train/5 is empty"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_data(parquet(tmp_path / "photos.parquet", **columns))


def test_images_without_any_text_are_accepted(tmp_path: Path) -> None:
    path = parquet(tmp_path / "photos.parquet", caption=None)
    data = open_data(path)
    assert data.captions == "none"
    assert any("no captions" in note for note in data.notes)
    captions = tmp_path / "captions.csv"
    captions.write_text("file_name,caption\n" + "".join(f"train/{n},no {n}\n" for n in range(6)))
    told = open_data(path, captions=captions)
    assert told.captions == "captions.csv"
    assert {s.caption for s in told.test} <= {f"no {n}" for n in range(6)}


def test_captions_replace_a_column(tmp_path: Path) -> None:
    captions = tmp_path / "mine.csv"
    captions.write_text("file_name,caption\ntrain/0,mine\n")
    data = open_data(parquet(tmp_path / "photos.parquet"), captions=captions)
    texts = {s.file_name: s.caption for part in (data.train, data.test) for s in part}
    assert texts["train/0"] == "mine"
    assert texts["train/1"] == ""


def test_parts_are_taken_from_file_names(tmp_path: Path) -> None:
    parquet(tmp_path / "train-0.parquet")
    parquet(tmp_path / "validation-0.parquet", count=2)
    data = open_data(str(tmp_path))
    assert (len(data.train), len(data.test)) == (6, 2)
    assert data.test.file_names == ["validation/0", "validation/1"]


def test_parts_must_be_alike_and_one_must_be_for_training(tmp_path: Path) -> None:
    one = ours(4)
    other = one.rename_column("caption", "text")
    DatasetDict({"train": one, "test": other}).save_to_disk(tmp_path / "a")
    with pytest.raises(UserError, match="differ between its parts"):
        open_data(str(tmp_path / "a"))
    DatasetDict({"east": one, "west": one}).save_to_disk(tmp_path / "b")
    with pytest.raises(UserError, match="none of them is called train"):
        open_data(str(tmp_path / "b"))


def test_hidden_test_labels_are_refused(tmp_path: Path) -> None:
    features = ours(4).features
    rows = {**ours(4)[:], "label": [-1, -1, 0, 1]}
    Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "a")
    with pytest.raises(UserError, match="2 of 4 rows have no label"):
        open_data(str(tmp_path / "a"))


def test_a_broken_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "photos.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match=r"could not be loaded.*check that the file is whole"):
        open_data(str(path))


def test_an_unreachable_hub_is_said_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        open_data("nobody/nothing")
