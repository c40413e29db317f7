"""The command line from end to end: what it does, what it refuses, and that nothing is lost."""

from __future__ import annotations

import atexit
import json
import re
import shlex
import shutil
import sqlite3
from pathlib import Path

import pytest
from running import Call, fail_in_phase, folders, outcome, write_result

from benchmark import phase, results, run
from benchmark.options import parse
from benchmark.registry import REGISTRY
from benchmark.results.verify import verify

# What a run gives


def test_the_example_runs_and_everything_follows_from_its_files(tmp_path: Path, call: Call) -> None:
    code, out, err = call()
    assert (code, err) == (0, "")
    (folder,) = folders(tmp_path)
    assert verify(folder) == []
    names = {path.name for path in folder.iterdir()}
    assert names == {
        ".lock", "run.json", "state", "memory", "result.json", "predictions.parquet",
        "exemplars.parquet", "gallery.json", "report.html", "source",
    }  # fmt: skip
    result = results.read(folder)
    assert result["sees_all_data"] is False
    assert len(result["phases"]) == 3
    assert not {"output", "device", "overwrite", "workers"} & result["config"].keys()
    assert out.count("\nphase ") == 3
    assert f"report: {folder / 'report.html'}\n" in out
    assert all(part not in out for part in ("\x1b", "\r"))
    assert max(map(len, out.splitlines())) > 100  # a pipe breaks no lines


