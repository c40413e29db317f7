from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from photos import picture, tree, two_classes

from benchmark.data import Data, Sample, Samples, image_check, open_data
from mm_imagenet_r import images
from mm_imagenet_r.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "photos")


def contents(data: Data) -> set[tuple[str, Sample]]:
    return {("train", s) for s in data.train} | {("test", s) for s in data.test}


def test_samples_behave_as_a_sequence(photos: Path) -> None:
    samples = open_data(str(photos), test_fraction=0.4).train
    assert isinstance(samples, Samples)
    assert len(samples) == 6
    assert samples[-1] == samples[5]
    assert list(samples[1:3]) == [samples[1], samples[2]]
    assert [s.file_name for s in samples] == samples.file_names
    assert [s.label for s in samples] == samples.labels.tolist()
    assert list(samples.of_classes([1])) == [s for s in samples if s.label == 1]
    assert list(samples.of_classes([])) == []
    assert list(samples.select([4, 0])) == [samples[4], samples[0]]
    with pytest.raises(IndexError):
        samples[6]
    copy = pickle.loads(pickle.dumps(samples))
    assert list(copy) == list(samples)


def test_bytes_are_those_of_the_files(photos: Path) -> None:
    data = open_data(str(photos))
    for _, sample in contents(data):
        assert sample.image == (photos / sample.file_name).read_bytes()
        assert data.class_names[sample.label] == sample.file_name.split("/")[0]


def test_cut_takes_a_share_of_every_class_and_depends_on_the_seed(photos: Path) -> None:
    tests = {
        seed: open_data(str(photos), test_fraction=0.4, split_seed=seed).test for seed in range(6)
    }
    assert all(sorted(t.labels.tolist()) == [0, 0, 1, 1] for t in tests.values())
    assert len({frozenset(t.file_names) for t in tests.values()}) > 1
    assert tests[0].file_names == open_data(str(photos), test_fraction=0.4).test.file_names


def test_validation_never_touches_the_test_part(photos: Path) -> None:
    whole = open_data(str(photos), test_fraction=0.4)
    tuning = open_data(str(photos), test_fraction=0.4, validation=True)
    assert not set(tuning.test.file_names) & set(whole.test.file_names)
    assert set(tuning.train.file_names) | set(tuning.test.file_names) == set(whole.train.file_names)
    assert sorted(tuning.test.labels.tolist()) == [0, 1]
    assert tuning.data_sha256 == whole.data_sha256
    assert tuning.split_sha256 != whole.split_sha256


def test_validation_needs_a_second_training_image(tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "photos", count=2)
    assert len(open_data(str(photos)).train) == 2
    with pytest.raises(UserError, match="two training images"):
        open_data(str(photos), validation=True)


def test_class_order_moves_labels_and_names_together(tmp_path: Path) -> None:
    names = [f"{kind}/{n}.png" for kind in "abcd" for n in range(2)]
    data = open_data(str(tree(tmp_path / "photos", *names)))
    ordered = data.in_order([2, 0, 3, 1])
    assert ordered.class_names == ("c", "a", "d", "b")
    for part in (ordered.train, ordered.test):
        assert len(part) == 4
        assert all(ordered.class_names[s.label] == s.file_name[0] for s in part)
    assert ordered.order == (2, 0, 3, 1)
    back = ordered.in_order([0, 1, 2, 3])
    assert back.class_names == data.class_names
    assert contents(back) == contents(data)
    assert ordered.data_sha256 == data.data_sha256
    with pytest.raises(ValueError, match="permutation"):
        data.in_order([0, 1, 2, 2])


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "cat/0.png").write_bytes(picture("another")),
        lambda root: (root / "cat/0.png").rename(root / "cat/00.png"),
        lambda root: (root / "cat/0.png").rename(root / "dog/cat.png"),
        lambda root: (root / "cat/0.png").unlink(),
        lambda root: (root / "captions.csv").write_text("file_name,caption\n0.png,no\ndog/1.png,x"),
    ],
    ids=["bytes", "name", "class", "fewer", "caption"],
)
def test_every_change_of_the_data_changes_its_hash(
    photos: Path, change: Callable[[Path], object]
) -> None:
    before = open_data(str(photos))
    assert open_data(str(photos)).data_sha256 == before.data_sha256
    change(photos)
    assert open_data(str(photos)).data_sha256 != before.data_sha256


def test_hashes_do_not_depend_on_the_place(photos: Path, tmp_path: Path) -> None:
    elsewhere = two_classes(tmp_path / "elsewhere")
    one, other = open_data(str(photos)), open_data(str(elsewhere))
    assert (one.data_sha256, one.split_sha256) == (other.data_sha256, other.split_sha256)


