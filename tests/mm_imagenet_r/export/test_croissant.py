"""The description is accepted by its own checker, and tells where the bytes are."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from exporting import made_up

from mm_imagenet_r.export import card, export

VALIDATE = "from mlcroissant.scripts.cli import main; main()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("croissant")
    facts = {"captions": "made-up"}
    export(place, "made-up", made_up({"train": 80, "test": 5}), facts, report=lambda _: None)
    return place


def test_files_have_their_hashes_and_every_reference_resolves(folder: Path) -> None:
    description: dict[str, Any] = json.loads((folder / "croissant.json").read_text())
    objects = [d for d in description["distribution"] if d["@type"] == "cr:FileObject"]
    found = {entry["contentUrl"]: entry["sha256"] for entry in objects}
    files = sorted(folder.glob("data/*/*.parquet"))
    assert found == {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    sets = {d["@id"]: d for d in description["distribution"] if d["@type"] == "cr:FileSet"}
    covered = {path for entry in sets.values() for path in folder.glob(entry["includes"])}
    assert covered == set(files)
    used = {f["source"]["fileSet"]["@id"] for r in description["recordSet"] for f in r["field"]}
    assert used == sets.keys()


def test_the_work_is_cited_that_the_data_come_from(tmp_path: Path) -> None:
    data = made_up({"train": 4, "test": 2})
    urls = {}
    for name, cited, url in (
        ("mini", ["Exemplar Masking"], "2412.09549"),
        ("instructblip", ["Exemplar Masking", "Many Faces"], "2412.09549"),
        ("upmc_food101", ["Recipe Recognition"], "10.1109/ICMEW.2015.7169757"),
    ):
        export(tmp_path / name, name, data, {}, report=lambda _: None)
        found = json.loads((tmp_path / name / "croissant.json").read_text())
        for work in ("Exemplar Masking", "Many Faces", "Recipe Recognition"):
            assert (work in found["citeAs"]) == (work in cited)
        assert found["url"].endswith(url)
        urls[name] = found["datePublished"]
    assert urls["mini"] != urls["upmc_food101"]


def test_it_does_not_depend_on_when_it_is_made(folder: Path) -> None:
    before = (folder / "croissant.json").read_bytes()
    for path in folder.glob("data/*/*.parquet"):
        os.utime(path, (1e9, 1e9))
    card.write(folder)
    assert (folder / "croissant.json").read_bytes() == before


@pytest.mark.skipif(find_spec("mlcroissant") is None, reason="mlcroissant is not installed")
def test_mlcroissant_validates_and_reads_it(folder: Path) -> None:
    program = """if True:
        import sys
        import mlcroissant
        data = mlcroissant.Dataset(sys.argv[1])
        assert not data.metadata.ctx.issues.report(), data.metadata.ctx.issues.report()
        rows = list(data.records("made-up/test"))
        first = rows[0]
        print(len(rows), first["made-up/test/image"].size, first["made-up/test/label"])
    """
    path = str(folder / "croissant.json")
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    for arguments, printed in (
        (["-c", VALIDATE, "validate", "--jsonld", path], ""),
        (["-c", program, path], "15 (24, 20) 0"),
    ):
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        assert done.stdout.strip().endswith(printed)
