"""Differences between methods: over which runs and images, with which words; the command."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import xml.dom.minidom
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Call, write_predictions, write_result

from benchmark import table
from benchmark.report.plots import write_curve
from benchmark.results.records import read_predictions
from benchmark.results.schema import Result
from benchmark.run_files import PREDICTIONS, RESULT
from benchmark.table.columns import columns, remarks
from benchmark.table.compare import Table
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import file_sha256

Make = Callable[..., Result]
Runs = Callable[..., None]
SIZES: dict[str, Any] = {"sizes": (3, 2, 2), "test": 15}
ORDERS = (1993, 1, 2)
SCHEMA1 = Path(__file__).parents[2] / "fixtures" / "schema1"


@pytest.fixture
def write(tmp_path: Path, synthetic_run: Make) -> Runs:
    """Write runs of a method, one for each class order and seed."""

    def make(method: str, *, orders: Sequence[int] = ORDERS, seed: int = 0, **options: Any) -> None:
        for order in orders:
            name = (
                f"{method}-{options.get('memory', 5)}-{options.get('currency', '')}-{order}-{seed}"
            )
            given = {**SIZES, "method": method, "seed": seed, "class_order_seed": order, **options}
            synthetic_run(tmp_path / name, **given)

    return make


def only(path: Path, **options: Any) -> Table:
    (found,) = table.tables([path], **options)
    return found


def column(shown: Table, head: str) -> list[str]:
    """The first column of that title."""
    return next(list(one.cells) for one in columns(shown) if one.head == head)


def test_a_row_that_beats_all_others_is_bold(tmp_path: Path, write: Runs) -> None:
    write("exemplar_masking", skill=0.15)
    write("replay", skill=-0.3)
    write("joint", skill=0.4)
    shown = only(tmp_path)
    assert [row.label for row in shown.rows] == ["Joint", "Exemplar masking", "Replay"]
    assert column(shown, "n") == ["3", "3", "3"]
    average, last = shown.standings
    assert (average.winner, last.winner) == (1, 1)
    assert average.baseline == 1
    assert average.differences[1] is None
    difference = average.differences[2]
    assert difference is not None
    assert difference.interval is not None
    assert difference.interval.high < 0
    name = "average_incremental_accuracy"
    means = [np.mean([run["metrics"][name] for run in row.runs]) for row in shown.rows]  # type: ignore[misc]
    assert difference.mean == pytest.approx(means[2] - means[1])
    assert difference.interval.difference == pytest.approx(difference.mean)
    text = table.markdown([shown])
    assert len(re.findall(r"\*\*\d", text)) == 2
    assert "≈" not in text.split("\n\n")[1]
    assert r"& \textbf{" in table.latex([shown])


def test_rows_without_a_difference_are_level_and_nothing_is_bold(
    tmp_path: Path, write: Runs
) -> None:
    write("mrdc")
    write("codec")
    write("finetune", skill=-0.6)
    shown = only(tmp_path)
    average = shown.standings[0]
    assert average.winner is None
    assert average.level == {0, 1}
    assert [cell.startswith("≈") for cell in column(shown, "Average acc.")] == [True, True, False]
    assert r"\textbf" not in table.latex([shown])


def test_readings_of_the_same_runs_are_no_rivals(tmp_path: Path, write: Runs) -> None:
    write("exemplar_masking", skill=0.1, others=("linear",))
    write("replay", skill=-0.5)
    shown = only(tmp_path)
    assert len(shown.rows) == 3
    assert shown.standings[0].winner == 0
    alone = only(tmp_path, reading="own")
    assert [row.classifier for row in alone.rows] == ["own", ""]
    assert alone.standings[0].winner == 0


def test_runs_are_paired_by_class_order_and_seed(tmp_path: Path, write: Runs) -> None:
    write("exemplar_masking", orders=(1993, 1, 2, 3), skill=0.2)
    write("replay", orders=(1, 2, 7), skill=-0.2)
    shown = only(tmp_path)
    difference = shown.standings[0].differences[1]
    assert difference is not None
    assert difference.orders == 2
    runs = [{run["class_order"]["seed"]: run for run in row.runs} for row in shown.rows]
    name = "average_incremental_accuracy"
    wanted = [runs[1][seed]["metrics"][name] - runs[0][seed]["metrics"][name] for seed in (1, 2)]  # type: ignore[operator]
    assert difference.mean == pytest.approx(np.mean(wanted))
    assert column(shown, "vs. Exemplar masking")[1].endswith("] (2 orders)")
    assert "5 class orders" in shown.heading


def test_seeds_of_one_order_are_averaged_first(tmp_path: Path, write: Runs) -> None:
    for seed in (0, 1):
        write("exemplar_masking", seed=seed)
        write("replay", seed=seed)
    shown = only(tmp_path)
    assert column(shown, "n") == ["6", "6"]
    assert column(shown, "Orders") == ["3", "3"]
    difference = shown.standings[0].differences[1]
    assert difference is not None
    assert difference.orders == 3


def test_seeds_of_the_only_order_give_an_interval_that_says_so(tmp_path: Path, write: Runs) -> None:
    for seed in (0, 1, 2):
        write("exemplar_masking", orders=(1,), seed=seed, skill=0.2)
        write("replay", orders=(1,), seed=seed, skill=-0.3)
    shown = only(tmp_path)
    difference = shown.standings[0].differences[1]
    assert difference is not None
    assert (difference.orders, difference.seeds) == (1, 3)
    assert difference.interval is not None
    assert difference.interval.high < 0
    assert 0 < difference.interval.p < 0.05
    assert column(shown, "vs. Exemplar masking")[1].endswith("] (3 seeds)")
    assert "Intervals over seeds hold for one class order: others may differ more." in remarks(
        shown
    )
    record = table.records([shown])[1]
    assert (record["average_orders"], record["average_seeds"]) == (1, 3)
    assert record["average_p"] == difference.interval.p


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda path: path.unlink(), "no predictions: Replay"),
        (
            lambda path: shutil.copy(
                path.parent.parent / "exemplar_masking-5--1-0" / path.name, path
            ),
            "does not belong to its result: Replay",
        ),
        (
            lambda path: write_predictions(
                path,
                [row._replace(file_name=f"x{row.file_name}") for row in read_predictions(path)],
            ),
            "other test images: Replay",
        ),
        (lambda path: path.write_bytes(b"PAR1"), "cannot be read as the Parquet file"),
        (lambda path: path.write_bytes(b"PAR1"), "was changed after it was written"),
    ],
)
def test_where_there_is_no_interval_the_table_says_why(
    tmp_path: Path, write: Runs, break_it: Callable[[Path], object], words: str
) -> None:
    write("exemplar_masking", skill=0.3)
    write("replay", skill=-0.3)
    path = tmp_path / "replay-5--1-0" / PREDICTIONS
    break_it(path)
    if path.exists() and words != "was changed after it was written":  # as one who knows the hash
        value = json.loads((path.parent / RESULT).read_text())
        value["files"][PREDICTIONS] = file_sha256(path)
        write_result(path.parent / RESULT, value)
    shown = only(tmp_path)
    (said, *_) = remarks(shown)
    assert said.startswith("No interval, ")
    assert words in said
    assert all(standing.winner is None for standing in shown.standings)
    assert re.fullmatch(r"-\d+\.\d", column(shown, "vs. Exemplar masking")[1])


def test_one_order_or_none_in_common_gives_no_interval(tmp_path: Path, write: Runs) -> None:
    write("exemplar_masking", orders=(1,), skill=0.5)
    write("replay", orders=(1,))
    write("mrdc", orders=(2,), skill=-0.4)
    said = " ".join(remarks(only(tmp_path)))
    assert "No interval, one class order: Replay." in said
    assert "No interval, no class order and seed in common: MRDC." in said


def test_methods_without_exemplars_stand_beside_every_memory(tmp_path: Path, write: Runs) -> None:
    for memory in (1, 5):
        write("replay", orders=(1,), memory=memory)
    write("replay", orders=(1,), currency="samples")
    write("joint", orders=(1,), skill=0.3)
    write("joint", orders=(1,), memory=1, skill=0.3)
    tables = table.tables([tmp_path / "joint-5--1-0", *tmp_path.glob("replay*")])
    assert len(tables) == 3
    assert all({row.method for row in one.rows} == {"joint", "replay"} for one in tables)
    one = table.tables([tmp_path / "joint-5--1-0"])
    assert [row.method for row in one[0].rows] == ["joint"]
    with pytest.raises(UserError, match="joint with seed 0 occurs more than once"):
        table.tables([tmp_path])


def test_the_baseline_is_the_row_asked_for(tmp_path: Path, write: Runs) -> None:
    write("exemplar_masking", skill=0.2)
    write("replay", others=("linear",))
    write("mrdc", skill=-0.3)
    for name in ("replay", "ssf", "Replay"):
        shown = only(tmp_path, baseline=name)
        assert column(shown, "vs. Replay")[0].startswith("+")
        assert {standing.baseline for standing in shown.standings} == {1}
    shown = only(tmp_path, baseline="Replay · linear", metrics=("learning",))
    assert column(shown, "vs. Replay · linear")[0].startswith("+")
    assert [standing.metric for standing in shown.standings] == ["learning"]
    with pytest.raises(UserError, match="--baseline replai matches no row: did you mean 'replay'"):
        table.tables([tmp_path], baseline="replai")
    with pytest.raises(UserError, match="--metric averag: did you mean 'average'"):
        table.tables([tmp_path], metrics=("averag",))
    write("replay", settings={"tau": 1.0}, seed=1)
    with pytest.raises(
        UserError, match=r"several rows: use one of 'Replay \(.*'Replay \(tau=1.0\)'"
    ):
        table.tables([tmp_path], baseline="replay")


def test_a_table_without_the_baseline_has_no_such_column(tmp_path: Path, write: Runs) -> None:
    write("exemplar_masking", orders=(1,), memory=1)
    for method in ("exemplar_masking", "replay"):
        write(method, orders=(1,))
    small, large = table.tables([tmp_path], baseline="replay")
    assert not any(one.head.startswith("vs.") for one in columns(small))
    assert "Nothing to compare with." in remarks(small)
    assert any(one.head == "vs. Replay" for one in columns(large))


def test_latex_is_a_table_with_caption_and_label(tmp_path: Path, write: Runs) -> None:
    for currency in ("bytes", "samples"):
        write("exemplar_masking", currency=currency, skill=0.2)
        write("replay", currency=currency, skill=-0.2)
    text = table.latex(table.tables([tmp_path]), caption="Ours.", label="tab:all")
    for part in ("table", "tabular"):
        assert text.count(rf"\begin{{{part}}}") == text.count(rf"\end{{{part}}}") == 2
    assert text.count(r"\caption{Ours. shapes, 3 phases") == 2
    assert re.findall(r"\\label\{(.*?)\}", text) == ["tab:all-1", "tab:all-2"]
    assert text.count("Accuracy in") == 1  # said in the first caption, to which others refer
    assert r"To be read as Table~\ref{tab:all-1}." in text
    assert "Parameters" not in text
    assert "Parameters" in table.latex(table.tables([tmp_path]), wide=True)
    assert text.count("{") == text.count("}")
    assert text.isascii()
    (one, _) = re.findall(r"\\begin\{tabular\}\{(l+r+)\}(.*?)\\end", text, re.DOTALL)
    lines = [line for line in one[1].splitlines() if line.endswith(r"\\")]
    assert len(lines) == 3
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(one[0]) - 1}
    bare = re.sub(r"^%.*$", "", re.sub(r"\\[&%$#_{}]", "", text), flags=re.MULTILINE)
    assert not re.search(r"[%#_]", bare.replace("tab:", ""))
    assert re.search(r"\$-\d+\.\d\$ \[\$-\d+\.\d\$, \$-\d+\.\d\$\]", text)
    alone = table.latex(table.tables([tmp_path / "replay-5-bytes-1-0"]))
    assert r"\label{tab:results}" in alone


def test_csv_has_differences_and_what_a_row_costs(tmp_path: Path, write: Runs) -> None:
    write("exemplar_masking", skill=0.2)
    write("replay", skill=-0.3)
    lines = list(
        csv.DictReader(io.StringIO(table.csv_text(table.records(table.tables([tmp_path])))))
    )
    best, other = lines
    assert (best["average_best"], other["average_best"]) == ("winner", "")
    assert best["average_difference"] == best["average_orders"] == ""
    assert other["average_baseline"] == "Exemplar masking"
    assert float(other["average_low"]) < float(other["average_difference"]) < 0
    assert float(other["average_difference"]) < float(other["average_high"])
    assert (other["average_orders"], other["class_orders"], other["seeds"]) == (
        "3",
        "1 1993 2",
        "0",
    )
    assert float(best["stored_rate"]) == pytest.approx(0.22, abs=0.02)
    assert float(best["trainable_parameters"]) == 27_432
    assert float(best["seconds"]) > 0


def test_json_and_long_csv_say_what_the_tables_and_the_frame_say(
    tmp_path: Path, write: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    write("exemplar_masking", skill=0.2, others=("linear",))
    write("replay", skill=-0.3)
    assert table.main([str(tmp_path), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == table.records(table.tables([tmp_path]))
    lines = list(csv.DictReader(io.StringIO(table.csv_text(rows))))
    assert [line["label"] for line in lines] == [row["label"] for row in rows]
    replay = next(row for row in rows if row["label"] == "Replay")
    assert replay["average_low"] < replay["average_difference"] < 0
    assert 0 < replay["average_p"] < 0.05
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{")
    assert table.main([str(tmp_path), "--format", "long"]) == 2
    long = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(long) == (2 + 1) * len(ORDERS) * len(SIZES["sizes"])
    keys = {(one["folder"], one["classifier"], one["seed"], one["phase"]) for one in long}
    assert len(keys) == len(long)
    wanted = table.frame([path for path in tmp_path.iterdir() if path.name != "broken"])
    assert [float(one["accuracy"]) for one in long] == pytest.approx(list(wanted.accuracy))


def test_what_a_method_calls_itself_neither_steers_nor_breaks_nor_computes(
    tmp_path: Path, write: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    write("replay")
    for path in tmp_path.glob("*/result.json"):
        value = json.loads(path.read_text())
        value["about"] = {"name": "\x1b[31m=1\n|$\\frac$\u202e"}
        value["dataset"]["name"] = "\t=1+1\x1b"
        write_result(path, value)
    shown = {}
    for form in ("terminal", "markdown", "latex", "csv", "long"):
        assert table.main([str(tmp_path), "--format", form]) == 0
        shown[form] = capsys.readouterr().out
        assert shown[form].replace("\n", "").isprintable()
    (line,) = [line for line in shown["markdown"].splitlines() if "x1b\\[31m=1\\\\n" in line]
    assert line.startswith("| ")
    assert line.endswith(" |")
    assert shown["csv"].count("\n") == 2
    svg = write_curve([path.parent for path in tmp_path.glob("*/result.json")], tmp_path / "x.svg")
    xml.dom.minidom.parse(str(svg))
    path = next(tmp_path.glob("*/result.json"))
    value["dataset"]["name"] = " =1+1"
    write_result(path, value)
    assert table.main([str(path), "--format", "long"]) == 0
    assert ",' =1+1," in capsys.readouterr().out


def test_the_command_leaves_out_what_it_cannot_read(
    tmp_path: Path, write: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    write("replay")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{")
    assert table.main([str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert "Replay" in out
    assert re.search(r"left out: \S+/broken/result.json is not valid JSON", err)
    assert "error: 1 of 4 results cannot be read and are left out of the tables" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "lst"], "--metric lst: did you mean 'last'"),
        (["--baseline", "repla"], "did you mean 'replay'"),
        (["--caption", "x"], "--caption needs --format latex"),
        (["--label", "x"], "--label needs --format latex"),
        (["--curve", "x.gif"], "x.gif: the suffix must be one of .svg, .pdf, .png"),
        (["--curve", "nowhere/x.svg"], "there is no folder nowhere"),
        (["--curve", f"{'x' * 300}/x.svg"], "there is no folder x"),
        (["--format", "csv", "--wide"], "--format csv has all columns: leave --wide out"),
        (["--curve", "x.svg"], "at least two amounts of memory"),
        (["--format", "html"], "invalid choice: 'html'"),
        (["--reading", "mine"], "invalid choice: 'mine'"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path,
    write: Runs,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    write("replay", orders=(1,))
    assert table.main([str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err
    for name in ("nowhere", "x" * 300):
        assert table.main([str(tmp_path / name)]) == 2
        assert "does not exist" in capsys.readouterr().err


def test_a_narrow_terminal_gets_several_parts(
    tmp_path: Path,
    write: Runs,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("exemplar_masking", others=("linear",))
    write("replay")
    for width in (80, 100, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        assert table.main([str(tmp_path), "--wide"]) == 0
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= width
        parts = len(re.findall("^ Method ", out, re.MULTILINE))
        assert parts > (width < 140)
        assert parts == len(re.findall("^ Replay ", out, re.MULTILINE))
        assert parts == len(re.findall("^ Exemplar masking · linear ", out, re.MULTILINE))
        assert "…" not in out
        assert "Parameters" in out


def test_without_being_asked_for_more_a_terminal_gets_one_part(
    tmp_path: Path,
    write: Runs,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("exemplar_masking", others=("linear",))
    write("replay")
    monkeypatch.setenv("COLUMNS", "100")
    assert table.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert len(re.findall("^ *Method ", out, re.MULTILINE)) == 1
    for shown in ("Average", "Last", "Exemplars"):
        assert shown in out
    for hidden in ("Parameters", "Steps", "Time", "Stored rate:", "Forgetting:"):
        assert hidden not in out


def test_results_of_former_schemas_stand_in_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main([str(SCHEMA1), "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["method"] for line in lines} == {"exemplar_masking", "replay"}
    assert all(float(line["seconds"]) > 0 for line in lines)
    assert all("steps as each method takes" in line["setting"] for line in lines)


def test_real_runs_in_two_class_orders_are_compared(
    tmp_path: Path, mean_colour: Path, call: Call
) -> None:
    other = tmp_path / "other.py"
    other.write_text(mean_colour.read_text().replace("MeanColour", "OtherColour"))
    both = ("--method", f"{mean_colour}:MeanColour", f"{other}:OtherColour")
    for order in (1, 2):
        assert call(*both, "--class-order-seed", order, "--phases", 2)[0] == 0
    shown = only(tmp_path / "runs")
    assert [row.average.n for row in shown.rows] == [2, 2]
    for standing in shown.standings:
        assert standing.winner is None
        assert standing.level == {0, 1}
        assert standing.differences[1] is not None
        assert standing.differences[1].interval == (0, 0, 0, 1)  # the same code but for its name
    assert not any("No interval" in words for words in remarks(shown))


def test_a_frame_has_a_row_for_each_phase_or_run(tmp_path: Path, write: Runs) -> None:
    write("replay", others=("linear",))
    write("joint", orders=(1,))
    phases = table.frame([tmp_path])
    assert len(phases) == 3 * 2 * 3 + 3
    runs = table.frame([str(tmp_path)], per="run")
    assert len(runs) == 3 * 2 + 1
    own = runs[runs.own & (runs.method == "replay")]
    assert set(own.class_order) == {"1993", "1", "2"}
    assert set(own.classifier) == {"own"}
    averages = phases[phases.own].groupby("folder").accuracy.mean()
    wanted = runs[runs.own].set_index("folder").average_incremental_accuracy
    assert averages.to_dict() == pytest.approx(wanted.to_dict())
    last = phases[(phases.phase == phases.phases - 1) & phases.own]
    assert sorted(last.accuracy) == pytest.approx(sorted(runs[runs.own].last_accuracy))
    assert set(last.classes_seen) == {7}
    assert own.exemplars_per_class.min() > 0
    with pytest.raises(UserError, match="per='runs': did you mean 'run'"):
        table.frame([tmp_path], per="runs")


def test_of_equal_runs_the_one_with_predictions_is_taken(tmp_path: Path, write: Runs) -> None:
    write("exemplar_masking", skill=0.3)
    write("replay", skill=-0.3)
    for folder in list(tmp_path.iterdir()):
        small = tmp_path / "a" / folder.name
        small.mkdir(parents=True)
        shutil.copy(folder / "result.json", small)
    shown = only(tmp_path)
    assert shown.standings[0].winner == 0


def test_a_resumed_run_tells_of_time_what_it_knows(tmp_path: Path, write: Runs) -> None:
    write("replay", orders=(1,))
    (path,) = tmp_path.rglob("result.json")
    value = json.loads(path.read_text())
    value["phases"][1]["resumed"] = 1
    write_result(path, value)
    shown = only(tmp_path)
    assert column(shown, "Time")[0].startswith("≥ ")
    assert any("≥ where a run was resumed" in words for words in remarks(shown))
