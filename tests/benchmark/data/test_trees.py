from __future__ import annotations

from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photos import picture, tree, two_classes

from benchmark.data import ColumnNames, open_data
from mm_imagenet_r.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def captions_of(root: Path, captions: Path | None = None) -> dict[str, str]:
    data = open_data(str(root), captions=captions)
    return {s.file_name: s.caption for part in (data.train, data.test) for s in part}


def test_other_files_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos")
    (root / "SOURCE.txt").write_text("from here")
    (root / "cat/notes.md").write_text("nice cat")
    (root / "cat/.hidden.png").write_bytes(b"")
    tree(root, ".cache/1.png", "__MACOSX/1.png", "cat/6.PNG")
    data = open_data(str(root))
    assert data.class_names == ("cat", "dog")
    assert len(data.train) + len(data.test) == 11


@pytest.mark.parametrize("part", ["test", "val", "validation"])
def test_train_and_test_folders_are_the_parts(tmp_path: Path, part: str) -> None:
    root = tree(tmp_path, "train/cat/1.png", "train/cat/2.png", "train/dog/1.png")
    tree(root, f"{part}/cat/1.png", f"{part}/dog/1.png", "extra/rat/1.png")
    data = open_data(str(root))
    assert data.train.file_names == ["train/cat/1.png", "train/cat/2.png", "train/dog/1.png"]
    assert data.test.file_names == [f"{part}/cat/1.png", f"{part}/dog/1.png"]
    assert data.class_names == ("cat", "dog")
    assert "not used: extra" in data.notes


def test_test_comes_before_validation(tmp_path: Path) -> None:
    names = [f"{part}/{kind}/1.png" for part in ("train", "test", "val") for kind in "ab"]
    data = open_data(str(tree(tmp_path, *names)))
    assert data.test.file_names == ["test/a/1.png", "test/b/1.png"]
    assert "not used: val" in data.notes


def test_a_train_folder_alone_is_cut(tmp_path: Path) -> None:
    data = open_data(str(two_classes(tmp_path / "photos/train").parent))
    assert (len(data.train), len(data.test)) == (8, 2)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    root = tree(tmp_path, *(f"{kind}/{n}.png" for kind in ("train", "test") for n in range(3)))
    assert open_data(str(root)).class_names == ("test", "train")