def test_info_is_what_a_result_says(photos: Path) -> None:
    data = open_data(str(photos))
    names = "\n".join(sorted(data.test.file_names))
    assert data.info() == {
        "name": str(photos),
        "num_classes": 2,
        "train": 8,
        "test": 2,
        "left_out": 0,
        "data_sha256": data.data_sha256,
        "split": "seeded:0",
        "split_sha256": hashlib.sha256(names.encode()).hexdigest(),
        "captions": "none",
        "captions_id": data.captions_id,
    }


def test_bad_images_are_named_or_skipped(tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "photos", count=8)
    (photos / "cat/1.png").write_bytes(b"")
    (photos / "cat/2.png").write_bytes((photos / "cat/2.png").read_bytes()[:50])
    (photos / "dog/1.png").write_bytes(picture("small", size=(1, 1)))
    for _ in range(2):  # the second time from what was remembered
        with pytest.raises(UserError, match="3 images of") as caught:
            open_data(str(photos))
        message = str(caught.value)
        assert "cat/1.png is empty" in message
        assert "cat/2.png" in message
        assert "dog/1.png is 1 x 1 pixels" in message
        assert "--bad-images skip" in message
        data = open_data(str(photos), bad_images="skip")
        assert len(data.train) + len(data.test) == 13
        assert any(
            "3 of 16 images cannot be used and are left out:\n  cat/1.png is empty" in note
            for note in data.notes
        )
    for n in range(3, 8):
        (photos / f"cat/{n}.png").write_bytes(b"?")
    with pytest.raises(UserError, match=r"\.\.\. and 3 more"):
        open_data(str(photos))
    with pytest.raises(UserError, match=r"at least two images, one of them for testing.*cat"):
        open_data(str(photos), bad_images="skip")


def test_what_was_found_in_images_is_believed_as_it_was_written_only(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "cat/1.png").write_bytes(b"")
    looked: list[bytes] = []
    check = images.check
    monkeypatch.setattr(images, "check", lambda data: (looked.append(data), check(data))[1])

    def look() -> tuple[tuple[str, str], ...]:
        looked.clear()
        return open_data(str(photos), bad_images="skip").left_out

    expected = look()
    (memory,) = (tmp_path / "hf" / "mm_imagenet_r_image_checks").iterdir()
    written = memory.read_bytes()
    record = json.loads(written)
    assert [name for name, _ in expected] == ["cat/1.png"]
    assert (look(), looked) == (expected, [])
    files = record["value"]["files"]
    others = ({"files": files, "bad": {"0": "is old"}}, {"files": files, "bad": {}})
    for other in (*({**record, "value": other} for other in others), *others):
        memory.write_text(json.dumps(other))
        assert look() == expected
        assert len(looked) == 10
        assert memory.read_bytes() == written


def test_nothing_is_printed_where_there_is_no_terminal(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image_check, "PROGRESS_FROM", 1)
    monkeypatch.setattr(image_check, "_RULES", -1)  # nothing is remembered
    open_data(str(photos))
    assert capfd.readouterr() == ("", "")


def test_images_in_both_parts_are_counted(tmp_path: Path) -> None:
    names = [f"{part}/{kind}/{n}.png" for part in ("train", "test") for kind in "ab" for n in "12"]
    root = tree(tmp_path / "photos", *names)
    assert not any("byte for byte" in note for note in open_data(str(root)).notes)
    for copy, original in (("test/a/1", "train/b/2"), ("test/b/1", "train/b/2")):
        (root / f"{copy}.png").write_bytes((root / f"{original}.png").read_bytes())
    note = "2 of 4 test images are in the training part too, byte for byte"
    assert any(note in found for found in open_data(str(root)).notes)


def test_a_repaired_image_is_looked_at_again(photos: Path) -> None:
    path = photos / "cat/0.png"
    good = path.read_bytes()
    path.write_bytes(good[:40])
    with pytest.raises(UserError, match=r"cat/0.png"):
        open_data(str(photos))
    path.write_bytes(good)
    assert len(open_data(str(photos)).train) == 8


def test_a_file_that_vanishes_later_is_a_plain_message(photos: Path) -> None:
    train = open_data(str(photos)).train
    (photos / train.file_names[0]).unlink()
    with pytest.raises(UserError, match="could not be read"):
        train[0]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -3.0])
def test_a_test_fraction_is_a_share(photos: Path, fraction: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        open_data(str(photos), test_fraction=fraction)


def test_thirty_real_classes(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    whole = shared_data("caltech101_mini")
    root = tmp_path / "caltech"
    root.mkdir()
    for folder in sorted(path for path in whole.iterdir() if path.is_dir())[:30]:
        (root / folder.name).symlink_to(folder)
    data = open_data(str(root))
    assert (data.num_classes, len(data.train), len(data.test)) == (30, 480, 120)
    assert any("no captions" in note for note in data.notes)
