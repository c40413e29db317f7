"""Grids: which cells there are, that each is run once, and what becomes of those that fail."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from benchmark import results
from benchmark.config import RunConfig
from benchmark.results.__main__ import main as results_main
from benchmark.results.verify import verify
from benchmark.run import run_alone
from benchmark.sweep import command
from benchmark.sweep.command import parse
from benchmark.sweep.grid import Names, expand, read_axes
from benchmark.sweep.local import Local
from benchmark.sweep.progress import Estimate
from mm_imagenet_r.errors import UserError

Sweep = Callable[..., tuple[int, str, str]]


@pytest.fixture
def grid(tmp_path: Path, coloured: Path, mean_colour: Path) -> list[str]:
    """Options of a small grid of the docstring's example."""
    words = f"--method {mean_colour}:MeanColour --dataset {coloured} --output {tmp_path / 'runs'}"
    words += " --phases 2 --epochs 1 --batch-size 8 --memory 2 --device cpu --jobs 2"
    return words.split()


@pytest.fixture
def sweep(grid: list[str], capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Run the command line over the small grid: (exit code, standard output, standard error)."""

    def run(*options: object) -> tuple[int, str, str]:
        given = [str(option) for option in options]
        words = list(grid)
        for option in [one for one in given if one.startswith("--") and one in words]:
            del words[words.index(option) : words.index(option) + 2]
        capsys.readouterr()
        code = command.main([*words, *given])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def finished(output: Path) -> dict[str, float]:
    """When each result below a folder was written."""
    found = output.rglob("result.json")
    return {str(path.relative_to(output)): path.stat().st_mtime_ns for path in found}


def cells_of(*words: str) -> list[RunConfig]:
    return parse(list(words))[0]


def test_several_values_of_any_option_are_axes() -> None:
    words = "--method replay icarl --seeds 0 1 --class-order-seed 1 none --phases 5 10"
    words += " --memory 1 5 --currency bytes samples --tuning ssf full"
    cells = cells_of(*words.split())
    assert len(cells) == len({cell.folder() for cell in cells}) == 2**7
    assert {cell.class_order_seed for cell in cells} == {1, None}
    name = Names(cells)
    assert len({name(cell) for cell in cells}) == 2**7
    plain = [cell for cell in cells if cell.tuning is None]  # ssf is what both would do anyway
    assert len(plain) == 2**6
    words = "replay, seed 0, phases 5, class order seed 1, memory 1, currency bytes"
    assert name(plain[0]) == words


def test_a_method_without_memory_is_trained_once_for_all_memories() -> None:
    words = "--method finetune replay l2p --memory 1 5 --currency bytes samples --phases 5 10"
    cells, notes, _, _ = parse(words.split())
    assert [cell.method[0] for cell in cells].count("replay") == 8
    for name in ("finetune", "l2p"):
        alone = [cell for cell in cells if cell.method == (name,)]
        assert {(cell.phases, cell.memory, cell.currency) for cell in alone} == {
            (5, "5", "bytes"),
            (10, "5", "bytes"),
        }
    assert notes == [
        "--currency, --memory: no effect on finetune, l2p, which run once for all values"
    ]


def test_an_option_without_effect_on_a_method_is_left_out_of_its_cells() -> None:
    words = "--method l2p replay --tuning full ssf --match-exemplars-of exemplar_masking"
    cells, notes, _, _ = parse([*words.split(), "--set", "exemplar_masking.tau_image=1.3"])
    assert [(c.method[0], c.tuning, c.match_exemplars_of) for c in cells] == [
        ("l2p", None, None),
        ("replay", "full", "exemplar_masking"),
        ("replay", None, "exemplar_masking"),
    ]
    assert cells[0].set == ()
    assert cells[1].set == ("exemplar_masking.tau_image=1.3",)
    assert len(notes) == 1


def test_a_file_holds_several_grids_and_options_stand_over_it(tmp_path: Path) -> None:
    file = tmp_path / "grids.toml"
    file.write_text(
        "class_order_seed = [1, 2, 3]\nset = []\n"
        '[[grid]]\nmethod = ["replay", "icarl"]\nmemory = [1, 5]\n'
        '[[grid]]\nmethod = "replay"\nmemory = 5\nphases = [5, 10]\n'
        '[[grid]]\nmethod = "exemplar_masking"\nset = [["tau_image=1.3"], ["tau_image=0.7"]]\n'
    )
    cells = cells_of("--config", str(file))
    assert len(cells) == 12 + 3 + 6  # replay at memory 5 in 10 phases stands in two grids
    assert {c.set for c in cells if c.method == ("exemplar_masking",)} == {
        ("tau_image=1.3",), ("tau_image=0.7",),
    }  # fmt: skip
    assert len(cells_of("--config", str(file), "--class-order-seed", "7")) == 4 + 1 + 2
    as_json = tmp_path / "grids.json"
    as_json.write_text(json.dumps({"grid": [{"method": ["replay"], "seeds": [0, 1]}]}))
    assert [cell.seeds for cell in cells_of("--config", str(as_json))] == [(0,), (1,)]


def test_the_grids_of_the_docs_are_as_many_as_they_say(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "grids.md"
    text = page.read_text().partition("# grids.toml\n")[2]
    file = tmp_path / "grids.toml"
    file.write_text(text.partition("```")[0])
    assert len(cells_of("--config", str(file))) == 2 * 2 * 2 * 3 + 2 * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phase = 5", "unknown option 'phase': did you mean 'phases'"),
        ("phases = []", "phases has no value"),
        ('phases = ["many"]', "phases: 'many' is not a whole number"),
        ("grid = 5", "grid is not a list of tables"),
        ("grid = []", "grid is not a list of tables: write"),
        ("", "is empty: give it an option"),
        ("phases = 5\n[[grid]]\nmemory = 1\n[[grid]]\n", "grid 2 is empty: give it an option"),
        ("[[gird]]\nphases = 5", "did you mean 'grid'"),
        ("jobs = 3", "jobs: give --jobs on the command line"),
        ("backbone = [true]", "backbone: True is not text"),
        (
            'set = ["selection=random", "selection=herding"]',
            'write set = [["selection=random"], ["selection=herding"]] into the --config file',
        ),
        ('device = ["cpu", "cuda"]', "device changes no result: give one value"),
        ("overwrite = true", "give --overwrite on the command line"),
        ("dry_run = true", "give --dry-run on the command line"),
        ("seeds = [[0], [1]]", "seeds: write one list of values"),
        ('method = "replai"', "unknown method 'replai': did you mean 'replay'"),
        ('growth = ["total", "none"]', "--growth none"),
    ],
)
def test_a_file_that_is_no_grid_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "grids.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)):
        parse(["--config", str(file)])


def test_a_slip_in_the_command_line_is_told(sweep: Sweep) -> None:
    assert "did you mean --class-order-seed" in sweep("--class-order-seeds", 1, 2)[2]
    code, _, err = sweep("--jobs", 0)
    assert code == 2
    assert "--jobs must be at least 1" in err
    assert "--seeds 0 0: give each one once" in sweep("--seeds", 0, 0)[2]


@pytest.mark.timeout(600)
def test_only_missing_cells_run_and_each_once(tmp_path: Path, sweep: Sweep) -> None:
    output = tmp_path / "runs"
    code, out, err = sweep("--seeds", 0, 1, "--memory", 1, 2)
    assert code == 0, err
    assert "4 cells, 0 done, 4 missing (no similar results" in out
    lines = [line for line in out.splitlines() if ": average" in line]
    assert sorted(line.partition("/")[0] for line in lines) == ["1", "2", "3", "4"]
    assert any("seed 1, memory 2: average" in line and " s" in line for line in lines)
    before = finished(output)
    assert len(before) == 4
    for path in output.rglob("result.json"):
        assert verify(path.parent) == []
    assert not list((output / "sweep").iterdir())

    code, out, _ = sweep("--seeds", 0, 1, "--memory", 1, 2)
    assert code == 0
    assert "4 cells, 4 done\n" in out
    assert finished(output) == before

    code, out, _ = sweep("--seeds", 0, 1, "--memory", 1, 2, 3, "--dry-run")
    assert code == 0
    assert "6 cells, 4 done, 2 missing (about " in out
    assert len([line for line in out.splitlines() if line.endswith(": missing")]) == 2
    assert finished(output) == before

    assert sweep("--seeds", 0, "--memory", 1, 2, 3)[0] == 0
    after = finished(output)
    assert len(after) == 5
    assert {name: after[name] for name in before} == before


def test_a_method_in_one_short_file_is_run_swept_and_tabled(
    tmp_path: Path, sweep: Sweep, call: Sweep, mean_colour: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(mean_colour.read_text().splitlines()) <= 60
    assert call("--epochs", 1, "--phases", 2, "--output", tmp_path / "other")[0] == 0
    assert sweep("--seeds", 0, 1)[0] == 0
    assert "done: " in call("--epochs", 1, "--phases", 2)[1]  # a cell is what run makes of it
    (run,), (swept, _) = (
        [results.read(folder) for folder in results.find_runs([tmp_path / name])]
        for name in ("other", "runs")
    )
    assert swept["files"] == run["files"]
    assert swept["accuracy_matrix"] == run["accuracy_matrix"]
    capsys.readouterr()
    assert results_main([str(tmp_path / "runs"), "--format", "csv"]) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert "Mean" in row


def test_results_that_are_kept_need_no_runs(tmp_path: Path, sweep: Sweep) -> None:
    kept = tmp_path / "results"
    assert sweep()[0] == 0  # done before there was a place for them
    assert sweep("--seeds", 0, 1, "--results", kept)[0] == 0
    folders = results.find_runs([kept])
    assert len(folders) == 2
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {
            "result.json.gz", "predictions.parquet", "exemplars.parquet", "source",
        }  # fmt: skip
        assert verify(folder) == []
        there = tmp_path / "runs" / folder.relative_to(kept)
        assert results.read(folder) == results.read(there)
        assert results.pack(there / "result.json") == (folder / "result.json.gz").read_bytes()
    small = sum(path.stat().st_size for path in kept.rglob("*.gz"))
    assert 3 * small < sum(path.stat().st_size for path in tmp_path.glob("runs/*/*/*/result.json"))
    code, out, _ = sweep("--seeds", 0, 1, "--results", kept, "--output", tmp_path / "empty")
    assert code == 0
    assert "2 cells, 2 done\n" in out
    assert not (tmp_path / "empty").exists()


def test_the_gallery_of_one_run_of_a_method_is_kept(
    tmp_path: Path, sweep: Sweep, gallery_item: Callable[..., dict[str, Any]]
) -> None:
    kept = tmp_path / "results"
    assert sweep("--seeds", 0, 1, "--results", kept)[0] == 0
    assert not list(kept.rglob("gallery.json"))  # this method's are empty
    for folder in results.find_runs([tmp_path / "runs"]):
        (folder / "gallery.json").write_text(json.dumps([gallery_item()]))
    for _ in range(2):
        assert sweep("--seeds", 0, 1, "--results", kept)[0] == 0
        (one,) = kept.rglob("gallery.json")
        there = tmp_path / "runs" / one.relative_to(kept)
        assert one.read_bytes() == there.read_bytes()


def test_a_kept_result_that_is_damaged_is_told(tmp_path: Path, sweep: Sweep) -> None:
    kept = tmp_path / "results"
    assert sweep("--results", kept)[0] == 0
    (path,) = kept.rglob("*.gz")
    whole = path.read_bytes()
    for data in (whole[:-9], whole[:40] + b"\0\0\0\0" + whole[44:], b"{}"):
        path.write_bytes(data)
        code, _, err = sweep("--results", kept, "--output", tmp_path / "empty")
        assert code == 2
        assert "result.json.gz is not a valid gzip file" in err
        assert "Traceback" not in err


def test_cells_wait_for_the_run_they_match(
    tmp_path: Path, grid: list[str], sweep: Sweep, mean_colour: Path
) -> None:
    model = tmp_path / "model.py"
    model.write_text(mean_colour.read_text())
    name, own = f"{model}:MeanColour", f"{mean_colour}:MeanColour"
    file = tmp_path / "grids.toml"
    file.write_text(
        f'[[grid]]\nmethod = "{own}"\nmatch_exemplars_of = "{name}"\n[[grid]]\nmethod = "{name}"\n'
    )
    code, out, err = sweep("--match-exemplars-of", name)
    assert code == 2
    assert "nothing was started" in err
    assert "Run it first" in err
    assert "1 missing" not in out
    code, _, err = sweep("--match-exemplars-of", own)
    assert code == 2
    assert "a run cannot match itself" in err
    kept = tmp_path / "results"
    del grid[:2]  # the file says which methods
    code, out, err = sweep("--config", file, "--results", kept)
    assert code == 0, err
    lines = [line for line in out.splitlines() if "average" in line]
    assert "match exemplars of" not in lines[0]
    assert "match exemplars of" in lines[1]
    # The run that is matched may be a kept result.
    for path in kept.rglob("*"):
        if "matching" in str(path) and path.is_file():
            path.unlink()
    code, _, err = sweep("--config", file, "--results", kept, "--output", tmp_path / "fresh")
    assert code == 0, err
    assert len(results.find_runs([kept])) == 2


def test_an_impossible_cell_is_refused_before_anything_runs(tmp_path: Path, sweep: Sweep) -> None:
    code, out, err = sweep("--phases", 2, 50, "--seeds", 0, 1)
    assert code == 2
    assert "missing" not in out
    assert "2 cells of 4 cannot be run, so nothing was started" in err
    assert "seed 0, phases 50\n" in err
    assert "seed 1, phases 50\n" in err
    assert "phases 2" not in err
    assert not (tmp_path / "runs").exists()
    code, _, err = sweep("--memory", 2, "much")
    assert code == 2
    assert "much" in err
    assert "1 cell of 2 cannot be run" in err


def test_a_result_of_other_data_is_not_taken_for_one(
    tmp_path: Path, sweep: Sweep, coloured: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in coloured.iterdir():
        (photos / path.name).symlink_to(path)
    assert sweep("--dataset", photos)[0] == 0
    (photos / "class5").unlink()
    code, _, err = sweep("--dataset", photos, "--seeds", 0, 1)
    assert code == 2
    assert "was computed on other data" in err


#: Written below the docstring's example, in the same file.
FAILING = """
from pathlib import Path

class Failing(MeanColour):
    def end_phase(self, phase, memory):
        if phase.index == 1 and self.context.seed == 1 and not Path(__file__ + ".fixed").exists():
            raise RuntimeError("the second phase is too hard")
        super().end_phase(phase, memory)
"""


def test_a_failure_is_recorded_and_the_others_go_on(
    tmp_path: Path, sweep: Sweep, mean_colour: Path
) -> None:
    method = tmp_path / "failing.py"
    method.write_text(mean_colour.read_text() + FAILING)
    options = ("--method", f"{method}:Failing", "--seeds", 0, 1)
    code, out, err = sweep(*options)
    assert code == 1
    assert len(finished(tmp_path / "runs")) == 1
    assert "seed 1: FAILED: RuntimeError: the second phase is too hard (phase 2)\n" in out
    assert "1 cell failed; the same command tries again" in err
    assert "RuntimeError: the second phase is too hard" in err
    (path,) = (tmp_path / "runs" / "sweep").glob("*.json")
    record = json.loads(path.read_text())
    assert record["exit_code"] == 1
    assert "--seeds 1" in record["command"]
    assert "RuntimeError: the second phase is too hard" in record["last_lines"]
    assert "File" in path.with_suffix(".log").read_text()
    assert "failed before" in sweep(*options, "--dry-run")[1]

    assert sweep(*options)[0] == 1  # it is tried again
    method.with_name("failing.py.fixed").touch()
    before = finished(tmp_path / "runs")
    assert sweep(*options)[0] == 0
    after = finished(tmp_path / "runs")
    assert len(after) == 2
    assert {name: after[name] for name in before} == before
    assert not list((tmp_path / "runs" / "sweep").iterdir())


SLOW = """
import time
from pathlib import Path

class Slow(MeanColour):
    def end_phase(self, phase, memory):
        while phase.index == 1 and not Path(__file__ + ".fast").exists():
            time.sleep(0.05)
        super().end_phase(phase, memory)
"""


def _listens_to_control_c() -> None:
    """A shell starts what runs in the background with Ctrl-C ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_sweep_that_is_stopped_goes_on(
    tmp_path: Path, grid: list[str], sweep: Sweep, mean_colour: Path, number: signal.Signals
) -> None:
    method = tmp_path / "slow.py"
    method.write_text(mean_colour.read_text() + SLOW)
    options = ["--method", f"{method}:Slow", "--seeds", "0", "1", "--phases", "3"]
    told = tmp_path / "told"  # a file: what a killed sweep leaves behind would hold a pipe open
    with told.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmark.sweep", *grid[2:], *options],
            stdout=file, stderr=file, start_new_session=True, preexec_fn=_listens_to_control_c,
        )  # fmt: skip
    output = tmp_path / "runs"
    try:
        deadline = time.monotonic() + 200
        while len(list(output.glob("*/*/*/state/phase-01.begun"))) < 2:
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        process.wait(timeout=60)
        err = told.read_text()
        assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
        if number != signal.SIGKILL:
            assert "the same command resumes from here" in err
            assert "Traceback" not in err
    finally:
        process.kill()
    assert not finished(output)
    first = {str(p): p.stat().st_mtime_ns for p in output.glob("*/*/*/state/phase-00.json")}
    method.with_name("slow.py.fast").touch()
    code, _, err = sweep(*options)  # waits until what is left of the former one has ended
    assert code == 0, err
    assert len(finished(output)) == 2
    for name, written in first.items():
        assert Path(name).stat().st_mtime_ns == written, "a finished phase was learnt again"
    if number != signal.SIGKILL:  # then the cells ended when they had something to tell
        for folder in results.find_runs([output]):
            assert [phase["resumed"] for phase in results.read(folder)["phases"]] == [0, 1, 0]
    if number != signal.SIGKILL:
        return
    assert sweep("--output", tmp_path / "undisturbed", *options)[0] == 0
    for folder in results.find_runs([output]):
        other = tmp_path / "undisturbed" / folder.relative_to(output)
        for name in ("predictions.parquet", "exemplars.parquet"):
            assert (folder / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="a fork server is started on Linux")
