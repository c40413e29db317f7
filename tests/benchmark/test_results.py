"""Result files: round trips, what is refused, whether figures follow from the rows, tables."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import results
from benchmark.results import formats as table_formats
from benchmark.results import records
from benchmark.results import tables as result_tables
from benchmark.results.schema import Result
from benchmark.results.verify import recompute, verify
from mm_imagenet_r.errors import UserError

Make = Callable[..., Result]
SMALL: dict[str, Any] = {"sizes": (3, 2, 2), "test": 4}


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_json_round_trip_and_same_bytes(tmp_path: Path, synthetic_run: Make) -> None:
    made = synthetic_run(tmp_path / "a", **SMALL)
    assert results.read(tmp_path / "a") == made
    assert results.read(tmp_path / "a" / "result.json") == made
    synthetic_run(tmp_path / "b", **SMALL)
    for name in ("result.json", "predictions.parquet", "exemplars.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_text_of_any_kind_survives_the_layout_of_the_json(
    tmp_path: Path, synthetic_run: Make
) -> None:
    names = ["a, [ 1,\n  2 ]", 'q"  "\\', "  two  spaces", "é", "e", "f", "g"]
    made = synthetic_run(tmp_path, **SMALL, names=names)
    assert results.read(tmp_path)["class_order"]["names"] == made["class_order"]["names"] == names


def test_undefined_becomes_null(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path, sizes=(3,), test=4)
    assert json.loads((tmp_path / "result.json").read_text())["metrics"]["forgetting"] is None
    assert verify(tmp_path) == []


def test_parquet_round_trip(tmp_path: Path) -> None:
    rows = [records.Prediction(0, "a/b.jpg", 3, 1), records.Prediction(1, "ü.jpg", 0, 0)]
    records.write_predictions(tmp_path / "p.parquet", rows)
    assert records.read_predictions(tmp_path / "p.parquet") == rows
    kept = [records.Stored(0, 3, 0, "a.jpg", 812, 0.25, "webp")]
    records.write_exemplars(tmp_path / "e.parquet", kept)
    assert records.read_exemplars(tmp_path / "e.parquet") == kept
    records.write_exemplars(tmp_path / "none.parquet", [])
    assert records.read_exemplars(tmp_path / "none.parquet") == []


def test_newer_schema_says_upgrade(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path, **SMALL)
    edit(tmp_path / "result.json", lambda value: value.update(schema_version=2))
    with pytest.raises(UserError, match=r"schema version 2.*upgrade"):
        results.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("metrics"), "metrics is missing"),
        (lambda v: v["phases"][1]["accuracy"].pop("per_phase"), r"phases\[1\].accuracy.per_phase"),
        (lambda v: v["budget"].update(unit="much"), "budget.unit is neither number nor null"),
        (lambda v: v.update(seed=True), "seed is no integer"),
        (lambda v: v["phases"].pop(), "differ in length"),
        (lambda v: v["accuracy_matrix"][1].append(5.0), r"accuracy_matrix\[1\] has 3 numbers"),
        (lambda v: v["accuracy_matrix"][0].__setitem__(0, 120.0), "no percentage"),
        (lambda v: v["phases"][0]["classes"].append(99), "name classes"),
        (lambda v: v["phases"][0]["memory"]["per_class"].update(x=None), "per_class.x is no obj"),
        (lambda v: v.update(phases=[]), "phases is empty"),
    ],
)
def test_damaged_results_are_refused_by_name(
    tmp_path: Path, synthetic_run: Make, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    synthetic_run(tmp_path, **SMALL)
    edit(tmp_path / "result.json", change)
    with pytest.raises(UserError, match=message) as caught:
        results.read(tmp_path)
    assert str(tmp_path / "result.json") in str(caught.value)


def test_broken_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        results.read(tmp_path)
    (tmp_path / "result.json").write_text('{"schema_version": 1,')
    with pytest.raises(UserError, match=r"result.json is not valid JSON"):
        results.read(tmp_path)
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(UserError, match="no valid result file"):
        results.read(tmp_path)
    (tmp_path / "p.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match=r"p.parquet cannot be read"):
        records.read_predictions(tmp_path / "p.parquet")
    records.write_predictions(tmp_path / "p.parquet", [])
    with pytest.raises(UserError, match=r"p.parquet cannot be read"):
        records.read_exemplars(tmp_path / "p.parquet")
    with pytest.raises(UserError, match=r"q.parquet does not exist"):
        records.read_predictions(tmp_path / "q.parquet")


def test_build_refuses_what_read_would(tmp_path: Path, synthetic_run: Make) -> None:
    with pytest.raises(ValueError, match="differ in length"):
        synthetic_run(tmp_path, **SMALL, names=["too", "few"] * 4)


def test_metrics_follow_from_predictions(tmp_path: Path, synthetic_run: Make) -> None:
    made = synthetic_run(tmp_path, **SMALL)
    predictions = records.read_predictions(tmp_path / "predictions.parquet")
    assert recompute(made, predictions) == made["metrics"]
    assert verify(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["accuracy_matrix"][2].__setitem__(1, 1.5), "after phase 2 on phase 1 is"),
        (lambda v: v["phases"][0]["accuracy"].update(sample_weighted=3.0), "sample_weighted after"),
        (lambda v: v["metrics"].update(forgetting=-1.0), "metrics.forgetting is"),
        (lambda v: v["test_sizes"].__setitem__(0, 99), "test_sizes are|not 99"),
        (lambda v: v["phases"][2]["memory"].update(bytes=7), "bytes 7, but the classes sum to"),
        (
            lambda v: v["phases"][0]["memory"]["per_class"]["1"].update(bytes=7),
            "class 1: .* of 7 bytes in the ledger",
        ),
        (
            lambda v: v["phases"][1]["memory"]["per_class"]["0"].update(budget=9.0),
            "class 0: cost .* exceeds the budget 9.0",
        ),
        (lambda v: v["phases"][1]["memory"].update(budget=9.0), "phase 1: cost .* exceeds"),
    ],
)
def test_verify_finds_figures_that_do_not_follow(
    tmp_path: Path, synthetic_run: Make, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    synthetic_run(tmp_path, **SMALL)
    edit(tmp_path / "result.json", change)
    assert any(re.search(message, line) for line in verify(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(), "predictions of"),
        (lambda rows: rows.__setitem__(0, rows[1]), "predictions of"),
        (lambda rows: rows.__setitem__(0, rows[0]._replace(prediction=6)), "not seen by then"),
        (lambda rows: rows.__setitem__(0, rows[0]._replace(label=1)), "another label"),
        (lambda rows: rows.append(rows[0]._replace(phase=9)), "does not have"),
    ],
)
def test_verify_finds_impossible_predictions(
    tmp_path: Path,
    synthetic_run: Make,
    change: Callable[[list[records.Prediction]], object],
    message: str,
) -> None:
    synthetic_run(tmp_path, **SMALL)
    path = tmp_path / "predictions.parquet"
    rows = records.read_predictions(path)
    change(rows)
    records.write_predictions(path, rows)
    assert any(message in line for line in verify(tmp_path))


def test_verify_misses_files(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path / "a", **SMALL)
    (tmp_path / "a" / "predictions.parquet").unlink()
    (tmp_path / "a" / "exemplars.parquet").unlink()
    assert len([line for line in verify(tmp_path / "a") if "does not exist" in line]) == 2
    synthetic_run(tmp_path / "none", **SMALL, memory=0)
    (tmp_path / "none" / "exemplars.parquet").unlink()
    assert verify(tmp_path / "none") == []


def test_verify_follows_a_memory_that_shrinks_or_is_chosen_anew(
    tmp_path: Path, synthetic_run: Make
) -> None:
    synthetic_run(tmp_path, **SMALL)
    path = tmp_path / "exemplars.parquet"
    rows = records.read_exemplars(path)
    first = [row for row in rows if row.label == 0]
    short, anew = first[:2], [first[2]._replace(phase=2, rank=0)]

    def change(value: dict[str, Any]) -> None:
        for phase, kept in zip(value["phases"][1:], (short, anew), strict=True):
            memory = phase["memory"]
            entry = memory["per_class"]["0"]
            entry["exemplars"] = len(kept)
            entry["bytes"] = entry["cost"] = sum(row.bytes for row in kept)
            for key in ("exemplars", "bytes", "cost"):
                memory[key] = sum(other[key] for other in memory["per_class"].values())

    edit(tmp_path / "result.json", change)
    assert any("phase 2, class 0" in line for line in verify(tmp_path))
    records.write_exemplars(path, rows + anew)
    assert verify(tmp_path) == []


def test_provenance_names_no_machine() -> None:
    found = results.versions()
    assert {"python", "torch", "transformers", "datasets", "numpy", "pillow"} <= set(found)
    words = json.dumps([found, results.hardware()])
    assert os.uname().nodename not in words
    assert str(Path.home()) not in words
    code = (
        "import sys, benchmark.results as r; r.versions(); r.hardware(); "
        "print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "False"


def test_table_groups_by_everything_but_the_seed(tmp_path: Path, synthetic_run: Make) -> None:
    em = [synthetic_run(tmp_path, **SMALL, seed=s, settings={"tau": 1.0}) for s in (2, 0, 1)]
    other = synthetic_run(tmp_path, **SMALL, settings={"tau": 0.6})
    ssf = synthetic_run(tmp_path, **SMALL, method="ssf", share=1.0)
    long = synthetic_run(tmp_path, **SMALL, method="ssf", share=1.0, config={"epochs": 20})
    there = synthetic_run(tmp_path, **SMALL, method="ssf", seed=5, config={"output": "elsewhere"})
    big = synthetic_run(tmp_path, **SMALL, memory=10)
    samples = synthetic_run(tmp_path, **SMALL, currency="samples")
    unfinished = synthetic_run(tmp_path, **SMALL, seed=9, complete=False)
    rows = result_tables.table([*em, other, ssf, long, there, big, samples, unfinished])
    assert {
        (row.label, row.budget["memory"], row.budget["currency"]): row.seeds for row in rows
    } == {
        ("Exemplar masking (tau=1.0)", "5", "bytes"): (0, 1, 2),
        ("Exemplar masking (tau=0.6)", "5", "bytes"): (0,),
        ("SSF (epochs=10)", "5", "bytes"): (0, 5),
        ("SSF (epochs=20)", "5", "bytes"): (0,),
        ("Exemplar masking", "10", "bytes"): (0,),
        ("Exemplar masking", "5", "samples"): (0,),
    }
    row = next(row for row in rows if len(row.seeds) == 3)
    wanted = [run["metrics"]["average_incremental_accuracy"] for run in em]
    assert row.average.mean == pytest.approx(sum(wanted) / 3)
    assert row.average.std is not None
    assert row.bytes == sum(run["phases"][-1]["memory"]["bytes"] for run in em) / 3
    assert len({row.scenario for row in rows}) == 2
    assert len(list(result_tables.by_budget(rows))) == 3


def test_the_same_run_twice_is_refused(tmp_path: Path, synthetic_run: Make) -> None:
    run = synthetic_run(tmp_path, **SMALL)
    with pytest.raises(UserError, match="seed 0 is there 2 times"):
        result_tables.table([run, run])


def test_tables_escape_what_data_brings(tmp_path: Path, synthetic_run: Make) -> None:
    run = synthetic_run(tmp_path, **SMALL, method="a|b_c<d>&50%")
    rows = result_tables.table([run])
    assert r"A\|b c&lt;d&gt;&amp;50%" in table_formats.markdown(rows)
    assert r"A|b c<d>\&50\%" in table_formats.latex(rows)
    parsed = list(csv.DictReader(io.StringIO(table_formats.csv_text(rows))))
    assert parsed[0]["method"] == "a|b_c<d>&50%"
    assert float(parsed[0]["last_accuracy"]) == pytest.approx(
        run["metrics"]["last_accuracy"], abs=1e-4
    )
    assert parsed[0]["last_accuracy_std"] == ""


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("terminal", ["Exemplar", "±", "5 samples a class = 17.1 kB, in bytes"]),
        ("markdown", ["| Exemplar masking | 2 |", "5 samples a class = 17.1 kB, in bytes"]),
        ("latex", [r"\toprule", r"$\pm$", "5 samples a class = 17.1 kB, in bytes"]),
        ("csv", ["exemplar_masking", "bytes,per-class,5,5,3412.5"]),
    ],
)
def test_command_line_tables(
    tmp_path: Path,
    synthetic_run: Make,
    capsys: pytest.CaptureFixture[str],
    style: str,
    words: list[str],
) -> None:
    for seed in (0, 1):
        synthetic_run(tmp_path / str(seed), **SMALL, seed=seed)
    synthetic_run(tmp_path / "rest", **SMALL, seed=3, complete=False)
    assert results.main([str(tmp_path), "--format", style]) == 0
    out, err = capsys.readouterr()
    assert all(word in out for word in words)
    assert "left out: 1 unfinished of 3 runs" in err


def test_command_line_verifies(
    tmp_path: Path, synthetic_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic_run(tmp_path / "a", **SMALL)
    assert results.main([str(tmp_path), "--verify"]) == 0
    assert "a: verified" in capsys.readouterr().out
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    edit(tmp_path / "b" / "result.json", lambda v: v["metrics"].update(last_accuracy=99.0))
    assert results.main([str(tmp_path), "--verify"]) == 1
    out = capsys.readouterr().out
    assert "a: verified" in out
    assert "b: 1 discrepancies" in out
    assert "metrics.last_accuracy is" in out


def test_command_line_errors_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main([str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert results.main([str(tmp_path)]) == 2
    assert "holds no result.json" in capsys.readouterr().err
