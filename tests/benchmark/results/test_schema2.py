"""Runs of version a6ab439 stay readable, tabled, verified and shown, and answer where they may."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import report, results
from benchmark.cells import cells
from benchmark.config import RunConfig
from benchmark.older_runs import finished_elsewhere
from benchmark.options import parse
from benchmark.results.tables import table
from benchmark.results.verify import verify, verify_all

RUNS = Path(__file__).parents[2] / "fixtures" / "schema2"
FOLDERS = {path.parent.parent.name: path.parent for path in RUNS.rglob("result.json")}


def cell(**changes: Any) -> RunConfig:
    small: dict[str, Any] = {
        "method": ("finetune",), "phases": 2, "epochs": 1, "memory": "0.5", "output": RUNS,
        "dataset": "mini-1", "backbone": "tiny-1",
    }  # fmt: skip
    (found,) = cells(RunConfig(**small | changes))
    return found


@pytest.mark.parametrize("method", ["finetune", "exemplar_masking", "icarl"])
def test_a_run_is_read_verified_and_shown(method: str, tmp_path: Path) -> None:
    result = results.read(FOLDERS[method])
    assert (result["schema_version"], result["method"]) == (2, method)
    config = result["config"]
    names = (config["dataset"], result["dataset"]["name"], config["backbone"])
    assert (*names, result["backbone"]["name"]) == ("mini-1", "mini-1", "tiny-1", "tiny-1")
    assert result["from_recipe"] == ["tuning", "learning_rate", "weight_decay"]
    assert [stage.get("epochs") for phase in result["phases"] for stage in phase["stages"]] == [
        1,
        1,
    ]
    (verdict,) = verify_all([FOLDERS[method]])
    assert verdict.found == []
    absent = "state and source" if method == "finetune" else "memory, state and source"
    assert verdict.notes == [f"without the files of {absent}, which are not checked"]
    page = report.write_report(FOLDERS[method], tmp_path / "page.html")
    assert "Every stage" in page.read_text()


def test_they_stand_in_one_table() -> None:
    rows = table([results.read(folder) for folder in FOLDERS.values()])
    named = {(row.method, row.classifier) for row in rows}
    assert named == {
        ("exemplar_masking", ""), ("finetune", ""), ("icarl", "nme"), ("icarl", "linear"),
    }  # fmt: skip
    assert {row.steps for row in rows} == {64, 65}  # more exemplars took more of them then
    headings = {row.heading for row in rows}
    assert all(line.startswith("mini-1, 2 phases of 20 classes") for line in headings)
    assert all("backbone tiny-1" in line for line in headings)


def test_a_run_that_took_the_steps_of_today_answers() -> None:
    one = cell()
    assert finished_elsewhere(one) == FOLDERS["finetune"]
    data = results.read(FOLDERS["finetune"])["dataset"]["data_sha256"]
    assert finished_elsewhere(one, data) == FOLDERS["finetune"]
    assert finished_elsewhere(one, "0" * 64) is None
    assert finished_elsewhere(cell(epochs=RunConfig.epochs, steps=32)) == FOLDERS["finetune"]
    for method in ("exemplar_masking", "icarl"):  # 33 in the second phase
        liked = "exemplar_masking" if method == "icarl" else None
        assert finished_elsewhere(cell(method=(method,), match_exemplars_of=liked)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 2}, {"epochs": RunConfig.epochs, "steps": 33},
        {"epochs": 2, "batch_size": 64}, {"seeds": (1,)},
        {"dataset": "mini"}, {"backbone": "tiny"}, {"tuning": "full"}, {"memory": "1"},
        {"set": ("distillation=1",)}, {"phases": 4}, {"method": ("joint",)},
    ],
    ids=str,
)  # fmt: skip
def test_what_was_asked_for_otherwise_does_not_answer(changes: dict[str, Any]) -> None:
    assert finished_elsewhere(cell(**changes)) is None


def test_a_result_of_today_is_not_one_of_an_older_version(tmp_path: Path) -> None:
    folder = tmp_path / FOLDERS["finetune"].relative_to(RUNS)
    shutil.copytree(FOLDERS["finetune"], folder)
    assert finished_elsewhere(cell(output=tmp_path)) == folder
    path = folder / "result.json"
    text = path.read_text()
    path.write_text(text.replace('"schema_version": 2', '"schema_version": 3'))
    assert finished_elsewhere(cell(output=tmp_path)) is None
    path.write_text(text.replace('"complete": true', '"complete": false'))
    assert finished_elsewhere(cell(output=tmp_path)) is None
    path.write_text(json.dumps(json.loads(text)))  # in another way of writing
    assert finished_elsewhere(cell(output=tmp_path)) == folder
    path.write_text(json.dumps(json.loads(text), sort_keys=True))  # as no version wrote it
    assert finished_elsewhere(cell(output=tmp_path)) is None


def test_code_that_a_result_names_is_not_run_to_look_at_it(tmp_path: Path) -> None:
    evil, marker = tmp_path / "evil.py", tmp_path / "ran"
    evil.write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    folder = tmp_path / FOLDERS["finetune"].relative_to(RUNS)
    shutil.copytree(FOLDERS["finetune"], folder)
    value = json.loads((folder / "result.json").read_text())
    value["config"]["match_exemplars_of"] = f"{evil}:Evil"
    (folder / "result.json").write_text(json.dumps(value))
    assert finished_elsewhere(cell(output=tmp_path)) is None
    assert not marker.exists()


def test_a_result_is_a_configuration_of_today() -> None:
    """Its epochs say what they say today, passes over new samples."""
    config, _ = parse(["--config", str(FOLDERS["exemplar_masking"] / "result.json")])
    assert (config.dataset, config.backbone, config.epochs) == ("mini-1", "tiny-1", 1)
    assert config.method == ("exemplar_masking",)


def changed(tmp_path: Path, method: str, change: Callable[[dict[str, Any]], object]) -> Path:
    shutil.copytree(FOLDERS[method], tmp_path / "run")
    path = tmp_path / "run" / "result.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    return path.parent


FORGED: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda v: v["phases"][1]["stages"][0].update(steps=32), "stages[0].steps is 32, but 33"),
    (lambda v: v["phases"][1]["stages"][0].update(epochs=2), "stages[0].steps is 33, but 66"),
    (
        lambda v: v["phases"][1]["accuracy"]["per_phase"].__setitem__(0, 99.0),
        "after phase 1 on phase 0 is",
    ),
    (lambda v: v["files"].update({"predictions.parquet": "0b" * 32}), "has another hash than"),
    (lambda v: v["match_exemplars_of"].update(seed=7), "match_exemplars_of.seed is 7, but 0"),
    (lambda v: v["budget"].update(memory="as joint with memory 1"), "budget.memory is as joint"),
]


@pytest.mark.parametrize(("change", "message"), FORGED, ids=[words for _, words in FORGED])
def test_what_they_say_must_agree(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    found = verify(changed(tmp_path, "icarl", change))
    assert any(message in line for line in found), found


def test_a_preset_that_was_renamed_is_the_same_reference(tmp_path: Path) -> None:
    """The run whose exemplars are matched was named by its preset of then in three places."""

    def named(value: dict[str, Any]) -> None:
        value["config"]["match_exemplars_of"] = "exemplar_masking@paper"
        value["match_exemplars_of"]["method"] = "exemplar_masking@paper"
        memory = "as exemplar_masking@paper with memory 0.5 in bytes"
        value["budget"]["memory"] = memory

    folder = changed(tmp_path, "icarl", named)
    assert verify(folder) == []
    result = results.read(folder)
    assert result["match_exemplars_of"] is not None
    assert result["match_exemplars_of"]["method"] == "exemplar_masking@figures"


def test_epochs_without_effect_are_no_contradiction(tmp_path: Path) -> None:
    """A method of the user's own might have said that it has no use for them."""

    def unused(value: dict[str, Any]) -> None:
        value["config"]["epochs"] = None
        for phase in value["phases"]:
            phase.update(stages=[], loss=[])

    assert verify(changed(tmp_path, "finetune", unused)) == []
