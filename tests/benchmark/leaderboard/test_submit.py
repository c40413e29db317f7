"""Runs packed for a pull request: what lies there verifies, and nothing else gets in."""

from __future__ import annotations

import gzip
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from forging import change_result, finished_run
from running import Call, folders
from test_docs import code_of

from benchmark import results
from benchmark.leaderboard.__main__ import main
from benchmark.leaderboard.check import check
from benchmark.leaderboard.levels import Level
from benchmark.leaderboard.submit import WHOLE, place_of
from benchmark.results import strict_json
from benchmark.results.small_form import copy_small, restore
from benchmark.run_files import PACKED, TUNING

RESULTS = Path(__file__).resolve().parents[3] / "results"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def submit(*words: object) -> int:
    return main(["submit", *map(str, words)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "runs" / "any" / "name")


def test_what_is_submitted_lies_as_committed_results_do(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert submit(run.parent, "--out", out, "--with-state") == 0
    said = capsys.readouterr().out
    (folder,) = (out / "results").glob("mini*-2phases-0.5-bytes/exemplar_masking*/seed0-*")
    assert f"{folder}: consistent\n" in said
    assert f"  cp -R {out / 'results'} .\n  git add results\n  git commit" in said
    assert "switch -c" in said
    assert sorted(contents(folder)) == [
        "exemplars.parquet", "predictions.parquet", "result.json.gz",
    ]  # fmt: skip
    assert results.read(folder) == results.read(run)
    (verdict,) = check([out / "results"])
    assert verdict.level is Level.CONSISTENT

    before = contents(out)
    assert submit(run, "--out", out, "--with-state") == 0
    assert contents(out) == before
    (out / ".git").mkdir()
    assert submit(run, "--out", out) == 0
    assert "cp -R" not in capsys.readouterr().out.rpartition("Next")[2]

    with zipfile.ZipFile(out / WHOLE) as archive:
        archive.extractall(tmp_path / "unpacked")
    whole = tmp_path / "unpacked" / folder.relative_to(out / "results")
    kept = {name for name in contents(run) if name.startswith(("memory/", "state/"))}
    assert {name for name in contents(whole) if "/" in name} == {
        name for name in kept if name.endswith((".bin", ".safetensors"))
    }
    (verdict,) = check([whole])
    assert verdict.level is Level.CONSISTENT


def test_places_are_those_of_the_committed_results() -> None:
    places = [folder.relative_to(RESULTS) for folder in results.find_runs([RESULTS])]
    assert places
    assert [place_of(results.read(RESULTS / place)) for place in places] == places


def test_refused_runs_are_not_packed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = shutil.copytree(run, tmp_path / "runs" / "good")
    change_result(run, lambda value: value["config"].update(evaluate_on="validation"))
    out = tmp_path / "out"
    assert submit(run, good, "--out", out) == 2
    error = capsys.readouterr().err
    assert f"{run}: refused\n" in error
    assert "a board takes runs on test data" in error
    assert "1 of 2 results are not fit for a board, so nothing was packed" in error
    assert not out.exists()
    assert submit(good, "--out", out) == 0


def test_the_result_of_somebody_else_is_not_replaced(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert submit(run, "--out", out) == 0
    before = contents(out)
    change_result(run, lambda value: value["hardware"].update(machine="another"))
    assert submit(run, "--out", out) == 2
    assert "has another result of this configuration" in capsys.readouterr().err
    assert contents(out) == before


def test_not_even_one_that_differs_in_what_nobody_reads(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert submit(run, "--out", out) == 0
    (stored,) = out.rglob(PACKED)
    value = strict_json.read(stored)
    value["phases"][-1]["accuracy"]["0"] = 99.0
    stored.write_bytes(gzip.compress(json.dumps(value).encode()))
    before = contents(out)
    assert submit(run, "--out", out) == 2
    assert "has another result of this configuration" in capsys.readouterr().err
    assert contents(out) == before


@pytest.mark.parametrize("depth", range(5))
def test_nothing_is_submitted_through_a_link(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], depth: int
) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    assert submit(run, "--out", out) == 0
    (packed,) = out.rglob(PACKED)
    place = packed.parents[3 - depth] if depth < 4 else packed
    place.rename(mine)
    place.symlink_to(mine)
    shutil.rmtree(mine, ignore_errors=True)
    if depth < 4:
        mine.mkdir()
    assert submit(run, "--out", out) == 2
    assert f"{place} is a link, perhaps to what is not of {out}" in capsys.readouterr().err
    assert not contents(mine)


def test_a_folder_that_leads_in_a_circle_is_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert submit(run, "--out", loop) == 2
    assert "could not be written (Too many levels of symbolic links)" in capsys.readouterr().err
    for path, message in ((loop, "is a link"), (tmp_path / ("x" * 300), "does not exist")):
        assert submit(path, "--out", tmp_path / "out") == 2
        assert message in capsys.readouterr().err


def test_a_small_form_has_no_state_to_pack(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    copy_small(run, small)
    assert submit(small, "--out", tmp_path / "out", "--with-state") == 2
    assert "no state/, so --with-state" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert submit(small, "--out", tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        ([], "the following arguments are required: RUN"),
        (["runs", "--with-stat"], "unknown option"),
    ],
)
def test_mistakes_are_told(
    words: list[str], message: str, run: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(run.parents[2])
    assert submit(*words, "--out", "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_the_source_of_a_method_goes_along_if_nobody_has_it(
    call: Call, vilt_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "least_sure.py"
    path.write_text(code_of("README.md", "least_sure.py"))
    options = ("--method", f"{path}:LeastSure", "--backbone", vilt_folder, "--epochs", 1)
    assert call(*options)[0] == 0
    (run,) = folders(tmp_path)
    assert submit(run, "--out", tmp_path / "out") == 0
    (folder,) = (tmp_path / "out").glob("results/*/least_sure-LeastSure/*")
    sources = {name for name in contents(folder) if name.startswith("source/")}
    assert sources == {n for n in contents(run) if n.startswith("source/") and n.endswith(".py")}
    assert (folder / "source" / "least_sure.py").read_text() == path.read_text()
    (verdict,) = check([folder])
    assert verdict.level is Level.CONSISTENT
    (folder / "source" / "least_sure.py").write_text("x = 1")
    (verdict,) = check([folder])
    assert verdict.level is Level.REFUSED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trials": 999}, "tuning.trials is 999, but"),
        ({"recipe": "official"}, "tuning.recipe is not what"),
        ({"sha256": "0b" * 32}, "but tuning.json is not there"),
    ],
)
def test_settings_are_those_of_a_recipe_that_is_there(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    small = next(f for f in results.find_runs([RESULTS]) if "tuning" in results.read(f))
    run = tmp_path / "run"
    restore(small, run)
    assert check([run])[0].level is Level.CONSISTENT
    change_result(run, lambda value: value["tuning"].update(changes))
    if "sha256" in changes:
        change_result(run, lambda value: value["files"].update({TUNING: changes["sha256"]}))
    (verdict,) = check([run])
    assert any(words in line for line in verdict.reasons), verdict.reasons


def test_the_trials_behind_settings_go_along_there_and_back(tmp_path: Path) -> None:
    run = next(
        folder for folder in results.find_runs([RESULTS]) if "tuning" in results.read(folder)
    )  # committed before small forms had it, and readable all the same
    assert check([run])[0].level is Level.CONSISTENT  # by the project's own file of that recipe
    whole = shutil.copytree(run, tmp_path / "run")
    (whole / TUNING).write_text("{}")
    copy_small(whole, tmp_path / "small")
    restore(tmp_path / "small", tmp_path / "back")
    for place in ("small", "back"):
        assert (tmp_path / place / TUNING).read_text() == "{}"
    assert results.read(tmp_path / "back") == results.read(run)