@pytest.mark.parametrize("taken_by", ["main thread", "another thread"])
def test_ctrl_c_while_the_fork_server_starts_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, taken_by: str
) -> None:
    """The system gives a signal to any thread that does not block it."""
    started, done = [], threading.Event()
    other = threading.Thread(target=done.wait, daemon=True)
    other.start()

    def interrupted() -> None:
        thread = other if taken_by == "another thread" else threading.main_thread()
        signal.pthread_kill(thread.ident or 0, signal.SIGINT)
        time.sleep(0.05)
        started.append(True)

    monkeypatch.setattr(forkserver, "ensure_running", interrupted)
    engine = Local(jobs=1, threads=1, work=run_alone)
    with pytest.raises(KeyboardInterrupt):
        engine._start_server()
    done.set()
    assert started
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.skipif(sys.platform != "linux", reason="a fork server is started on Linux")
def test_ctrl_c_while_the_fork_server_imports_is_clean(tmp_path: Path, grid: list[str]) -> None:
    words = [sys.executable, "-m", "benchmark.sweep", *grid]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def importing() -> bool:
        """Whether a fork server has begun to read torch."""
        for child in children.read_text().split():
            folder = Path("/proc") / child
            if b"forkserver" in (folder / "cmdline").read_bytes():
                return "torch" in (folder / "maps").read_text()
        return False

    deadline = time.monotonic() + 120
    while not importing() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "stopped; the same command resumes" in err
    assert "Traceback" not in err


