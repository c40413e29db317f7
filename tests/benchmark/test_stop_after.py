"""A run that stops before the last phase: the beginning of the whole one, not mixed with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from running import Call, folders, write_result

from benchmark import results, save
from benchmark.config import RunConfig
from benchmark.results.records import read_exemplars, read_predictions
from benchmark.results.tables import table
from benchmark.results.verify import verify, verify_all
from mm_imagenet_r.errors import UserError


def test_it_is_the_beginning_of_the_whole_run(tmp_path: Path, call: Call) -> None:
    assert call()[0] == 0
    code, out, _ = call("--stop-after", 2)
    assert code == 0
    assert "6 classes in 3 phases (the run stops after 2)" in out
    assert out.count("\nphase ") == 2
    stopped, whole = folders(tmp_path)
    assert "coloured-2of3phases-2-bytes" in str(stopped)
    assert verify(stopped) == []
    (verdict,) = verify_all([stopped])
    assert "the first 2 of 3 phases of 2 classes alone" in verdict.notes
    one, other = results.read(stopped), results.read(whole)
    assert one["complete"]
    assert one["accuracy_matrix"] == other["accuracy_matrix"][:2]
    assert one["budget"] == other["budget"]
    for read, name in (
        (read_predictions, "predictions.parquet"),
        (read_exemplars, "exemplars.parquet"),
    ):
        rows: Any = read
        assert rows(stopped / name) == [row for row in rows(whole / name) if row.phase < 2]
    code, out, _ = call("--stop-after", 2)
    assert "done: " in out


def test_it_is_compared_with_its_like_alone(tmp_path: Path, call: Call) -> None:
    assert call()[0] == call("--stop-after", 2)[0] == call("--stop-after", 1)[0] == 0
    rows = table([results.read(folder) for folder in folders(tmp_path)])
    assert len({row.scenario for row in rows}) == 3
    headings = " ".join(row.heading for row in rows)
    assert "the first 2 of 3 phases" in headings
    assert "the first 1 of 3 phases" in headings


def test_a_stopped_run_that_claims_to_be_whole_is_found_out(tmp_path: Path, call: Call) -> None:
    call("--stop-after", 2)
    (folder,) = folders(tmp_path)
    path = folder / "result.json"
    value = json.loads(path.read_text())
    assert value["config"]["stop_after"] == 2
    value["config"]["stop_after"] = None
    write_result(path, value)
    assert any("complete is True" in line for line in verify(folder))


def test_all_phases_are_no_stop(tmp_path: Path) -> None:
    assert RunConfig(phases=4, stop_after=4) == RunConfig(phases=4)
    assert RunConfig(stop_after=3).fingerprint() != RunConfig().fingerprint()
    with pytest.raises(UserError, match="--stop-after 5: there are 4 phases"):
        RunConfig(phases=4, stop_after=5)
    with pytest.raises(UserError, match="at least 1"):
        RunConfig(stop_after=0)


@pytest.mark.filterwarnings("ignore:.*ViltImageProcessor")
def test_the_model_of_a_stopped_run_has_the_classes_it_learned(
    tmp_path: Path, call: Call, vilt_folder: Path
) -> None:
    from safetensors.torch import load_file

    options = ("--method", "replay", "--backbone", vilt_folder, "--epochs", 1, "--stop-after", 2)
    assert call(*options)[0] == 0
    (run,) = folders(tmp_path)
    assert save.main([str(run), str(tmp_path / "model")]) == 0
    assert len(load_file(tmp_path / "model" / "classifier.safetensors")["weight"]) == 4
    card = (tmp_path / "model" / "README.md").read_text()
    assert "learned 4 classes of captioned images in the first 2 of 3 phases" in card
