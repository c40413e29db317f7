"""A real run of mini-1 in the schema of today, forged in every way that a folder can show."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forging import change_predictions, change_result, finished_run, recount
from running import write_predictions
from tampering import another_dataset, four_times, untrained

from benchmark import run_files
from benchmark.config import RunConfig
from benchmark.data.known import known
from benchmark.results import records
from benchmark.results.__main__ import main as results_main
from benchmark.results.verify import UNCHECKED, verify, verify_all

MORE = {"name": "more", "items": 1000, "steps": 1}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of mini-1."""
    return finished_run(tmp_path / "run")


def test_the_run_itself_is_verified(run: Path) -> None:
    assert verify(run) == []
    (verdict,) = verify_all([run])
    assert verdict.notes == []


def cut(value: dict[str, Any]) -> None:
    value["phases"].pop()
    value["complete"] = False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (four_times, "budget.unit is 16617.7"),
        (another_dataset, "dataset.num_classes is 40, not that of mm_imagenet_r"),
        (another_dataset, "labels not as in mm_imagenet_r"),
        (another_dataset, "split_sha256 is not that of the test part of mm_imagenet_r"),
        (lambda v: v["dataset"].update(data_sha256="0b" * 32), "data_sha256 is not that of mini-1"),
        (lambda v: v["dataset"].update(captions_id="0b" * 32), "captions_id is not that of mini-1"),
        (lambda v: v["backbone"].update(sha256="0b" * 32), "backbone.sha256 is not that of tiny-1"),
        (lambda v: v["files"].update(state="0b" * 32), "no file in state/ has the hash"),
        (lambda v: v.update(method_sha256="0b" * 32), "method_sha256 is not that of the files in"),
        (lambda v: v["config"].update(evaluate_on="validation"), "that of the validation part"),
        (lambda v: v["phases"][0]["stages"][0].update(steps=0), "loss ends at step 32 of 0"),
        (lambda v: v["phases"][1]["stages"][0].update(steps=33), "took 33 training steps of 32"),
        (lambda v: v["phases"][1]["stages"].append(MORE), "took 33 training steps of 32"),
        (
            lambda v: v["config"].update(epochs=RunConfig.epochs, steps=31),
            "phases[0] took 32 training steps of 31",
        ),
        (lambda v: v["phases"][1]["outside_memory"].update(bytes=15520), "phase-01.pt has"),
        (lambda v: v["phases"][0].update(train=999), "phases[0].train is 999, but mini-1 has 1000"),
        (lambda v: v["class_order"]["names"].reverse(), "class_order.names is not that of mini-1"),
        (cut, "state/ has"),
    ],
)
def test_a_forged_result_is_found(
    run: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    change_result(run, change)
    found = verify(run)
    if message == "state/ has":  # an honest run that was cut short is unfinished, and says so
        (verdict,) = verify_all([run])
        assert "unfinished after 1 of its phases" in verdict.notes
    else:
        assert any(message in line for line in found), found


def test_labels_permuted_among_files_are_found(run: Path) -> None:
    change_predictions(run, lambda row: row._replace(label=row.label ^ 1))
    assert any("labels not as in mini-1" in line for line in verify(run))


def test_predictions_replaced_by_labels_are_found(run: Path) -> None:
    path = run / run_files.PREDICTIONS
    rows = [row._replace(prediction=row.label) for row in records.read_predictions(path)]
    write_predictions(path, rows)
    found = verify(run)
    assert any("predictions.parquet has another hash" in line for line in found)
    assert any("accuracy after phase 0 on phase 0 is 100.0" in line for line in found)


def test_what_is_not_a_file_of_the_memory_is_named(run: Path) -> None:
    (run / "memory" / ".ipynb_checkpoints").mkdir()
    assert verify(run) == ["memory/.ipynb_checkpoints is not a regular file"]


def test_a_doubled_key_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / run_files.RESULT
    path.write_text(path.read_text().replace("{", '{"complete": false,', 1))
    assert results_main([str(run), "--verify"]) == 1
    assert "the key 'complete' occurs twice" in capsys.readouterr().out


@pytest.mark.parametrize(
    "unit",
    ['"\\ud800"', "1e400", "NaN", "Infinity", "1" + "0" * 400, "1" + "0" * 5000, "[" * 100_000],
)
def test_numbers_that_are_none_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str], unit: str
) -> None:
    shutil.copytree(run, run.with_name("whole"))
    path = run / run_files.RESULT
    path.write_text(path.read_text().replace('"unit": 4154.4295', f'"unit": {unit}'))
    assert results_main([str(run.parent), "--verify"]) == 1
    out = capsys.readouterr().out
    assert "is not valid JSON" in out
    assert "whole: verified" in out


def test_one_seed_copied_as_another_is_found(run: Path) -> None:
    copy = run.with_name("seed7")
    shutil.copytree(run, copy)
    change_result(copy, lambda value: value["config"].update(seeds=[7]))
    assert verify(copy) == []
    first, second = verify_all([run, copy])
    assert first.found == []
    assert second.found == [f"the predictions are those of {run}, which has another seed"]

    rows = records.read_predictions(copy / run_files.PREDICTIONS)
    wrong = next(row for row in rows if row.label != row.prediction != 0)
    change_predictions(copy, lambda row: row._replace(prediction=0) if row == wrong else row)
    recount(copy)
    _, second = verify_all([run, copy])
    assert (second.found, second.notes) == ([], [])  # as docs/trust.md says: a re-run only
    shutil.rmtree(copy)
    shutil.copytree(run, copy)
    change_result(copy, lambda value: value["config"].update(seeds=[7]))

    for folder in (run, copy):
        change_result(folder, untrained)
    _, second = verify_all([run, copy])
    assert second.found == []  # what trains nothing may well give the same with every seed
    assert "has another seed" in second.notes[0]


def test_what_cannot_be_found_is_named() -> None:
    for words in ("learning rate", "edited together with their hash", "once their files"):
        assert words in UNCHECKED


def test_what_is_known_of_mm_imagenet_r() -> None:
    found = known("mm_imagenet_r:instructblip", "seed42", "test")
    assert found is not None
    assert found.part is not None
    assert (sum(found.part.train), sum(found.part.test)) == (24_000, 6_000)
    assert found.part.split_sha256.startswith("2e5b4fe07c531005")
    assert found.label("n01484850/art_0.jpg") == 1
    assert found.label("elsewhere/art_0.jpg") is None
    coda = known("mm_imagenet_r:x", "coda", "test")
    assert coda is not None
    assert coda.part is not None
    validation = known("mm_imagenet_r:x", "seed42", "validation")
    assert validation is not None
    assert validation.part is not None
    assert sum(validation.part.train) + sum(validation.part.test) == 24_000
    assert known("elsewhere", "seed42", "test") is None


@pytest.mark.parametrize("edition", ["mini-1", "mini"])
def test_what_is_shipped_of_mini_is_so(edition: str) -> None:
    from importlib import resources

    from benchmark.data.known import measure

    shipped = json.loads(resources.files("benchmark.data").joinpath("known.json").read_text())
    assert shipped[edition] == measure(edition), "run python -m benchmark.data.known"
