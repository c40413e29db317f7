"""Tables of results: which runs make a row, how rows are called, and how tables are written."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark import table
from benchmark.results import tables as result_tables
from benchmark.results.__main__ import main as results_main
from benchmark.results.schema import Result
from benchmark.results.verify import verify
from benchmark.table.columns import columns
from benchmark.table.compare import Table, compare
from mm_imagenet_r.errors import UserError

Make = Callable[..., Result]
SMALL: dict[str, Any] = {"sizes": (3, 2, 2), "test": 4}
REFERENCE = {
    "method": "replay", "method_settings": {}, "method_sha256": "1a" * 32, "seed": 0,
    "fingerprint": "2b" * 32, "counts_sha256": "3c" * 32,
}  # fmt: skip


def compared(runs: Sequence[Result], **options: Any) -> list[Table]:
    """The tables of runs whose predictions are not looked at."""
    return compare(result_tables.table(runs), **options)


def parsed(runs: Sequence[Result]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.csv_text(table.records(compared(runs))))))


def test_rows_of_further_classifiers(tmp_path: Path, synthetic_run: Make) -> None:
    run = synthetic_run(tmp_path, **SMALL, others=("linear", "nearest"))
    assert verify(tmp_path) == []
    rows = result_tables.table([run])
    assert rows[0].label == "Exemplar masking"
    assert {row.label for row in rows[1:]} == {
        "Exemplar masking · linear", "Exemplar masking · nearest",
    }  # fmt: skip
    assert rows[0].average.mean > rows[1].average.mean
    assert rows[0].bytes == rows[1].bytes
    lines = parsed([run])
    assert sorted(line["classifier"] for line in lines) == ["linear", "nearest", "own"]
    assert {line["kind"] for line in lines} == {"replay"}
    (shown,) = compared([run])
    assert columns(shown)[1].head == "Read by"
    assert columns(shown)[1].cells[0] == "own"
    for reading, labels in (
        ("own", {"Exemplar masking"}),
        ("linear", {"Exemplar masking · linear"}),
        ("all", {row.label for row in rows}),
    ):
        (shown,) = compared([run], reading=reading)
        assert {row.label for row in shown.rows} == labels
    alone = synthetic_run(tmp_path / "alone", **SMALL, method="replay", memory=1)
    assert [row.label for row in compared([alone], reading="linear")[0].rows] == ["Replay"]
    with pytest.raises(UserError, match="--reading liner: did you mean 'linear'"):
        compared([run], reading="liner")


def test_a_result_older_than_an_option_stands_beside_newer_ones(
    tmp_path: Path, synthetic_run: Make
) -> None:
    older, newer = (synthetic_run(tmp_path, **SMALL, seed=seed) for seed in (0, 1))
    del older["config"]["precision"]
    assert [row.seeds for row in result_tables.table([older, newer])] == [(0, 1)]


def test_table_groups_by_everything_but_seed_and_class_order(
    tmp_path: Path, synthetic_run: Make
) -> None:
    em = [
        synthetic_run(tmp_path, **SMALL, seed=s, class_order_seed=o, settings={"tau": 1.0})
        for s, o in ((2, 1993), (0, 1), (1, 1))
    ]
    other = synthetic_run(tmp_path, **SMALL, settings={"tau": 0.6})
    ssf = synthetic_run(tmp_path, **SMALL, method="replay", share=1.0)
    long = synthetic_run(tmp_path, **SMALL, method="replay", share=1.0, config={"epochs": 20})
    there = synthetic_run(
        tmp_path, **SMALL, method="replay", share=1.0, seed=5, config={"output": "elsewhere"}
    )
    big = synthetic_run(tmp_path, **SMALL, memory=10)
    samples = synthetic_run(tmp_path, **SMALL, currency="samples")
    long["config"]["dataset"] = "elsewhere/mini"
    there["dataset"]["name"] = "zzz"  # the same by its hashes
    unfinished = synthetic_run(tmp_path, **SMALL, seed=9, complete=False)
    rows = result_tables.table([*em, other, ssf, there, big, samples, unfinished])
    assert {
        (row.label, row.budget["memory"], row.budget["currency"], row.orders): row.seeds
        for row in rows
    } == {
        ("Exemplar masking (tau=1.0)", "5", "bytes", ("1", "1993")): (0, 1, 2),
        ("Exemplar masking (tau=0.6)", "5", "bytes", ("1993",)): (0,),
        ("Replay", "5", "bytes", ("1993",)): (0, 5),
        ("Exemplar masking", "10", "bytes", ("1993",)): (0,),
        ("Exemplar masking", "5", "samples", ("1993",)): (0,),
    }
    assert "2 class orders, 10 epochs per phase" in rows[0].heading
    rows = result_tables.table([ssf, long])  # other steps are another setting
    assert [row.label for row in rows] == ["Replay", "Replay"]
    assert {re.sub("^.*, (\\d+ epochs).*$", r"\1", row.heading) for row in rows} == {
        "10 epochs", "20 epochs",
    }  # fmt: skip
    rows = result_tables.table([*em, other, ssf, there, big, samples, unfinished])
    row = next(row for row in rows if len(row.seeds) == 3)
    wanted = [run["metrics"]["average_incremental_accuracy"] for run in em]
    assert row.average.mean == pytest.approx(sum(wanted) / 3)
    assert row.average.std is not None
    assert row.bytes == sum(run["phases"][-1]["memory"]["bytes"] for run in em) / 3
    assert len({row.scenario for row in rows}) == 2
    assert len(list(result_tables.by_budget(rows))) == 3


def test_the_same_run_twice_counts_once(
    tmp_path: Path, synthetic_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = synthetic_run(tmp_path / "a", **SMALL)
    synthetic_run(tmp_path / "b", **SMALL, config={"memory": "5.0"})
    rows = result_tables.table([run, run])
    assert [row.seeds for row in rows] == [(0,)]
    assert table.main([str(tmp_path)]) == 0
    assert "left out: 1 repeated with equal figures of 2 runs" in capsys.readouterr().err
    other = synthetic_run(tmp_path / "c", **SMALL, skill=0.3)
    with pytest.raises(UserError, match=r"seed 0 occurs more than once.*leave out all but one"):
        result_tables.table([run, other])


def test_a_row_that_was_not_tuned_changes_no_other_name(
    tmp_path: Path, synthetic_run: Make
) -> None:
    recipe = {"recipe": "mine", "trials": 8, "overridden": []}
    best = synthetic_run(tmp_path, **SMALL, settings={"tau_image": 0.6, "codec": "webp"})
    other = synthetic_run(tmp_path, **SMALL, settings={"tau_image": 1.0, "codec": "jpeg"})
    tuned: Any = {**best, "tuning": recipe}
    assert {row.label for row in result_tables.table([tuned, other])} == {
        "Exemplar masking", "Exemplar masking (not tuned)",
    }  # fmt: skip
    theirs: Any = {**other, "tuning": {**recipe, "recipe": "theirs"}}
    assert {row.label for row in result_tables.table([tuned, theirs])} == {
        "Exemplar masking (recipe mine (8))", "Exemplar masking (recipe theirs (8))",
    }  # fmt: skip


def test_rows_are_told_apart_by_what_made_them(tmp_path: Path, synthetic_run: Make) -> None:
    run = synthetic_run(tmp_path, **SMALL)
    changed: Any = {**run, "seed": 1, "method_sha256": "9f" * 32}
    labels = [row.label for row in result_tables.table([run, changed])]
    assert sorted(labels) == [
        "Exemplar masking (code sha256=3e3e3e3e)", "Exemplar masking (code sha256=9f9f9f9f)",
    ]  # fmt: skip
    variant: Any = {**run, "preset": "paper", "method_settings": {"tau": 2.0}}
    assert [row.label for row in result_tables.table([run, variant])] == [
        "Exemplar masking", "Exemplar masking @paper",
    ]  # fmt: skip
    quick: Any = {**run, "method": "replay", "config": {**run["config"], "method": ["replay"]}}
    quick["config"]["learning_rate"] = 0.5
    quick["from_recipe"] = [name for name in run["from_recipe"] if name != "learning_rate"]
    labels = {row.label for row in result_tables.table([run, quick])}
    # What is left to a method's recipe is not said; what was asked for is.
    assert {label.partition("(")[2] for label in labels} == {"", "learning_rate=0.5)"}
    # Nor is what tuning chose, and least where each memory has its own.
    quick["tuning"] = {"recipe": "fast", "trials": 24, "overridden": []}
    rows = result_tables.table([run, quick])
    assert {row.label for row in rows} == {"Exemplar masking", "Replay"}
    assert {row.tuned for row in rows} == {"", "fast (24)"}
    quick["tuning"]["overridden"] = ["tau"]
    assert result_tables.table([quick])[0].tuned == "fast (24) except tau"
    (shown,) = compared([run, quick])
    assert columns(shown)[-1].head == "Tuned"
    assert "Tuned" not in [column.head for column in columns(*compared([run]))]
    larger: Any = {**run, "method_settings": {"tau": 3.0}}
    larger["budget"] = {**run["budget"], "memory": "9", "amount": 9.0}
    assert {row.label for row in result_tables.table([run, larger])} == {"Exemplar masking"}
    likes: list[Any] = [
        {
            **run,
            "match_exemplars_of": {**REFERENCE, "method_settings": {"tau": tau}, "seed": seed},
            "seed": seed,
        }
        for seed in (0, 1)
        for tau in (1.0, 0.5)
    ]
    rows = result_tables.table(likes)
    assert {row.label: row.seeds for row in rows} == {
        "Exemplar masking (replay.tau=1.0)": (0, 1),
        "Exemplar masking (replay.tau=0.5)": (0, 1),
    }


def test_nothing_is_bold_without_an_interval(tmp_path: Path, synthetic_run: Make) -> None:
    runs = [synthetic_run(tmp_path, **SMALL, method=m, memory=0) for m in ("a", "bb", "joint")]
    (shown,) = compared(runs)
    assert r"\textbf" not in table.latex([shown])
    text = table.markdown([shown])
    assert text.count("**") == 2  # the heading's own
    assert "No interval, one class order: " in text
    assert "Without intervals nothing is in bold." in text
    assert "vs." not in table.markdown(compared(runs[:1]))


def test_every_metric_is_in_the_csv(tmp_path: Path, synthetic_run: Make) -> None:
    run = synthetic_run(tmp_path, sizes=(3,), test=4)
    (row,) = parsed([run])
    assert run["metrics"].keys() <= row.keys()
    assert row["forgetting"] == row["forgetting_std"] == ""
    assert float(row["learning_accuracy"]) == pytest.approx(
        run["metrics"]["learning_accuracy"], abs=1e-4
    )
    assert float(row["steps"]) == run["phases"][0]["steps"]


def test_tables_escape_what_data_brings(tmp_path: Path, synthetic_run: Make) -> None:
    run = synthetic_run(tmp_path, **SMALL, method="a|b_c<d>&50%")
    shown = compared([run])
    assert r"A\|b c&lt;d&gt;&amp;50%" in table.markdown(shown)
    assert r"A\textbar{}b c\textless{}d\textgreater{}\&50\%" in table.latex(shown)
    (line,) = parsed([run])
    assert line["method"] == "a|b_c<d>&50%"
    assert float(line["last_accuracy"]) == pytest.approx(run["metrics"]["last_accuracy"], abs=1e-4)
    assert line["last_accuracy_std"] == ""


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("terminal", ["Exemplar", "±", "5 samples per class = 17.1 kB, in bytes"]),
        ("markdown", ["| Exemplar masking | 2 |", "5 samples per class = 17.1 kB, in bytes"]),
        ("latex", [r"\toprule", r"$\pm$", "5 samples per class = 17.1 kB, in bytes"]),
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
    for main in (table.main, results_main):  # the former command
        assert main([str(tmp_path), "--format", style]) == 0
        out, err = capsys.readouterr()
        assert all(word in out for word in words)
        assert "left out: 1 unfinished of 3 runs" in err
