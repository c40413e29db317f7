from __future__ import annotations

import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from mm_imagenet_r import caches, hold_out, splits
from mm_imagenet_r.archive import Images
from mm_imagenet_r.classes import classes, image_names
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.orders import class_order

NUMBER = {cls.wnid: label for label, cls in enumerate(classes())}


class Named(Images):
    """Images of which only the names matter."""

    def __init__(self, names: list[str], in_test: str | None = None) -> None:
        parts = {True: "test", False: "train"}
        super().__init__(
            Path("images"),
            [(n, None if in_test is None else parts[in_test in n]) for n in names],
            "",
        )

    def read(self, name: str) -> bytes:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(caches, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def lists(shared_data: Callable[[str], Path]) -> Path:
    return shared_data("coda_split")


@pytest.fixture(scope="module")
def real() -> Named:
    return Named(list(image_names()))


def per_phase(split: splits.Split, sizes: int = 20) -> list[int]:
    """Test images of each phase in order 1993."""
    counts = Counter(NUMBER[name.partition("/")[0]] for name in split.test)
    order = class_order(200)
    return [sum(counts[c] for c in order[i : i + sizes]) for i in range(0, 200, sizes)]


def test_seed42_is_the_split_of_the_published_log(real: Named) -> None:
    split = splits.split(real)
    assert split.name == "seed42"
    assert (len(split.train), len(split.test)) == (24_000, 6_000)
    assert per_phase(split) == [680, 658, 581, 562, 507, 658, 519, 757, 506, 572]
    assert split.sha256 == "2e5b4fe07c531005be86f08fdf82ac889bc4722f63c9fbf32b7551dd96d02124"


def test_coda_is_what_the_lists_say(real: Named, lists: Path) -> None:
    split = splits.split(real, "coda", lists=[lists])
    assert (len(split.train), len(split.test)) == (24_000, 6_000)
    assert per_phase(split) == [697, 650, 581, 530, 543, 633, 559, 718, 496, 593]
    assert per_phase(split, 40) == [1347, 1111, 1176, 1277, 1089]
    train = Counter(name.partition("/")[0] for name in split.train)
    assert (min(train.values()), max(train.values())) == (38, 354)


@given(st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_randperm_is_that_of_torch(n: int, seed: int) -> None:
    expected = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    assert splits.torch_randperm(n, seed) == expected


def test_seeded_takes_a_fifth_of_each_class(real: Named) -> None:
    split = splits.split(real, "seeded")
    test = Counter(name.partition("/")[0] for name in split.test)
    for cls in classes():
        assert abs(test[cls.wnid] - cls.images / 5) <= 0.5
    assert sorted((*split.train, *split.test)) == real.names
    assert splits.split(real, "seeded:1").test != split.test


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("seeded:0", "seeded"), ("seeded:", "seeded"), ("seeded:007", "seeded:7"), ("coda:", "coda")],
)
def test_one_split_has_one_name(name: str, canonical: str, real: Named, lists: Path) -> None:
    assert splits.split(real, name, lists=[lists]) == splits.split(real, canonical, lists=[lists])
    assert splits.split(real, name, lists=[lists]).name == canonical


@pytest.mark.parametrize("name", ["seed42", "coda", "seeded:3"])
def test_absent_images_leave_the_others_where_they_are(name: str, real: Named, lists: Path) -> None:
    whole = splits.split(real, name, lists=[lists])
    for kept in (real.names[1:], [n for n in real.names if "n02" not in n], real.names[:777]):
        split = splits.split(Named(kept), name, lists=[lists], partial=True)
        there = set(kept)
        assert split.test == tuple(n for n in whole.test if n in there)
        assert split.train == tuple(n for n in whole.train if n in there)
        assert split.sha256 != whole.sha256 or set(whole.test) <= there
        with pytest.raises(UserError, match=r"images has .* missing: .*partial=True"):
            splits.split(Named(kept), name, lists=[lists])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.floats(0.01, 0.99), st.randoms())
