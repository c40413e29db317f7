"""`import benchmark` as a library: names found when asked for, runs from keywords."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running import outcome

import benchmark
from benchmark.config import RunConfig
from benchmark.options import from_mapping
from mm_imagenet_r.errors import UserError


def test_importing_it_costs_nothing_and_every_name_is_there() -> None:
    code = (
        "import json, sys, benchmark\n"
        "before = sorted(m for m in sys.modules if m.startswith('benchmark'))\n"
        "found = {name: callable(getattr(benchmark, name)) for name in benchmark.__all__}\n"
        "print(json.dumps([before, found, set(benchmark.__all__) <= set(dir(benchmark))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, found, listed = json.loads(done.stdout)
    assert before == ["benchmark"]
    assert listed
    assert found == dict.fromkeys(["Method", "RunConfig", "frame", "read_result", "run"], True)
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        benchmark.runn  # type: ignore[attr-defined]  # noqa: B018


def test_run_is_the_command_too() -> None:
    import benchmark.run  # whoever imported it first

    assert callable(benchmark.run)
    assert callable(benchmark.run.main)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "benchmark.run", "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    from mm_imagenet_r import __version__

    assert done.stdout == f"{__version__}\n"


def test_keywords_are_options_as_a_user_would_write_them(
    tmp_path: Path, coloured: Path, mean_colour: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = f"{mean_colour}:MeanColour"
    options: dict[str, Any] = {
        "method": method, "dataset": coloured, "phases": 2, "epochs": 1, "memory": 2,
        "seeds": range(2), "output": str(tmp_path / "runs"), "device": "cpu",
    }  # fmt: skip
    folders = benchmark.run(**options, quiet=True)
    assert capsys.readouterr().out == ""
    assert [benchmark.read_result(folder)["seed"] for folder in folders] == [0, 1]
    frame = benchmark.frame(folders, per="run")
    assert sorted(frame.seed) == [0, 1]
    assert frame.last_accuracy.notna().all()
    assert len(benchmark.frame(str(tmp_path / "runs"))) == 4
    config = RunConfig(
        method=(method,), dataset=str(coloured), phases=2, memory="2", seeds=(0, 1),
        output=tmp_path / "runs",
    )  # fmt: skip
    assert [cell.folder() for cell in config.cells()] == folders
    assert benchmark.run(config, seeds=1, quiet=True) == folders[1:]
    with pytest.raises(UserError, match=r"unknown option 'memroy': did you mean 'memory'\?"):
        benchmark.run(memroy=1)
    with pytest.raises(UserError, match=r"benchmark\.run: epochs: 'many' is not a whole number"):
        benchmark.run(epochs="many")


def test_one_method_or_setting_needs_no_tuple() -> None:
    bare: dict[str, Any] = {"method": "ssf", "set": "text_swap_prob=0", "seeds": 3}
    assert RunConfig(**bare) == RunConfig(method=("replay",), set=("text_swap_prob=0",), seeds=(3,))
    listed: dict[str, Any] = {"method": ["er", "wa"], "seeds": range(2)}
    assert RunConfig(**listed).seeds == (0, 1)


def test_runs_side_by_side_are_those_one_after_another(
    tmp_path: Path, coloured: Path, mean_colour: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {
        "method": f"{mean_colour}:MeanColour", "dataset": coloured, "phases": 2, "memory": 2,
        "seeds": (0, 1), "device": "cpu",
    }  # fmt: skip
    serial = benchmark.run(**options, output=tmp_path / "serial", quiet=True)
    both = benchmark.run(**options, output=tmp_path / "both", jobs=2)
    out = capsys.readouterr().out
    assert "2/2  " in out
    assert [folder.name for folder in both] == [folder.name for folder in serial]
    assert [outcome(folder) for folder in both] == [outcome(folder) for folder in serial]
    assert all((folder / "report.html").exists() for folder in both)
    assert list((tmp_path / "both").glob("comparison-*.html"))
    written = [(folder / "result.json").stat().st_mtime_ns for folder in both]
    assert benchmark.run(**options, output=tmp_path / "both", jobs=2, quiet=True) == both
    assert [(folder / "result.json").stat().st_mtime_ns for folder in both] == written


def test_a_run_that_fails_beside_others_is_named_and_they_are_finished(
    tmp_path: Path, coloured: Path
) -> None:
    path = tmp_path / "fails.py"
    path.write_text(
        "from benchmark.method import Method\n\n\n"
        "class Fails(Method):\n"
        "    def __init__(self, context, settings):\n"
        "        raise RuntimeError('no such thing')\n"
    )
    with pytest.raises(UserError, match=r"(?s)2 runs of 2 failed.*no such thing") as told:
        benchmark.run(
            method=f"{path}:Fails", dataset=coloured, phases=2, seeds=(0, 1), jobs=2,
            output=tmp_path / "runs", device="cpu", quiet=True,
        )  # fmt: skip
    assert str(told.value).count(".log") == 2


def test_the_librarys_page_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "library.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (calls,) = (block for block in blocks if "folders = benchmark.run(" in block)
    (objects,) = (block for block in blocks if "benchmark.RunConfig(" in block)
    asked: list[dict[str, Any]] = []

    def run(**options: Any) -> list[Path]:
        asked.append(from_mapping(options, source="page"))
        return []

    monkeypatch.setitem(benchmark.__dict__, "run", run)
    monkeypatch.setitem(benchmark.__dict__, "frame", lambda folders, per: pd.DataFrame(
        {"method": ["er", "er"], "own": [True, True], "last_accuracy": [1.0, 2.0]}
    ))  # fmt: skip
    exec(calls, {})
    assert asked == [{"method": ("exemplar_masking", "replay"), "memory": "1", "seeds": (0, 1, 2)}]
    exec(objects, {"benchmark": benchmark})
    names = set(re.findall(r"benchmark\.([A-Za-z_]+)\b", page)) - {"report", "save"}
    assert names == set(benchmark.__all__)


def test_what_is_easily_mistaken_is_answered_in_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"by name: benchmark\.run\(method='replay'\)"):
        benchmark.run("replay")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="its own folder"):
        benchmark.RunConfig(method=("replay", "er")).folder()
    with pytest.raises(UserError, match="nothing"):
        benchmark.read_result(str(tmp_path / "nothing"))
    assert dir(benchmark) == sorted(benchmark.__all__)
    assert "quiet" in inspect.signature(benchmark.run).parameters
