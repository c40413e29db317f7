"""What a user types, in fresh processes with an empty cache and an empty current folder."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import datasets
import pytest

import mm_imagenet_r
from mm_imagenet_r.builder import MMImageNetR
from mm_imagenet_r.errors import UserError

ROOT = Path(__file__).resolve().parents[2]

LITERAL = """if True:
    import time
    start = time.process_time()
    import mm_imagenet_r
    from datasets import Image, load_dataset
    import hashlib, itertools, json, sys
    ds = load_dataset("mm_imagenet_r", "mini", streaming=STREAMING)
    seconds = time.process_time() - start
    digests = {}
    for name, split in ds.items():
        digest = hashlib.sha256()
        for row in itertools.islice(split.cast_column("image", Image(decode=False)), 300):
            digest.update(json.dumps({**row, "image": row["image"]["bytes"].hex()}).encode())
        digests[name] = digest.hexdigest()
    first = next(iter(ds["train"]))
    print(json.dumps({
        "seconds": seconds,
        "digests": digests,
        "rows": {} if STREAMING else {name: len(split) for name, split in ds.items()},
        "columns": ds["train"].column_names,
        "first": [first["file_name"], first["image"].format, first["label"]],
        "torch": "torch" in sys.modules,
    }))
"""


def python(program: str, folder: Path, home: Path, *, installed: bool = True) -> str:
    """Run a program in `folder` with its own cache; return what it prints or its error."""
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    env.pop("PYTHONPATH", None)
    if installed:
        env["PYTHONPATH"] = str(ROOT)
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )
    return done.stdout if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def cold(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("empty")
    found: dict[str, object] = json.loads(
        python(LITERAL.replace("STREAMING", "False"), folder, home)
    )
    assert not list(folder.iterdir())
    return found


def test_literal_call_makes_the_data_set(cold: dict[str, object]) -> None:
    assert cold["rows"] == {"train": 4800, "test": 800}
    assert cold["columns"] == [
        "image", "caption", "label", "file_name", "wnid", "class_name", "imagenet_index", "style",
    ]  # fmt: skip
    name, file_format, label = cold["first"]  # type: ignore[misc]
    assert name.startswith("m00000000/")
    assert (file_format, label) == ("JPEG", 0)
    assert cold["torch"] is False
    assert float(str(cold["seconds"])) < 60  # about 18 s of one core, however busy it is


def test_warm_call_finds_the_same_rows(cold: dict[str, object], home: Path, tmp_path: Path) -> None:
    warm = json.loads(python(LITERAL.replace("STREAMING", "False"), tmp_path, home))
    assert {**warm, "seconds": 0} == {**cold, "seconds": 0}
    assert warm["seconds"] < float(str(cold["seconds"]))


def test_streaming_gives_the_same_rows(cold: dict[str, object], tmp_path: Path) -> None:
    program = LITERAL.replace("STREAMING", "True")
    streamed = json.loads(python(program, tmp_path / "empty", tmp_path / "home"))
    assert streamed["digests"] == cold["digests"]
    assert not list((tmp_path / "home").rglob("*.arrow"))


def test_the_cache_is_named_by_what_the_rows_depend_on(cold: dict[str, object], home: Path) -> None:
    from mm_imagenet_r.catalog import find_source

    folder = home / "datasets" / "mm_imagenet_r" / "mini" / "1.0.0" / find_source("mini").identity()
    assert sorted(path.name for path in folder.glob("*.arrow")) == [
        "mm_imagenet_r-test.arrow",
        "mm_imagenet_r-train.arrow",
    ]


def test_other_ways_to_ask(cold: dict[str, object], home: Path, tmp_path: Path) -> None:
    program = """if True:
        import importlib.util
        import datasets.config  # loaded before the package
        from datasets import get_dataset_config_names, get_dataset_split_names, load_dataset
        import mm_imagenet_r
        assert get_dataset_config_names("mm_imagenet_r") == ["mini"]
        assert get_dataset_split_names("mm_imagenet_r", "mini") == ["train", "test"]
        part = load_dataset("mm_imagenet_r", split="test[:10]")  # the default configuration
        assert len(part) == 10
        assert mm_imagenet_r.load(split="test[:10]")["file_name"] == part["file_name"]
        assert len(mm_imagenet_r.class_incremental(mm_imagenet_r.load(), 10)) == 10
        for wrong in (
            lambda: load_dataset("mm_imagenet_r", "minni"),
            lambda: load_dataset("mm_imagenet_r", "mini", data_dir="."),
            lambda: load_dataset("mm_imagenet_r", "mini", data_files="x.csv"),
            lambda: load_dataset("mm_imagenet_r", "mini", split_name="coda"),
            lambda: load_dataset("upmc_food101"),
            lambda: mm_imagenet_r.load("minni"),
            lambda: mm_imagenet_r.load(split="validation"),
        ):
            try:
                wrong()
            except Exception as error:
                print(type(error).__name__, error)
    """
    lines = python(program, tmp_path, home).splitlines()
    for line, what in zip(
        lines,
        (
            "did you mean 'mini' or 'mini-1'? Known: mini, mini-1, mm_imagenet_r, upmc",
            "data set 'mini' takes no data_dir, only mm_imagenet_r or upmc_food101 does",
            "takes no data_files",
            "takes no split_name",
            "upmc_food101 needs data_dir",
            "did you mean 'mini'",
            "train and test",
        ),
        strict=True,
    ):
        assert line.startswith("UserError ")
        assert what in line


def test_two_processes_prepare_the_same_rows(tmp_path: Path) -> None:
    program = """if True:
        from dataclasses import replace
        import mm_imagenet_r
        from mm_imagenet_r import mini
        few = replace(mini.SECOND, train_per_class=1, test_per_class=3)
        mini.second = lambda: mini.Mini(few)
        ds = mm_imagenet_r.load(split="test", num_proc=2)
        assert ds["caption"][:] == [row["caption"] for row in mini.rows("test", edition=few)]
        assert len(ds) == 120
        print("same")
    """
    assert python(program, tmp_path / "empty", tmp_path / "home") == "same\n"


def test_import_is_light_and_a_mere_look_up_does_not_lose_the_registration(
    tmp_path: Path,
) -> None:
    program = """if True:
        import sys
        import mm_imagenet_r, mm_imagenet_r.errors
        heavy = {"torch", "datasets", "numpy", "transformers", "PIL", "pyarrow"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        import importlib.util
        before = len(sys.meta_path)
        assert importlib.util.find_spec("datasets").name == "datasets"  # as transformers does
        assert "datasets" not in sys.modules
        import datasets
        assert len(sys.meta_path) == before - 1
        assert not type(datasets.__loader__).__module__.startswith("mm_imagenet_r")
        assert datasets.load_dataset_builder("mm_imagenet_r", "mini").info.features["label"]
        assert "torch" not in sys.modules
        print("fine")
    """
    assert python(program, tmp_path, tmp_path / "home") == "fine\n"


def test_a_changed_datasets_means_a_warning_and_load_still_works(
    cold: dict[str, object], home: Path, tmp_path: Path
) -> None:
    program = """if True:
        import warnings
        import datasets.packaged_modules as moved
        table = moved._PACKAGED_DATASETS_MODULES
        del moved._PACKAGED_DATASETS_MODULES
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import mm_imagenet_r
        print([str(warning.message) for warning in caught if "register" in str(warning.message)])
        moved._PACKAGED_DATASETS_MODULES = table
        print(len(mm_imagenet_r.load(split="test")))
    """
    printed = python(program, tmp_path, home)
    assert "mm_imagenet_r.load(...)" in printed
    assert printed.splitlines()[-1] == "800"


def test_without_import_only_the_export_is_found(
    cold: dict[str, object], home: Path, tmp_path: Path
) -> None:
    """In a checkout the bare name is this package's folder: its README sends to the export."""
    folder = tmp_path / "mm_imagenet_r"
    folder.mkdir()
    shutil.copy(ROOT / "mm_imagenet_r" / "README.md", folder)
    (folder / "stray.json").write_text('[{"a": 1}]')  # would be loaded but for the README
    bare = """if True:
        from datasets import load_dataset
        print({name: len(split) for name, split in load_dataset("mm_imagenet_r", "mini").items()})
    """
    nothing = python(bare, tmp_path, tmp_path / "home", installed=False)
    assert "DataFilesNotFoundError" in nothing
    readme = (ROOT / "mm_imagenet_r" / "README.md").read_text()
    elsewhere = python(bare, tmp_path / "empty", tmp_path / "home", installed=False)
    message = re.search(r"`(ConnectionError: [^`]+)`", readme)
    assert message is not None
    assert elsewhere.splitlines()[-1].startswith(message[1]), elsewhere
    command = re.search(r"`python -m mm_imagenet_r\.export ([^`]+)`", readme)
    assert command is not None
    call = f"from mm_imagenet_r.export.__main__ import main; print(main({command[1].split()}))"
    assert python(call, tmp_path / "elsewhere", home).splitlines()[-1] == "0"
    shutil.move(tmp_path / "elsewhere" / "exported", tmp_path / "exported")
    found = python(bare, tmp_path, tmp_path / "home", installed=False)
    assert found == "{'train': 4800, 'test': 800}\n"


def test_direct_class_and_bytes_untouched(cold: dict[str, object], home: Path) -> None:
    from datasets import Image

    from mm_imagenet_r import mini
    from mm_imagenet_r.builder import MMImageNetR

    builder = MMImageNetR(config_name="mini", cache_dir=str(home / "datasets"))
    builder.download_and_prepare()
    test = builder.as_dataset("test").cast_column("image", Image(decode=False))
    for row, made in zip(test.select(range(40)), mini.rows("test", [0, 1]), strict=True):
        assert row == made


def test_unknown_configuration_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"did you mean 'mini' or 'mini-1'\? Known: mini"):
        mm_imagenet_r.load("mimi")


@pytest.mark.parametrize("option", ["name", "data_dir", "split_name"])
def test_what_is_no_text_is_no_name(option: str) -> None:
    with pytest.raises(UserError, match=r"=5 is not a text"):
        datasets.load_dataset("mm_imagenet_r", **{option: 5})


def test_version_is_the_distributions() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    assert tool["version"] == {"attr": "mm_imagenet_r.__version__"}
    assert importlib.metadata.version("mm-imagenet-r") == mm_imagenet_r.__version__


def test_a_cache_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written .*\(HF_HOME, cache_dir\)"):
        MMImageNetR(config_name="mini", cache_dir=str(tmp_path / "file"))
    builder = MMImageNetR(config_name="mini", cache_dir=str(tmp_path / "cache"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(datasets.arrow_writer.ArrowWriter, "write_table", full)
    with pytest.raises(UserError, match="the disk is full"):
        builder.download_and_prepare()