def test_a_cell_of_another_process_is_left_to_it(tmp_path: Path, sweep: Sweep) -> None:
    """Wait where another process works, and take over what it leaves."""
    assert sweep("--seeds", 0)[0] == 0
    (folder,) = results.find_runs([tmp_path / "runs"])
    (folder / "result.json").rename(folder / "later.json")
    lock = (folder / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    def leave() -> None:
        deadline = time.monotonic() + 60
        while len(finished(tmp_path / "runs")) < 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        (folder / "later.json").rename(folder / "result.json")
        lock.close()

    other = threading.Thread(target=leave)
    other.start()
    code, out, err = sweep("--seeds", 0, 1)
    other.join()
    assert code == 0, err
    assert out.index("waiting: another process runs 1 cell") > out.index("seed 1: average")
    assert "(by another process)" in out
    assert len(finished(tmp_path / "runs")) == 2


def test_unfinished_cells_of_another_version_begin_anew_when_told(
    tmp_path: Path, sweep: Sweep
) -> None:
    assert sweep("--seeds", 0)[0] == 0
    (folder,) = results.find_runs([tmp_path / "runs"])
    (folder / "result.json").unlink()
    known = json.loads((folder / "run.json").read_text())["record"]
    (folder / "run.json").write_text(json.dumps({**known, "harness": "0" * 64}))
    code, _, err = sweep("--seeds", 0)
    assert code == 1
    assert "give --overwrite" in err
    assert "--overwrite\n" not in err
    assert sweep("--seeds", 0, "--overwrite")[0] == 0
    before = finished(tmp_path / "runs")
    assert sweep("--seeds", 0, "--overwrite")[0] == 0
    assert finished(tmp_path / "runs") == before


def test_time_is_estimated_from_the_cells_that_are_most_alike() -> None:
    def took(seconds: float) -> results.schema.Result:  # type: ignore[name-defined]
        return {"phases": [{"seconds": {"train": seconds}}] * 2}  # type: ignore[return-value]

    estimate, cell = Estimate(), cells_of("--method", "replay")[0]
    assert estimate.of(cell) is None
    estimate.add(cells_of("--method", "joint")[0], took(50))
    assert estimate.of(cell) == 100
    estimate.add(cells_of("--method", "replay", "--phases", "5")[0], took(10))
    assert estimate.of(cell) == 20
    estimate.add(cells_of("--method", "replay", "--seeds", "3")[0], took(15))
    assert estimate.of(cell) == 30


def test_axes_are_read_as_options_are() -> None:
    assert read_axes({"memory": [1, "5.0"], "partial": True}, "x") == {
        "memory": ["1", "5.0"], "partial": [True],
    }  # fmt: skip
    cells, _ = expand([read_axes({"memory": [5, "5.0", ".5e1"]}, "x")][:1])
    assert [cell.memory for cell in cells] == ["5", ".5e1"]


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_cells_run_as_tasks_of_ray(tmp_path: Path, grid: list[str]) -> None:
    code = (
        "import sys, ray\n"
        "from benchmark.sweep.command import main\n"
        "ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False,"
        " logging_level='error')\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "-c", code, *grid, "--engine", "ray", "--seeds", "0", "1"]
    paths = os.pathsep.join(path for path in (str(Path.cwd()), *sys.path) if path)
    environment = {**os.environ, "PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_worker_niceness"] = "0"  # else a busy machine starves the cells
    for expected in ("2/2", "2 cells, 2 done\n"):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    assert len(finished(tmp_path / "runs")) == 2


def test_an_engine_that_is_not_installed_is_told(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = sweep("--engine", "ray")
    assert code == 2
    assert "--engine ray needs the package ray: pip install" in err