def test_names_that_differ_in_case_are_two(tmp_path: Path) -> None:
    root = tree(tmp_path, "cat/a.png", "cat/A.PNG", "dog/a.png", "dog/b.png")
    if len(list((root / "cat").iterdir())) < 2:
        pytest.skip("this file system does not tell case apart")
    data = open_data(str(root))
    assert len(data.train) + len(data.test) == 4


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "is empty"),
        (["1.png", "2.png"], "directly in the folder"),
        (["all/cat/1.png", "all/dog/1.png"], "holds no class folders, but .*all does"),
        (["cat/1.png", "cat/2.png"], "only one class .cat."),
        (["cat/1.png", "cat/2.png", "dog/1.png"], "at least two images.*dog"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png"], "one test image.*b"),
        (["train/a/1.png", "test/b/1.png", "test/a/1.png"], "one training image.*b"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    with pytest.raises(UserError, match=message):
        open_data(str(tree(root, *names)))


def test_a_class_folder_without_images_is_named(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos")
    (root / "rat").mkdir()
    (root / "rat/readme.txt").write_text("none yet")
    with pytest.raises(UserError, match="no image is directly in rat"):
        open_data(str(root))


def test_images_further_down_belong_to_their_class(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos", "cat/1.png", "cat/sub/2.png", "cat/sub/x/3.PNG", "dog/1.png")
    tree(root, "dog/2.png", "dog/.git/3.png", "rat.png")
    (root / "cat" / "sub" / "up").symlink_to(root / "cat")
    data = open_data(str(root))
    samples = {sample for part in (data.train, data.test) for sample in part}
    assert {(s.file_name, data.class_names[s.label]) for s in samples} == {
        ("cat/1.png", "cat"), ("cat/sub/2.png", "cat"), ("cat/sub/x/3.PNG", "cat"),
        ("dog/1.png", "dog"), ("dog/2.png", "dog"),
    }  # fmt: skip
    assert (
        "2 images in folders within a class folder taken for that class: "
        "cat/sub/2.png, cat/sub/x/3.PNG"
    ) in data.notes
    assert "not used, as in no class folder: rat.png" in data.notes
    (root / "cat" / "1.png").unlink()
    with pytest.raises(UserError, match="no image is directly in cat"):
        open_data(str(root))


def test_no_text_file_holds_images(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("1.png")
    with pytest.raises(UserError, match="not a Parquet file"):
        open_data(str(tmp_path / "list.txt"))


def test_options_of_tables_are_refused(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos")
    with pytest.raises(UserError, match="is not a table"):
        open_data(str(root), columns=ColumnNames(label="label"))


def test_captions_beside_the_images_are_found(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos", "cat/1.png", "cat/2.png", "dog/1.png", "dog/3.png")
    (root / "captions.csv").write_text('file_name,caption\ncat/1.png,"one, cat"\n3.png,a dog\n')
    data = open_data(str(root))
    assert data.captions == "captions.csv"
    assert "2 of 4 images have no caption: empty texts" in data.notes
    expected = {"cat/1.png": "one, cat", "cat/2.png": "", "dog/1.png": "", "dog/3.png": "a dog"}
    assert captions_of(root) == expected


def test_given_captions_come_before_those_beside(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos", count=2)
    (root / "captions.csv").write_text("file_name,caption\ncat/1.png,beside\n")
    given = tmp_path / "mine.jsonl"
    given.write_text('{"file_name": "cat/1.png", "text": "given"}\n')
    assert captions_of(root, given)["cat/1.png"] == "given"
    assert open_data(str(root), captions=given).captions == "mine.jsonl"


def test_a_parquet_of_captions_does_not_make_the_folder_a_table(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos", count=2)
    table = pa.table({"file_name": ["cat/0.png", "cat/1.png"], "caption": ["zero", None]})
    pq.write_table(table, root / "captions.parquet")
    assert captions_of(root)["cat/0.png"] == "zero"


def test_captions_leave_out_the_folder_of_the_part(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos", *(f"{p}/{k}/{p}.png" for p in ("train", "test") for k in "ab"))
    (root / "captions.csv").write_text("file_name,caption\na/train.png,x\ntest/b/test.png,y\n")
    assert captions_of(root) == {
        "train/a/train.png": "x",
        "train/b/train.png": "",
        "test/a/test.png": "",
        "test/b/test.png": "y",
    }


def test_empty_and_very_long_captions_are_taken_as_they_are(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos", count=2)
    long = " ".join(f"extraordinary{n}" for n in range(10_000))
    rows = f"file_name,caption\ncat/0.png,\ncat/1.png,{long}\n"
    (root / "captions.csv").write_text(rows)
    captions = captions_of(root)
    assert captions["cat/0.png"] == ""
    assert captions["cat/1.png"] == long


def test_captions_that_fit_no_image_are_refused(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos", count=2)
    given = tmp_path / "captions.csv"
    given.write_text("file_name,caption\nrat/7.png,a rat\n")
    with pytest.raises(UserError, match="has captions for none of the images"):
        open_data(str(root), captions=given)
    given.write_text("file_name,caption\n0.png,which one\n")  # there are two of that name
    with pytest.raises(UserError, match="bare names where these are unique"):
        open_data(str(root), captions=given)
    given.write_text("file_name,caption\nrat/7.png,a rat\ncat/0.png,a cat\n")
    assert any("1 of 2 captions" in n for n in open_data(str(root), captions=given).notes)


def test_two_caption_files_are_ambiguous(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos", count=2)
    (root / "captions.csv").write_text("file_name,caption\ncat/0.png,x\n")
    (root / "captions.jsonl").write_text('{"file_name": "cat/0.png", "caption": "y"}\n')
    with pytest.raises(UserError, match="choose one with --captions"):
        open_data(str(root))
    assert captions_of(root, root / "captions.jsonl")["cat/0.png"] == "y"


def test_metadata_about_something_else_is_left_alone(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos", count=2)
    (root / "metadata.csv").write_text("camera,lens\nx,y\n")
    data = open_data(str(root))
    assert data.captions == "none"
    assert any("metadata.csv is not used" in note for note in data.notes)
    (root / "metadata.csv").write_text("file_name,text\ncat/0.png,a cat\n")
    assert captions_of(root)["cat/0.png"] == "a cat"


def test_a_file_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos")
    try:
        (root / "cat/\udcff.png").write_bytes(picture("x"))
    except OSError:
        pytest.skip("this file system refuses such names")
    with pytest.raises(UserError, match="rename the file"):
        open_data(str(root))
