"""Folders and tables of anyone: nothing outside is read, nothing is left out unsaid."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photos import picture, tree, two_classes

from benchmark.data import open_data, splitting
from benchmark.data.stored_images import FileImages
from mm_imagenet_r.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def write(path: Path, paths: list[str] | None = None, metadata: Any = None, **columns: Any) -> str:
    """A table of six images of two classes: bytes, or paths."""
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    images = [
        {"bytes": None, "path": paths[n]} if paths else {"bytes": picture(str(n)), "path": None}
        for n in range(6)
    ]
    rows = {"image": pa.array(images, kind), "label": [n % 2 for n in range(6)], **columns}
    table = pa.table(rows)
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    return str(path)


def test_paths_in_a_table_lead_below_its_folder(tmp_path: Path) -> None:
    folder = tree(tmp_path / "set", *(f"images/{n}.png" for n in range(6)))
    (folder / "linked").symlink_to(folder / "images")
    expected = picture("images/3.png")
    for name, table in (("images", folder / "t.parquet"), ("linked", folder / "data/t.parquet")):
        write(table, [f"{name}/{n}.png" for n in range(6)])
        where = table if table.parent == folder else folder
        data = open_data(str(where))
        images = {s.file_name: s.image for part in (data.train, data.test) for s in part}
        assert images["train/3"] == expected
        table.unlink()


def test_paths_in_a_table_lead_nowhere_else(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside", *(f"{n}.png" for n in range(6)))
    folder = tree(tmp_path / "set", "5.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to(outside / "2.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    table = write(
        folder / "t.parquet",
        [f"{outside}/0.png", "../outside/1.png", "link.png", "zero.png", "pipe.png", "a\0b"],
    )
    with pytest.raises(UserError, match=r"6 images of .* cannot be used") as caught:
        open_data(table)
    lines = str(caught.value).splitlines()
    for line, words in zip(
        lines[1:6], ["is refused: it is not below"] * 4 + ["a pipe"], strict=True
    ):
        assert words in line
    write(folder / "t.parquet", [f"{outside}/0.png", *["5.png"] * 5])
    data = open_data(table, bad_images="skip")
    assert len(data.train) + len(data.test) == 5
    assert any("train/0 cannot be read" in note for note in data.notes)


def test_a_card_names_files_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "set/t.parquet")
    card = tmp_path / "set/README.md"
    for value in ("/etc/*", "../other/*.parquet", "https://example.org/x.parquet", "['t', '~/x']"):
        card.write_text(f"---\nconfigs:\n- config_name: a\n  data_files: {value}\n---\n")
        with pytest.raises(UserError, match=r"README\.md of the folder names files outside it"):
            open_data(str(tmp_path / "set"))
    elsewhere = "configs:\n- config_name: a\n  data_files: ../other/*.parquet\n"
    for text in (f"\n---\n{elsewhere}---\n", f"---\na: 1\n---b: 2\n{elsewhere}---\n"):
        card.write_text(text)  # as `datasets` finds it, and a hasty reader does not
        with pytest.raises(UserError):
            open_data(str(tmp_path / "set"))
    multiplied = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20))
    card.write_text(f"---\na0: &a0 [x]\n{multiplied}\nconfigs: *a19\n---\n")
    with pytest.raises(UserError, match="more values than any card has"):
        open_data(str(tmp_path / "set"))
    card.write_text("---\nconfigs:\n- config_name: a\n  data_files: t.parquet\n---\n")
    assert open_data(str(tmp_path / "set")).num_classes == 2


def test_a_saved_set_has_its_tables_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet")
    saved, other = tmp_path / "saved", tmp_path / "other"
    for folder in (saved, other):
        datasets.load_dataset("parquet", data_files=str(tmp_path / "t.parquet"))[
            "train"
        ].save_to_disk(folder)
    assert open_data(str(saved)).num_classes == 2
    state = json.loads((saved / "state.json").read_text())
    (name,) = (file["filename"] for file in state["_data_files"])
    for wrong in (f"../other/{name}", str(other / name), None, 3):
        (saved / "state.json").write_text(
            json.dumps({**state, "_data_files": [{"filename": wrong}]})
        )
        with pytest.raises(UserError, match="not one beside it"):
            open_data(str(saved))


@pytest.mark.parametrize("packed", ["zstd", "lz4", "dictionary"])
def test_a_saved_set_is_not_unpacked(tmp_path: Path, packed: str) -> None:
    write(tmp_path / "t.parquet", caption=["x" * 1000] * 6)
    rows = datasets.load_dataset("parquet", data_files=str(tmp_path / "t.parquet"))["train"]
    rows.save_to_disk(tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.arrow")
    with pa.ipc.open_stream(file.read_bytes()) as reader:
        table = reader.read_all()
    if packed == "dictionary":
        column = table["caption"].dictionary_encode()
        table = table.set_column(table.schema.get_field_index("caption"), "caption", column)
    how = pa.ipc.IpcWriteOptions(compression=None if packed == "dictionary" else packed)
    with pa.ipc.new_stream(str(file), table.schema, options=how) as writer:
        writer.write_table(table)
    with pytest.raises(UserError, match=f"{file.name} is compressed or has"):
        open_data(str(tmp_path / "saved"))


def test_names_of_a_table_are_no_patterns(tmp_path: Path) -> None:
    assert open_data(write(tmp_path / "a[b]*" / "t.parquet")).num_classes == 2


def test_labels_beyond_the_names_of_the_classes(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": ["a"], "_type": "ClassLabel"}}
    table = write(tmp_path / "t.parquet", metadata={"info": {"features": features}})
    with pytest.raises(UserError, match="its labels go up to 1, but it names 1 classes"):
        open_data(table)


def test_a_table_that_unpacks_to_far_more_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mm_imagenet_r.parquet_files.TABLE", 2**20)
    table = write(tmp_path / "t.parquet", caption=[" " * 4_000_000 + str(n) for n in range(6)])
    with pytest.raises(UserError, match=r"could not be loaded \(its .* bytes would unpack to 24,"):
        open_data(table)


def test_a_table_of_equal_texts_is_counted_before_it_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mm_imagenet_r.parquet_files.TABLE", 2**20)
    table = write(tmp_path / "set/t.parquet", caption=["x" * 2**19] * 6)
    for card in ("", "---\nconfigs:\n- config_name: a\n  data_files: t.parquet\n---\n"):
        (tmp_path / "set/README.md").write_text(card)
        for _ in range(2):
            with pytest.raises(UserError, match=r"\(it would unpack to more than 1,048,576 bytes"):
                open_data(str(Path(table).parent))


def test_there_are_as_many_classes_as_an_exemplar_can_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert splitting.CLASSES == 65536
    monkeypatch.setattr(splitting, "CLASSES", 2)
    root = two_classes(tmp_path / "photos")
    assert open_data(str(root)).num_classes == 2
    with pytest.raises(UserError, match="has 3 classes, more than 2"):
        open_data(str(tree(root, "eel/1.png", "eel/2.png")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("../.git/annex/1"), "a link to a file that is not there"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
        (os.mkfifo, "it is a pipe"),
        (lambda path: path.touch() or os.truncate(path, 2**40), "more than 268,435,456 bytes"),
    ],
    ids=["annex", "circle", "device", "pipe", "sparse"],
)
def test_what_is_no_file_is_told_as_a_bad_image(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    root = two_classes(tmp_path / "photos")
    make(root / "cat/x.jpg")
    for _ in range(2):
        with pytest.raises(UserError, match=rf"1 image of .*\n  cat/x.jpg cannot be .*{message}"):
            open_data(str(root))
        data = open_data(str(root), bad_images="skip")
        assert len(data.train) + len(data.test) == 10
        assert any("cat/x.jpg cannot be read" in note for note in data.notes)


def test_links_to_no_folder_are_counted(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos")
    (root / "eel").symlink_to(tmp_path / "absent")
    (root / "cat/more").symlink_to(tmp_path / "absent")
    notes = open_data(str(root)).notes
    assert (
        "2 links to what is not there (git annex get fetches git-annex's): eel, cat/more" in notes
    )


def test_links_do_not_multiply_images(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "photos")
    place = root / "cat"
    for number in range(40):  # 2**40 ways to the last
        inner = tree(tmp_path / f"inner{number}", f"{number}.png")
        (place / "a").symlink_to(inner)
        (place / "b").symlink_to(inner)
        place = inner
    data = open_data(str(root))
    assert len(data.train) + len(data.test) == 50
    assert any(
        "links to folders of the same class: " in n and " and 35 more" in n for n in data.notes
    )


def test_each_image_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, read, seen = two_classes(tmp_path / "photos"), FileImages.read, []

    def counted(self: FileImages, row: int) -> bytes:
        seen.append(row)
        return read(self, row)

    monkeypatch.setattr(FileImages, "read", counted)
    data = open_data(str(root))
    assert sorted(seen) == list(range(10))
    assert data.train.image_bytes == [len(sample.image) for sample in data.train]
    assert data.train.apart().image_bytes == data.train.image_bytes


def test_classes_are_found_as_by_looking_at_every_label(tmp_path: Path) -> None:
    names = [f"{kind}/{n}.png" for kind in "abcde" for n in range(4)]
    samples = open_data(str(tree(tmp_path / "photos", *names))).train
    shuffled = samples.select(np.random.default_rng(0).permutation(len(samples)))
    for wanted in ([], [3], [4, 0], range(5), [7], np.array([1, 2])):
        found = shuffled.of_classes(wanted)
        kept = [n for n, label in enumerate(shuffled.labels.tolist()) if label in list(wanted)]
        assert found.file_names == shuffled.select(kept).file_names
        assert shuffled.count(wanted) == len(found)
    assert len(shuffled.apart(anonymous=True).of_classes([-1])) == len(samples)


def test_a_table_replaced_by_one_of_the_same_time_is_read_anew(tmp_path: Path) -> None:
    for name, folder in (("one", tmp_path), ("set", tmp_path / "set")):
        table = Path(write(folder / f"{name}.parquet"))
        if name == "set":
            card = "---\nconfigs:\n- config_name: a\n  data_files: set.parquet\n---\n"
            (folder / "README.md").write_text(card)
        target = str(folder if name == "set" else table)
        facts = table.stat()
        before = open_data(target)
        write(table, caption=[f"new {n}" for n in range(6)])
        os.utime(table, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        after = open_data(target)
        assert (before.captions, after.captions) == ("none", "caption")


def test_a_card_names_parquet_only(tmp_path: Path) -> None:
    write(tmp_path / "set/t.parquet")
    (tmp_path / "set/big.csv.gz").write_bytes(b"never read")
    write(tmp_path / "other/t.parquet")
    (tmp_path / "set/linked").symlink_to(tmp_path / "other")
    card = tmp_path / "set/README.md"
    for value in ("big.csv.gz", "[t.parquet, big.csv.gz]", "linked/t.parquet", "linked/*"):
        card.write_text(f"---\nconfigs:\n- config_name: a\n  data_files: {value}\n---\n")
        with pytest.raises(UserError, match="which is not a Parquet file in this folder: correct"):
            open_data(str(tmp_path / "set"))
    card.write_text("---\nconfigs:\n- config_name: a\n  data_files: t.parquet\n---\n")
    other = tmp_path / "set/.huggingface.yaml"
    other.write_text(f"configs:\n- config_name: a\n  data_files: {tmp_path}/other/*\n")
    with pytest.raises(UserError, match=r"\.huggingface\.yaml would replace README\.md: put"):
        open_data(str(tmp_path / "set"))


def test_a_copy_that_changed_on_disk_is_refused(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", caption=[f"number {n}" for n in range(6)])
    before = open_data(table)
    assert open_data(table).data_sha256 == before.data_sha256
    (copy,) = (tmp_path / "hf").rglob("*.arrow")
    info = copy.with_name("dataset_info.json")
    for file, change in ((copy, (b"number 3", b"number 4")), (info, (b"{", b"["))):
        whole = file.read_bytes()
        file.write_bytes(whole.replace(*change))
        with pytest.raises(UserError, match=f"^{copy.parent} has a damaged copy .*: remove it"):
            open_data(table)
        file.write_bytes(whole)
    shutil.rmtree(copy.parent)
    assert open_data(table).data_sha256 == before.data_sha256
