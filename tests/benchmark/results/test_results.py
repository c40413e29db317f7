"""Result files: round trips, what is refused, whether figures follow from the rows, tables."""

from __future__ import annotations

import hashlib
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
from running import Call, folders, write_exemplars, write_predictions, write_result

from benchmark import metrics, results
from benchmark.results import records
from benchmark.results.__main__ import main as results_main
from benchmark.results.prediction_check import matrix_of
from benchmark.results.schema import Result
from benchmark.results.verify import verify
from mm_imagenet_r.errors import UserError

Make = Callable[..., Result]
SMALL: dict[str, Any] = {"sizes": (3, 2, 2), "test": 4}


REFERENCE = {
    "method": "replay", "method_settings": {}, "method_sha256": "1a" * 32, "seed": 0,
    "fingerprint": "2b" * 32, "counts_sha256": "3c" * 32,
}  # fmt: skip


def seal(folder: Path) -> None:
    """Write the hashes of changed files into the result, as a careful forger would."""

    def change(value: dict[str, Any]) -> None:
        for name in ("predictions.parquet", "exemplars.parquet"):
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            value["files"][name] = digest

    edit(folder / "result.json", change)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    write_result(path, value)


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
    assert results.read(tmp_path)["metrics"]["forgetting"] is None
    assert verify(tmp_path) == []


def test_parquet_round_trip(tmp_path: Path) -> None:
    rows = [records.Prediction(0, "a/b.jpg", 3, 1), records.Prediction(1, "ü.jpg", 0, 0)]
    write_predictions(tmp_path / "p.parquet", rows)
    assert records.read_predictions(tmp_path / "p.parquet") == rows
    kept = [records.Stored(0, 3, 0, "a.jpg", 812, 0.25, "webp")]
    write_exemplars(tmp_path / "e.parquet", kept)
    assert records.read_exemplars(tmp_path / "e.parquet") == kept
    write_exemplars(tmp_path / "none.parquet", [])
    assert records.read_exemplars(tmp_path / "none.parquet") == []


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("label", [1, None], "int32"),
        ("label", ["a", "b"], "string"),
        ("prediction", [[1], [2]], "list"),
        ("phase", [0, 10**18], "int64"),
    ],
)
def test_columns_of_another_kind_are_refused(
    tmp_path: Path, name: str, values: list[Any], kind: str
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"list": pa.list_(pa.int32())}
    columns = {
        "phase": pa.array([0, 0], pa.int16()),
        "file_name": pa.array(["a", "b"]),
        "label": pa.array([0, 0], pa.int32()),
        "prediction": pa.array([0, 0], pa.int32()),
    }
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table(columns), path)
    assert records.read_predictions(path)[0] == records.Prediction(0, "a", 0, 0, "")
    columns[name] = pa.array(values, kinds.get(kind) or pa.type_for_alias(kind))
    pq.write_table(pa.table(columns), path)
    with pytest.raises(UserError, match=rf"p.parquet cannot be read .*column {name} is not"):
        records.read_predictions(path)