def test_cut_is_stratified_and_blind_to_order(
    labels: list[int], fraction: float, random: object
) -> None:
    keys = [f"image{i}" for i in range(len(labels))]
    held_out = splits.stratified_cut(labels, keys, fraction, seed=3)
    for label, count in Counter(labels).items():
        taken = sum(out for out, of in zip(held_out, labels, strict=True) if of == label)
        assert taken == min(max(1, int(fraction * count + 0.5)), count - 1)
    order = list(range(len(labels)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [labels[i] for i in order], [keys[i] for i in order]
    again = splits.stratified_cut(*shuffled, fraction, seed=3)
    assert again == [held_out[i] for i in order]


def test_folders_called_train_and_test_are_a_split() -> None:
    images = Named(["a/art_0.jpg", "a/toy_0.jpg", "b/art_0.jpg"], in_test="toy")
    split = splits.split(images)
    assert (split.name, split.test) == ("folder", ("a/toy_0.jpg",))
    true = Named(["n01443537/art_0.jpg", "n01443537/toy_0.jpg"], in_test="toy")
    assert splits.split(true, "seed42", partial=True).name == "seed42"


def test_lists_are_fetched_once_and_checked(
    real: Named, lists: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="forbids the download: put it beside the images"):
        splits.split(real, "coda")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(splits, "_CODA_URL", "http://127.0.0.1:9/")
    monkeypatch.setattr("mm_imagenet_r.fetch.time.sleep", lambda seconds: None)
    with pytest.raises(UserError, match="cannot be downloaded"):
        splits.split(real, "coda")
    shutil.copytree(lists, cache / "coda", dirs_exist_ok=True)
    assert len(splits.split(real, "coda").test) == 6_000
    listed = cache / "coda" / "imagenet-r_test.yaml"
    listed.chmod(0o644)
    listed.write_text(listed.read_text().replace("tattoo_75", "tattoo_76"))
    with pytest.raises(UserError, match="is not the published list"):
        splits.split(real, "coda")
    listed.unlink()
    os.mkfifo(listed)
    with pytest.raises(UserError, match=r"cannot be read \(it is a pipe, not a file"):
        splits.split(real, "coda")


@pytest.mark.parametrize("name", ["seed42", "coda", "seeded"])
def test_images_of_something_else_are_not_cut(name: str, real: Named, lists: Path) -> None:
    strange = Named([*real.names, "n01443537/art_77.jpg"])
    with pytest.raises(UserError, match=r"ImageNet-R: n01443537/art_77\.jpg is not an image of"):
        splits.split(strange, name, lists=[lists], partial=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("code", "did you mean 'coda'"),
        ("seeded:x", "no split 'seeded:x'"),
        ("seeded:" + "9" * 5000, "no split 'seeded:99"),
        ("coda:1", "no split 'coda:1'"),
        ("folder", "has no folders train and test"),
    ],
)
def test_splits_that_do_not_exist(name: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        splits.split(Named(["a/art_0.jpg"]), name)


def labelled(count: int) -> Dataset:
    names = [f"c{i % 3}/{i}.jpg" for i in range(count)]
    return Dataset.from_dict({"label": [i % 3 for i in range(count)], "file_name": names})


def test_a_validation_part_is_a_view_of_the_training_part() -> None:
    dataset = DatasetDict(train=labelled(30), test=labelled(6))
    parts = hold_out(dataset, 0.3)
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 21,
        "validation": 9,
        "test": 6,
    }
    assert Counter(parts["validation"]["label"]) == {0: 3, 1: 3, 2: 3}
    names = [*parts["train"]["file_name"], *parts["validation"]["file_name"]]
    assert sorted(names) == sorted(dataset["train"]["file_name"])
    assert hold_out(dataset, 0.3, seed=1)["validation"]["file_name"][:] != names[21:]
    random_order = list(range(30))
    random.Random(0).shuffle(random_order)
    shuffled = DatasetDict(train=dataset["train"].select(random_order))
    again = hold_out(shuffled, 0.3)["validation"]["file_name"]
    assert sorted(again) == sorted(parts["validation"]["file_name"])


@pytest.mark.parametrize(
    ("dataset", "fraction", "message"),
    [
        (labelled(3), 0.2, "needs a DatasetDict"),
        (DatasetDict(test=labelled(3)), 0.2, "split 'train'"),
        (DatasetDict(train=labelled(3), validation=labelled(3)), 0.2, "without 'validation'"),
        (DatasetDict(train=labelled(3).remove_columns("label")), 0.2, "columns label"),
        ({"train": labelled(3).to_iterable_dataset()}, 0.2, "without streaming"),
        (DatasetDict(train=labelled(3)), 1.0, "between 0 and 1"),
    ],
)
def test_what_cannot_be_held_out_from(dataset: object, fraction: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        hold_out(dataset, fraction)