def test_a_class_of_a_package_gives_the_same(
    tmp_path: Path, call: Call, mean_colour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "colours").mkdir()
    shutil.copy(mean_colour, tmp_path / "colours" / "plain.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert call()[0] == call("--method", "colours.plain:MeanColour")[0] == 0
    one, other = folders(tmp_path)
    assert outcome(one) == outcome(other)
    assert {one.parent.name, other.parent.name} == {
        "colours.plain-MeanColour",
        "mean_colour-MeanColour",
    }


def test_a_finished_run_given_again_does_nothing(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call()
    (folder,) = folders(tmp_path)

    def state() -> dict[Path, int]:
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
        return {path: path.stat().st_mtime_ns for path in files}

    before = state()
    monkeypatch.setattr(phase, "train_phase", None)
    code, out, _ = call()
    assert code == 0
    assert f"done: {folder} (--overwrite runs it again)" in out
    assert state() == before
    (folder / "report.html").unlink()
    assert call()[0] == 0
    assert (folder / "report.html").exists()


def test_overwriting_runs_again_gives_the_same_and_leaves_what_is_not_its_own(
    tmp_path: Path, call: Call
) -> None:
    call()
    (folder,) = folders(tmp_path)
    before = outcome(folder)
    (folder / "memory" / "stray.bin").write_bytes(b"x")
    (folder / "mine.txt").write_text("x")
    _, out, _ = call("--overwrite")
    assert out.count("\nphase ") == 3
    assert outcome(folder) == before
    assert (folder / "mine.txt").read_text() == "x"


def test_a_result_file_reproduces_its_run(tmp_path: Path, call: Call) -> None:
    call("--seeds", 3)
    (folder,) = folders(tmp_path)
    code, _, _ = call(
        "--config", folder / "result.json", "--output", tmp_path / "again", "--device", "cpu"
    )
    assert code == 0
    (again,) = tmp_path.glob("again/*/*/*")
    assert outcome(again) == outcome(folder)
    assert again.name == folder.name


def test_methods_times_seeds_are_compared_on_data_opened_once(
    tmp_path: Path, call: Call, mean_colour: Path, coloured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark import plan

    opened = []
    open_data = plan.open_data
    monkeypatch.setattr(plan, "open_data", lambda *a, **k: opened.append(a) or open_data(*a, **k))
    (tmp_path / "other.py").write_text(mean_colour.read_text())
    data = tmp_path / "noted"
    shutil.copytree(coloured, data)
    with (data / "captions.csv").open("a") as file:
        file.write("class0/nowhere.jpg,a lost caption\n")
    methods = [f"{mean_colour}:MeanColour", f"{tmp_path / 'other.py'}:MeanColour"]
    code, out, _ = call("--method", *methods, "--seeds", 0, 1, "--dataset", data)
    assert code == 0
    assert len(opened) == 1
    assert len(folders(tmp_path)) == 4
    assert out.count("note: ") == 1
    (page,) = (tmp_path / "runs").glob("comparison-*.html")
    assert f"comparison: {page}" in out
    assert "<b>4 runs</b> of <b>2 methods</b> in 1 table" in page.read_text()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path, call: Call) -> None:
    code, out, _ = call("--dry-run", "--seeds", 0, 1)
    assert code == 0
    assert not (tmp_path / "runs").exists()
    assert out.count("memory at the end") == 2
    assert "run it: python -m benchmark.run --method " in out
    rows = [line.split() for line in out.splitlines() if line.strip()[:2] in ("1 ", "2 ", "3 ")]
    assert rows[:2] == [["1", "2", "12", "0", "2", "4"], ["2", "2", "12", "4", "4", "4"]]
    assert "model: 24 parameters, backbone tiny" in out


def test_a_dry_run_counts_no_more_exemplars_than_there_are_samples(call: Call) -> None:
    _, out, _ = call("--dry-run", "--memory", 1000)
    rows = [line.split() for line in out.splitlines() if line.strip()[:2] in ("1 ", "2 ", "3 ")]
    assert [row[3] for row in rows] == ["0", "12", "24"]


def test_a_dry_run_gives_the_command_with_all_that_was_asked_for(
    tmp_path: Path, call: Call
) -> None:
    output = tmp_path / "my runs"
    out = call("--dry-run", "--output", output, "--overwrite", "--workers", 2)[1]
    words = shlex.split(out.partition("run it: ")[2])
    assert parse(words[3:])[0].output == output
    assert {"--overwrite", "--workers", "--device"} < set(words)
    assert "--dry-run" not in words


def test_a_dry_run_says_what_is_done_already(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "resumes" not in call("--dry-run")[1]
    with monkeypatch.context() as patch:
        fail_in_phase(patch, 1, KeyboardInterrupt())
        call()
    assert "started: resumes in phase 2 of 3" in call("--dry-run")[1]
    assert call()[0] == 0
    out = call("--dry-run")[1]
    assert "finished: nothing is left to do" in out
    assert "estimated time: about 0.0 s" in out
    assert "is discarded" in call("--dry-run", "--overwrite")[1]
    assert "done: " in call()[1]


@pytest.mark.parametrize(
    ("memory", "fits"), [("0.5", False), ("1.5", True), ("0", True), ("0.1kB", False)]
)
def test_a_memory_too_small_for_a_sample_is_told(call: Call, memory: str, fits: bool) -> None:
    for option in ("--dry-run", "--no-dry-run"):
        code, out, _ = call("--memory", memory, option)
        assert code == 0
        note = f"note: with --memory {memory} a class may keep "
        assert (note not in out) == fits
    if not fits:
        enough = out.partition("none of them; --memory ")[2].split()[0]
        assert "a class may keep" not in call("--memory", enough)[1]


def test_upper_bound_says_so(tmp_path: Path, call: Call, vilt_folder: Path) -> None:
    options = ("--method", "joint", "--backbone", vilt_folder, "--phases", 2, "--epochs", 1)
    assert "memory: none" in call(*options, "--dry-run")[1]
    code, out, _ = call(*options)
    assert code == 0
    assert "all data at once" in out
    (folder,) = folders(tmp_path)
    assert results.read(folder)["sees_all_data"] is True
    assert "an upper bound" in (folder / "report.html").read_text()
    assert verify(folder) == []


def test_one_phase_and_no_memory(tmp_path: Path, call: Call) -> None:
    assert call("--phases", 1)[0] == call("--memory", 0)[0] == 0
    for folder in folders(tmp_path):
        assert verify(folder) == []


def test_as_many_exemplars_as_another_run(tmp_path: Path, call: Call, mean_colour: Path) -> None:
    (tmp_path / "model.py").write_text(mean_colour.read_text())
    model, like = f"{tmp_path / 'model.py'}:MeanColour", ("--memory", "3", "--growth", "total")
    code, _, err = call("--match-exemplars-of", model, *like, "--seeds", 0, 1)
    assert code == 2
    assert f"--match-exemplars-of {model}: there is no" in err
    command = err.partition("Run it first: ")[2]
    assert f"--method {model}" in command
    assert "--memory 3" in command
    assert call("--method", model, *like, "--seeds", 0, 1)[0] == 0
    assert call("--match-exemplars-of", model, *like, "--seeds", 0, 1)[0] == 0
    found = {(f.parent.parent.name, f.name[:5]): results.read(f) for f in folders(tmp_path)}
    assert len(found) == 4
    for seed in ("seed0", "seed1"):
        first, second = (found[key] for key in sorted(found) if key[1] == seed)
        for one, other in zip(first["phases"], second["phases"], strict=True):
            assert one["memory"]["exemplars"] == other["memory"]["exemplars"]
        assert second["budget"]["memory"] == "as model.py:MeanColour with memory 3 in bytes"
        assert second["budget"]["currency"] == "exemplars"
        assert second["budget"]["amount"] is None
        assert first["match_exemplars_of"] is None
        assert second["match_exemplars_of"] is not None
        assert second["match_exemplars_of"]["method"] == first["method"] == "model.py:MeanColour"
        assert second["match_exemplars_of"]["seed"] == first["seed"]
        assert second["match_exemplars_of"]["method_sha256"] == first["method_sha256"] != ""
        assert second["match_exemplars_of"]["fingerprint"][:8] in {
            f.name[6:] for f in folders(tmp_path)
        }
    assert all(verify(folder) == [] for folder in folders(tmp_path))


def test_an_oracle_is_bound_to_the_run_it_is_like(
    tmp_path: Path, call: Call, mean_colour: Path
) -> None:
    (tmp_path / "model.py").write_text(mean_colour.read_text())
    model = f"{tmp_path / 'model.py'}:MeanColour"
    assert call("--method", model)[0] == call("--match-exemplars-of", model)[0] == 0
    assert "done: " in call("--match-exemplars-of", model)[1]
    path = next(tmp_path.glob("runs/*-bytes/model-*/*/result.json"))
    value = json.loads(path.read_text())
    value["phases"][0]["memory"]["per_class"]["0"]["exemplars"] += 1
    write_result(path, value)
    code, _, err = call("--match-exemplars-of", model)
    assert code == 2
    assert (
        "started with other numbers of exemplars in the run that is matched: give --overwrite"
        in err
    )


def test_a_default_given_by_name_is_no_other_run(
    tmp_path: Path, call: Call, vilt_folder: Path
) -> None:
    options = ("--method", "replay", "--backbone", vilt_folder, "--phases", 2, "--epochs", 1)
    assert call(*options)[0] == 0
    code, out, _ = call(*options, "--set", "distillation=0.0", "replay.selection=herding")
    assert code == 0
    assert "done: " in out
    (folder,) = folders(tmp_path)
    assert results.read(folder)["backbone"]["name"] == vilt_folder.name


def test_effort_and_interruptions_are_told(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with monkeypatch.context() as patch:
            fail_in_phase(patch, 1, KeyboardInterrupt())
            assert call()[0] == 130
    assert call()[0] == 0
    (folder,) = folders(tmp_path)
    result = results.read(folder)
    assert [phase["resumed"] for phase in result["phases"]] == [0, 2, 0]
    assert [phase["steps"] for phase in result["phases"]] == [4, 4, 4]
    assert not list(folder.glob("state/*.begun"))
    assert "Interrupted: the time since" in (folder / "report.html").read_text()
    assert verify(folder) == []


def test_a_report_whose_writing_was_killed_leaves_nothing(tmp_path: Path, call: Call) -> None:
    assert call()[0] == 0
    (folder,) = folders(tmp_path)
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    (folder / ".report.html.0a1b2c3d.tmp").write_bytes(page[:100])
    assert call()[0] == 0
    assert (folder / "report.html").exists()
    assert not list(folder.glob(".report.html.*"))


def test_a_method_is_described(call: Call, mean_colour: Path) -> None:
    _, out, _ = call("--list", "exemplar_masking@figures")
    assert out.startswith("exemplar_masking@figures (replay): ")
    assert "https://arxiv.org/abs/2412.09549" in out
    assert "preset exemplar_masking@figures: attention=last" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["attention", "last"] in [row[:2] for row in rows]
    _, out, _ = call("--list", f"{mean_colour}:MeanColour")
    assert out.endswith("It has no settings.\n")
    assert "replay" in call("--list")[1]
    _, out, _ = call("--list", "all")
    heads = re.findall(r"^(\w+) \((?:replay|memory-free|bound)\): ", out, re.MULTILINE)
    assert heads == list(REGISTRY)


def test_images_that_are_left_out_are_named_beside_the_result(
    tmp_path: Path, call: Call, coloured: Path
) -> None:
    data = tmp_path / "photos"
    shutil.copytree(coloured, data)
    (data / "class1" / "3.jpg").write_bytes(b"")
    code, out, _ = call("--dataset", data, "--bad-images", "skip")
    assert code == 0
    why = "class1/3.jpg is empty (0 bytes)\n"
    assert f"note: 1 of 42 images cannot be used and is left out:\n  {why}" in out
    (folder,) = folders(tmp_path)
    assert (folder / "left_out.txt").read_text() == why


# What may differ and changes nothing; what must differ


def test_workers_give_the_same_result(tmp_path: Path, call: Call) -> None:
    call()
    (folder,) = folders(tmp_path)
    alone = outcome(folder)
    call("--workers", 2, "--overwrite")
    assert outcome(folder) == alone


@pytest.mark.filterwarnings("ignore:.*find_unused_parameters:UserWarning")
def test_mixed_precision_on_a_cpu(tmp_path: Path, call: Call, vilt_folder: Path) -> None:
    options = ("--method", "replay", "--backbone", vilt_folder, "--phases", 2, "--epochs", 1)
    assert call(*options)[0] == call(*options, "--precision", "bf16")[0] == 0
    states = [next(folder.glob("state/*.safetensors")).read_bytes() for folder in folders(tmp_path)]
    assert len(states) == 2
    assert states[0] != states[1]


def test_settings_reach_their_method(tmp_path: Path, call: Call, vilt_folder: Path) -> None:
    code, out, _ = call(
        "--method", "replay", "finetune", "--backbone", vilt_folder, "--dry-run",
        "--set", "distillation=1", "replay.distillation=2", "replay.selection=random",
    )  # fmt: skip
    assert code == 0
    assert "settings: distillation=2, selection=random" in out
    assert "settings: distillation=1\n" in out


# Trackers


def test_tensorboard_writes_beside_the_run(tmp_path: Path, call: Call) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert call("--tracker", "tensorboard", "--epochs", 5)[0] == 0
    (folder,) = folders(tmp_path)
    events = EventAccumulator(str(folder / "tracker")).Reload()
    accuracy = [(event.step, event.value) for event in events.Scalars("accuracy")]
    phases = results.read(folder)["phases"]
    assert [value for _, value in accuracy] == [
        pytest.approx(phase["accuracy"]["sample_weighted"]) for phase in phases
    ]
    steps = [event.step for event in events.Scalars("loss")]
    assert steps == sorted(set(steps))
    assert [step for step, _ in accuracy] == [10, 20, 30]
    assert steps == [10, 20, 30]


def test_trackio_writes_on_this_machine(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setattr(atexit, "register", lambda *_, **__: None)  # it would print after pytest
    pytest.importorskip("trackio")
    assert call("--tracker", "trackio")[0] == 0
    (database,) = tmp_path.glob("trackio/*.db")
    with sqlite3.connect(database) as connection:
        logged = [bytes(row[0]) for row in connection.execute("select metrics from metrics")]
    assert sum(b"accuracy" in line for line in logged) == 3


def test_a_tracker_that_is_not_installed_is_named(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark import devices

    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: None)
    for tracker in ("tensorboard", "trackio", "wandb"):
        code, _, err = call("--tracker", tracker)
        assert code == 2
        assert f"pip install 'mm-imagenet-r[{tracker}]'" in err


@pytest.mark.parametrize(("schema", "method"), [("schema1", "ssf"), ("schema2", "finetune")])
def test_a_run_that_an_older_version_finished_is_answered_as_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], schema: str, method: str
) -> None:
    """By the names of today, former ones of methods included; nothing is trained or written."""
    output = tmp_path / "runs"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / schema, output)
    former = {path: path.read_bytes() for path in output.rglob("*.json")}
    words = f"--method {method} --phases 2 --epochs 1 --memory 0.5 --device cpu --output {output}"
    assert run.main([*words.split(), "--dataset", "mini-1", "--backbone", "tiny-1"]) == 0
    assert "done, by an older version" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in output.rglob("*.json")} == former


def test_a_run_that_took_other_steps_is_no_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "runs"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "schema1", output)
    words = f"--method ssf --match-exemplars-of exemplar_masking --phases 2 --output {output}"
    words += " --epochs 1 --memory 0.5 --dataset mini-1 --backbone tiny-1"
    assert run.main(words.split()) == 2
    assert "yet. Run it first" in capsys.readouterr().err