def test_newer_schema_says_upgrade(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path, **SMALL)
    edit(tmp_path / "result.json", lambda value: value.update(schema_version=99))
    with pytest.raises(UserError, match=r"schema version 99.*newer version"):
        results.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("budget"), "budget is missing"),
        (lambda v: v["phases"][1]["accuracy"].pop("per_phase"), r"phases\[1\].accuracy.per_phase"),
        (lambda v: v["budget"].update(unit="much"), "budget.unit is not a number"),
        (lambda v: v.update(classifier=True), "classifier is not text"),
        (lambda v: v["phases"].pop(0), r"phases\[0\].index is 1"),
        (lambda v: v["phases"][1]["accuracy"]["per_phase"].append(5.0), "has 3 numbers instead"),
        (lambda v: v["phases"][0]["accuracy"].update(per_phase=[120.0]), "not a percentage"),
        (lambda v: v["phases"][0]["classes"].append(99), "names classes"),
        (lambda v: v["phases"][0]["memory"]["per_class"].update(x=None), "per_class.x is not an"),
        (lambda v: v["phases"][0].update(test=0), "impossible number of samples"),
        (lambda v: v["phases"][0].update(loss=[[1.0]]), "loss is not a list of pairs"),
        (lambda v: v["phases"][0].update(other_classifiers={"a": {"per_phase": [1]}}), "not those"),
        (lambda v: v["config"].update(seeds=[0, 1]), "config.seeds is not a list of one int"),
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
    with pytest.raises(UserError, match="not a valid result file"):
        results.read(tmp_path)
    (tmp_path / "p.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match=r"p.parquet cannot be read"):
        records.read_predictions(tmp_path / "p.parquet")
    write_predictions(tmp_path / "p.parquet", [])
    with pytest.raises(UserError, match=r"p.parquet cannot be read"):
        records.read_exemplars(tmp_path / "p.parquet")
    with pytest.raises(UserError, match=r"q.parquet is missing"):
        records.read_predictions(tmp_path / "q.parquet")


def test_build_refuses_what_read_would(tmp_path: Path, synthetic_run: Make) -> None:
    with pytest.raises(ValueError, match="differ in length"):
        synthetic_run(tmp_path, **SMALL, names=["too", "few"] * 4)


def test_metrics_follow_from_predictions(tmp_path: Path, synthetic_run: Make) -> None:
    made = synthetic_run(tmp_path, **SMALL)
    predictions = records.read_predictions(tmp_path / "predictions.parquet")
    assert metrics.summary(*matrix_of(made, predictions)) == made["metrics"]
    assert verify(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda v: v["phases"][2]["accuracy"]["per_phase"].__setitem__(1, 1.5),
            "after phase 2 on phase 1 is",
        ),
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
        (lambda v: v["config"].update(set=["tau=0.5"]), "^method_settings.tau is none, but 0.5"),
        (lambda v: v["config"].update(epoch=4), "^config is not of this version: .*'epoch'"),
        (lambda v: v["config"].update(phases=70), "^config does not fit the data: 70 phases"),
        (lambda v: v["config"].update(class_order_seed=1), "^class_order.order is not that of"),
        (lambda v: v["class_order"]["order"].reverse(), "^class_order.sha256 is"),
        (lambda v: v["class_order"].update(name="coda"), "^class_order.name is coda, but None"),
        (lambda v: v["config"].update(dataset="mm_imagenet_r", class_order="coda"), "200 classes"),
        (lambda v: v["dataset"].update(split_sha256="E6" * 32), "'E6.* is not a valid hash"),
        (lambda v: v["dataset"].update(split_sha256="e6" * 32), "split_sha256 is .* by the pred"),
        (lambda v: v["dataset"].update(name="maxi"), "^dataset.name is 'maxi', but"),
        (lambda v: v["dataset"].update(train=351), "^dataset.train is 351, but 350"),
        (lambda v: v.update(complete=False), "^complete is False, but True"),
        (
            lambda v: v["phases"][1]["stages"][0].update(steps=0),
            r"^phases\[1\].loss ends at .* of 0",
        ),
        (lambda v: v["phases"][1]["stages"][0].update(steps=99), r"^phases\[1\] took 99 training"),
        (lambda v: v["phases"][1].update(stages=[]), r"^phases\[1\].loss ends at step .* of 0"),
        (lambda v: v["phases"][1].update(classes=[4, 3]), r"^phases\[1\].classes is \[4, 3\]"),
        (lambda v: v["phases"][1]["invariance"].update(differing=3), "3 of 64 samples were"),
        (lambda v: v["phases"][1]["outside_memory"].update(bytes=0), "0, less than its parts"),
        (lambda v: v["budget"].update(amount=6), "^budget.amount is 6, but 5"),
        (lambda v: v["budget"].update(currency="samples"), "^budget.currency is samples, but"),
        (lambda v: v["budget"].update(unit=10.0), "per_class.0.budget is 17062.5, but 50"),
        (lambda v: v.update(sees_all_data=True), "^sees_all_data, but there are exemplars"),
        (lambda v: v.update(kind="memory-free"), "^kind is memory-free, but there are exemplars"),
        (lambda v: v.update(kind="best"), "^kind is 'best'"),
        (lambda v: v.update(harness_sha256="no"), "^harness_sha256 'no' is not a valid hash"),
        (lambda v: v["files"].pop("state"), "^files.state is missing"),
        (lambda v: v["files"].update({"exemplars.parquet": "0a" * 32}), "exemplars.parquet has an"),
        (lambda v: v.update(from_recipe=["phases"]), "^from_recipe names phases"),
        (
            lambda v: v.update(match_exemplars_of=REFERENCE),
            "^match_exemplars_of.method is replay, but None",
        ),
        (
            lambda v: v["config"].update(match_exemplars_of="replay"),
            "^match_exemplars_of.method is None, but replay",
        ),
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
    write_predictions(path, rows)
    assert any(message in line for line in verify(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(), "class 6 chosen after phase 2: 21 exemplars, not as many"),
        (lambda rows: rows.append(rows[-1]._replace(rank=99)), "not as many as in the ledger"),
        (lambda rows: rows.append(rows[0]._replace(label=9)), "class 9 chosen after phase 0"),
        (lambda rows: rows.append(rows[0]._replace(phase=9)), "class 0 chosen after phase 9"),
        (lambda rows: rows.__setitem__(0, rows[0]._replace(rank=50)), "ranks are not 0, 1, 2"),
        (
            lambda rows: rows.__setitem__(0, rows[0]._replace(file_name="m00000000/misc_900.jpg")),
            "m00000000/misc_900.jpg is an exemplar and a test sample",
        ),
        (lambda rows: rows.__setitem__(0, rows[0]._replace(cost=0.5)), "class 0: cost .* but"),
    ],
)
def test_verify_finds_impossible_exemplars(
    tmp_path: Path,
    synthetic_run: Make,
    change: Callable[[list[records.Stored]], object],
    message: str,
) -> None:
    synthetic_run(tmp_path, **SMALL)
    path = tmp_path / "exemplars.parquet"
    rows = records.read_exemplars(path)
    change(rows)
    write_exemplars(path, rows)
    assert any(re.search(message, line) for line in verify(tmp_path)), verify(tmp_path)


