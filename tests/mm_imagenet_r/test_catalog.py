"""A data set is added by one new file and one entry, as the README says; nothing else changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mm_imagenet_r import catalog
from mm_imagenet_r.catalog import CATALOG, Entry, Origin, find_source
from mm_imagenet_r.errors import UserError

ROOT = Path(__file__).resolve().parents[2]

#: The new file.
SOURCE = '''
"""Fruit: two classes of single colours, in a folder with a file of their captions."""

import json
from pathlib import Path

from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.source import FileSource, row


class Fruit(FileSource):
    def description(self):
        return "Fruit in one colour each."

    def provenance(self):
        return {"captions": "by hand", "split": "published"}

    def classes(self):
        return {"apple": "apple", "pear": "green pear"}

    def listed(self, split, labels):
        texts = json.loads((self.place / "captions.json").read_text())
        for label, (cls, name) in enumerate(self.classes().items()):
            for path in sorted((self.place / split / cls).glob("*.png")) if label in labels else ():
                yield row(f"{cls}/{path.name}", label, texts[path.name], name)

    def read(self, split, file_name):
        return (self.place / split / file_name).read_bytes()

    def identity(self):
        return json_sha256([str(self.place), self.leaves_out])


def source(data_dir, partial=False):
    return Fruit(Path(data_dir), partial)
'''

#: Adds the entry, then does what its first argument says.
PROGRAM = """if True:
    import sys
    from mm_imagenet_r.catalog import CATALOG, Entry, Origin
    works = ("Doe: Fruit, Journal of Fruit 2026",)
    url = "https://example.org"
    origin = Origin("Fruit", "cc0-1.0", ("found",), "original", url, works, "2026-01-01")
    CATALOG["fruit"] = Entry(
        "fruit", "fruit:source", origin,
        options=("data_dir", "partial"), needs="with train/, test/ and captions.json",
        environment="FRUIT_DIR",
    )
    if sys.argv[1] == "open":
        from pathlib import Path
        from benchmark.data import DatasetOptions, open_data
        data = open_data("fruit", archive=DatasetOptions(Path("food"), partial=True))
        print(data.class_names, len(data.train), len(data.test), data.captions, data.split)
        print(data.left_out)
    elif sys.argv[1] == "load":
        import mm_imagenet_r
        from datasets import load_dataset
        for ds in (
            load_dataset("fruit", data_dir="food", partial=True),
            load_dataset("mm_imagenet_r", "fruit", data_dir="food", partial=True),
            mm_imagenet_r.load("fruit", data_dir="food", partial=True),
        ):
            print(ds["train"][0]["caption"], ds["test"].features["label"].names)
        load_dataset("fruit", "other", data_dir="food")
    elif sys.argv[1] == "export":
        from mm_imagenet_r.export.__main__ import main
        sys.exit(main(["out", "--config", "fruit", "--data-dir", "food", "--partial"]))
    else:
        from benchmark.run import main
        sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from PIL import Image

    (tmp_path / "fruit.py").write_text(SOURCE)
    texts = {}
    for cls, colour in (("apple", "red"), ("pear", "green")):
        for number, split in enumerate(("train", "train", "test")):
            path = tmp_path / "food" / split / cls / f"{cls}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(
                "RGB", (8, 8), (number, *Image.new("RGB", (1, 1), colour).getpixel((0, 0))[1:])
            ).save(path)
            texts[path.name] = f"{colour} fruit number {number}"
    (tmp_path / "food" / "train" / "pear" / "pear_9.png").write_text("<html>")
    texts["pear_9.png"] = "not found"
    (tmp_path / "food" / "captions.json").write_text(json.dumps(texts))
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(folder)])
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_a_new_data_set_is_opened_by_its_name(folder: Path) -> None:
    done = python(folder, "open")
    assert done.stdout.splitlines() == [
        "('apple', 'green pear') 4 2 by hand published",
        "(('pear/pear_9.png', 'is not an image that Pillow can read'),)",
    ], done.stderr
    refused = python(folder, "--dataset", "fruit")
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: --dataset fruit needs --data-dir DIR (or set FRUIT_DIR): the folder with train/, "
        "test/ and captions.json\n"
    )
    refused = python(folder, "--dataset", "fruit", "--data-dir", "food", "--split-name", "coda")
    assert "--split-name is for --dataset mm_imagenet_r: leave it out" in refused.stderr
    refused = python(folder, "--dataset", "friut")
    assert "did you mean 'fruit'" in refused.stderr
    shown = " ".join(python(folder, "--help").stdout.split())
    assert "mini, mm_imagenet_r:CAPTIONSET, upmc_food101" in shown


def test_datasets_finds_it_by_its_name(folder: Path) -> None:
    done = python(folder, "load")
    assert done.stdout.splitlines() == ["red fruit number 0 ['apple', 'pear']"] * 3, done.stderr
    assert "UserError: fruit has no configurations: leave 'other' out" in done.stderr


def test_its_export_has_a_card_and_a_description(folder: Path) -> None:
    done = python(folder, "export")
    assert done.returncode == 0, done.stderr
    text = (folder / "out" / "README.md").read_text()
    assert text.startswith("---\n")
    for said in (
        "# Fruit\n", "pretty_name: Fruit\n", "license: cc0-1.0\n", "| 4 train, 2 test |",
        'load_dataset("<this folder or its id on the Hub>", "fruit")', "Doe: Fruit, Journal",
    ):  # fmt: skip
        assert said in text, text
    croissant = json.loads((folder / "out" / "croissant.json").read_text())
    assert croissant["license"] == "https://choosealicense.com/licenses/cc0-1.0/"
    assert croissant["citeAs"] == "Doe: Fruit, Journal of Fruit 2026"


@pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)
def test_every_entry_can_be_opened_or_says_what_it_needs(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(entry.environment or "UNSET", raising=False)
    assert (ROOT / "mm_imagenet_r" / "export" / entry.origin.template).is_file()
    if not entry.needs:
        assert find_source(entry.name).classes()
        return
    with pytest.raises(UserError, match=f"^{entry.name} needs data_dir.*: the folder "):
        find_source(entry.name)


def test_names_of_configurations_are_entries_or_caption_sets() -> None:
    assert catalog.entry_of("mine@1a2b").name == "mm_imagenet_r"
    assert catalog.entry_of("mini").origin.part == "mini"
    assert isinstance(catalog.entry_of("upmc_food101").origin, Origin)
