"""Runs of version 724ec82 stay readable, tabled, verified, shown, and answer where they may."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import report, results
from benchmark.cells import cells, reference_run
from benchmark.config import RunConfig
from benchmark.load_method import load_method, make_settings
from benchmark.older_runs import changed_settings, finished_elsewhere
from benchmark.results.__main__ import main as results_main
from benchmark.results.tables import table
from benchmark.results.verify import verify
from mm_imagenet_r.errors import UserError

RUNS = Path(__file__).parents[2] / "fixtures" / "schema1"
FOLDERS = sorted(path.parent for path in RUNS.rglob("run.json"))
FINISHED = [folder for folder in FOLDERS if (folder / "result.json").exists()]
SMALL = {
    "phases": 2, "epochs": 1, "memory": "0.5", "output": RUNS,
    "dataset": "mini-1", "backbone": "tiny-1",
}  # fmt: skip
MASKED = RUNS / "mini-2phases-0.5-bytes" / "exemplar_masking" / "seed0-4dfcc283"


def cell(**changes: Any) -> RunConfig:
    (found,) = cells(RunConfig(**{**SMALL, **changes}))
    return found


@pytest.mark.parametrize("folder", FINISHED, ids=lambda folder: folder.name)
def test_a_run_is_read_verified_and_shown(folder: Path, tmp_path: Path) -> None:
    result = results.read(folder)
    assert result["schema_version"] == 1
    assert result["method"] in ("replay", "exemplar_masking")
    raw = json.loads((folder / "result.json").read_text())
    assert result["metrics"] == pytest.approx(raw["metrics"])
    assert verify(folder) == []
    assert report.write_report(folder, tmp_path / "page.html").exists()


def test_they_stand_in_one_table_under_their_names_of_today() -> None:
    rows = table([results.read(folder) for folder in FINISHED])
    assert sorted({row.method for row in rows}) == ["exemplar_masking", "replay"]
    labels = " ".join(row.label for row in rows)
    assert "text_swap_prob=0.25" in labels
    assert "swap=0.25" not in labels.replace("text_swap_prob", "")
    assert "ssf" not in labels.replace("tuning=ssf", "")


def test_a_run_is_a_configuration_of_today() -> None:
    result = results.read(MASKED)
    config = result["config"]
    names = (config["dataset"], result["dataset"]["name"], config["backbone"])
    assert (*names, result["backbone"]["name"]) == ("mini-1", "mini-1", "tiny-1", "tiny-1")
    assert set(config["set"]) == {"mask_prob=0.5", "text_swap_prob=0.25"}
    liked = next(results.read(f) for f in FINISHED if "like" in str(f))
    assert liked["config"]["method"] == ["replay"]
    assert liked["config"]["match_exemplars_of"] == "exemplar_masking"
    assert liked["match_exemplars_of"] is not None


@pytest.fixture
def even(tmp_path: Path) -> Path:
    """The results as they would be had no exemplar been trained on: 32 steps in either phase."""
    for folder in FINISHED:
        value = json.loads((folder / "result.json").read_text())
        for phase in value["phases"]:
            phase["steps"] = 32
        copy = tmp_path / folder.relative_to(RUNS)
        copy.mkdir(parents=True)
        (copy / "result.json").write_text(json.dumps(value, indent=1))
    return tmp_path


MASKED_SETTINGS = {"method": ("exemplar_masking",), "tuning": "full"}


@pytest.mark.parametrize(
    ("changes", "folder"),
    [
        ({"method": ("replay",)}, "ssf/seed0-6bfd90f4"),
        ({"method": ("ssf",)}, "ssf/seed0-6bfd90f4"),
        ({"method": ("ssf",), "epochs": RunConfig.epochs, "steps": 32}, "ssf/seed0-6bfd90f4"),
        ({"method": ("ssf",), "learning_rate": 0.01}, "ssf/seed0-6bfd90f4"),
        ({"method": ("exemplar_masking",)}, "exemplar_masking/seed0-da17521b"),
        (
            {**MASKED_SETTINGS, "set": ("swap=.25", "masked_training=0.50")},
            "exemplar_masking/seed0-4dfcc283",
        ),
        (
            {**MASKED_SETTINGS, "set": ("mask_prob=0.5", "exemplar_masking.text_swap_prob=0.25")},
            "exemplar_masking/seed0-4dfcc283",
        ),
        (
            {"method": ("replay",), "match_exemplars_of": "exemplar_masking"},
            "ssf/seed0-11984ad9",
        ),
    ],
)
def test_a_run_that_took_the_steps_of_today_answers(
    even: Path, changes: dict[str, Any], folder: str
) -> None:
    one = cell(**changes, output=even)
    there = finished_elsewhere(one)
    assert there is not None
    assert there.relative_to(even).as_posix().endswith(folder)
    data = results.read(there)["dataset"]["data_sha256"]
    assert finished_elsewhere(one, data) == there
    assert finished_elsewhere(one, "0" * 64) is None  # of other data
    (there / "result.json").write_text("torn")
    assert finished_elsewhere(one) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 2}, {"epochs": RunConfig.epochs, "steps": 33},
        {"epochs": 2, "batch_size": 64}, {"seeds": (1,)},
        {"memory": "0.6"}, {"dataset": "mini"}, {"backbone": "tiny"}, {"tuning": "full"},
        {"learning_rate": 0.02}, {"set": ("selection=random",)}, {"class_order_seed": 1},
        {"match_exemplars_of": "finetune"}, {"evaluate_on": "validation"}, {"method": ("icarl",)},
    ],
    ids=str,
)  # fmt: skip
def test_what_was_asked_for_otherwise_does_not_answer(even: Path, changes: dict[str, Any]) -> None:
    assert finished_elsewhere(cell(**{"method": ("replay",), "output": even})) is not None
    assert finished_elsewhere(cell(**{"method": ("replay",), "output": even, **changes})) is None


def test_a_run_that_took_more_steps_for_its_exemplars_does_not_answer() -> None:
    steps = {f.name: [p["steps"] for p in results.read(f)["phases"]] for f in FINISHED}
    assert steps["seed0-6bfd90f4"] == [32, 32]  # its one exemplar was no step more
    found = finished_elsewhere(cell(method=("replay",)))
    assert found is not None
    assert found.name == "seed0-6bfd90f4"
    assert steps["seed0-da17521b"] == steps["seed0-11984ad9"] == [32, 33]
    assert finished_elsewhere(cell(method=("exemplar_masking",))) is None
    liked = cell(method=("replay",), match_exemplars_of="exemplar_masking")
    assert finished_elsewhere(liked) is None
    assert finished_elsewhere(cell(method=("replay",), seeds=(1,))) is None  # it was stopped


def test_defaults_that_changed_are_named() -> None:
    method, _ = load_method("exemplar_masking")
    stored = results.read(MASKED)["method_settings"]
    given = {"text_swap_prob": "0.25", "mask_prob": "0.5", "min_psnr": "30"}
    assert changed_settings(stored, make_settings(method, "", given)) == []
    (words,) = changed_settings(stored, make_settings(method, "", {**given, "tau_image": "0.7"}))
    assert words == "the default of tau_image was 1.0 then and is 0.7 now"


def test_reference_runs_are_written_as_cells_are() -> None:
    one = cell(method=("replay",), match_exemplars_of="exemplar_masking")
    assert reference_run(one) == cell(method=("exemplar_masking",))


FORGED: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda v: v["metrics"].update(forgetting=-1.0), "metrics.forgetting is -1.0"),
    (lambda v: v.update(method="joint"), "method is joint, but"),
    (lambda v: v.update(seed=7), "seed is 7, but 0"),
    (lambda v: v["test_sizes"].__setitem__(0, 9), "test_sizes is"),
    (lambda v: v["phases"][0]["accuracy"].update(sample_weighted=99.0), "sample_weighted after"),
    (lambda v: v["accuracy_matrix"][1].__setitem__(0, 99.0), "accuracy_matrix is"),
    (lambda v: v["outside_memory"]["what"].update(head=1), "outside_memory.bytes is"),
    (lambda v: [p.update(steps=0) for p in v["phases"]], "steps is 0, but there is something"),
    (lambda v: v["phases"][0].update(steps=7), "stages[0].steps is 7"),
    (lambda v: v["budget"].update(unit=16617.718), "budget.unit is 16617.718, but an untouched"),
    (lambda v: v["dataset"].update(data_sha256="0a" * 32), "dataset.data_sha256 is not that"),
]


@pytest.mark.parametrize(("change", "message"), FORGED, ids=[words for _, words in FORGED])
def test_what_they_say_twice_must_agree(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    shutil.copytree(FINISHED[0], tmp_path / "run")
    path = tmp_path / "run" / "result.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    assert any(message in line for line in verify(tmp_path / "run"))


def test_the_command_says_what_they_are_too_old_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert results_main([str(RUNS), "--verify"]) == 0
    out = capsys.readouterr().out
    assert out.count("verified") >= len(FINISHED)
    assert "schema 1, too old to check: hashes of predictions" in out


def test_broken_old_results_are_refused(tmp_path: Path) -> None:
    value = json.loads((FINISHED[0] / "result.json").read_text())
    for change, message in (
        ({"config": {**value["config"], "epochs": "x"}}, "epochs is not an integer"),
        ({"config": {}}, "not a valid result file"),
        ({"like": {}}, "match_exemplars_of.method is missing"),
        ({"metrics": 5}, "not what version 1 wrote"),
        ({"phases": []}, "phases is empty"),
    ):
        (tmp_path / "result.json").write_text(json.dumps({**value, **change}))
        with pytest.raises(UserError, match=message):
            results.read(tmp_path)