def test_verify_compares_the_files_of_the_memory(tmp_path: Path, call: Call) -> None:
    assert call("--epochs", 1)[0] == 0
    (folder,) = folders(tmp_path)
    assert verify(folder) == []
    one, other = sorted((folder / "memory").iterdir())[:2]
    data = one.read_bytes()
    for content, message in (
        (data[:-1], f"has {len(data) - 1} bytes, the ledger {len(data)}"),
        (data + data, f"has {2 * len(data)} bytes, the ledger {len(data)}"),
        (data[:-1] + bytes([data[-1] ^ 1]), "has another hash than its name says"),
    ):
        one.write_bytes(content)
        assert any(message in line for line in verify(folder)), message
    one.write_bytes(data)
    spare = other.with_name(f"class-0000-{other.name[-20:]}")
    other.rename(spare)
    assert [line for line in verify(folder) if "files instead of one" in line] == [
        "memory, class 0: 2 files instead of one",
        "memory, class 1: 0 files instead of one",
    ]
    spare.rename(folder / "memory" / "stray")
    assert "memory/stray belongs to no class of the ledger" in verify(folder)
    shutil.rmtree(folder / "memory")
    assert verify(folder) == []


def test_verify_misses_files(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path / "a", **SMALL)
    (tmp_path / "a" / "predictions.parquet").unlink()
    (tmp_path / "a" / "exemplars.parquet").unlink()
    assert len([line for line in verify(tmp_path / "a") if "is missing" in line]) == 2
    synthetic_run(tmp_path / "none", **SMALL, memory=0)
    (tmp_path / "none" / "exemplars.parquet").unlink()
    assert verify(tmp_path / "none") == []


def test_verify_follows_a_memory_that_shrinks_or_is_chosen_again(
    tmp_path: Path, synthetic_run: Make
) -> None:
    synthetic_run(tmp_path, **SMALL)
    path = tmp_path / "exemplars.parquet"
    rows = records.read_exemplars(path)
    first = [row for row in rows if row.label == 0]
    short, again = first[:2], [first[1]._replace(phase=2, rank=0)]

    def change(value: dict[str, Any]) -> None:
        for phase, kept in zip(value["phases"][1:], (short, again), strict=True):
            memory = phase["memory"]
            entry = memory["per_class"]["0"]
            entry["exemplars"] = len(kept)
            entry["bytes"] = entry["cost"] = sum(row.bytes for row in kept)
            for key in ("exemplars", "bytes", "cost"):
                memory[key] = sum(other[key] for other in memory["per_class"].values())

    edit(tmp_path / "result.json", change)
    assert any("phase 2, class 0" in line for line in verify(tmp_path))
    write_exemplars(path, rows + again)
    seal(tmp_path)
    assert verify(tmp_path) == []


def test_provenance_names_no_machine() -> None:
    found = results.versions()
    assert {"python", "torch", "transformers", "datasets", "numpy", "pillow"} <= set(found)
    words = json.dumps([found, results.hardware("cpu", 1)])
    assert os.uname().nodename not in words
    assert str(Path.home()) not in words
    code = (
        "import sys, benchmark.results as r; r.versions(); r.hardware('cpu', 1); "
        "print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "False"


def test_command_line_verifies(
    tmp_path: Path, synthetic_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic_run(tmp_path / "a", **SMALL)
    assert results_main([str(tmp_path), "--verify"]) == 0
    assert "a: verified" in capsys.readouterr().out
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    edit(
        tmp_path / "b" / "result.json",
        lambda v: v["phases"][2]["accuracy"]["per_phase"].__setitem__(0, 99.0),
    )
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "result.json").write_text("[" * 100_000)
    assert results_main([str(tmp_path), "--verify"]) == 1
    out = capsys.readouterr().out
    assert "a: verified" in out
    absent = "without the files of memory, state and source, which are not checked"
    assert f"b: 1 discrepancy, {absent}\n" in out
    assert "nested too deeply" in out
    assert "Not checked, since it takes the data" in out
    assert "accuracy after phase 2 on phase 0 is" in out


def test_command_line_errors_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results_main([str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert results_main([str(tmp_path)]) == 2
    assert "holds no result.json" in capsys.readouterr().err
