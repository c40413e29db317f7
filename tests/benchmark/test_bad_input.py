"""Mistakes and mishaps: a message that says what to do, exit code 2, and nothing lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import Call, fail_in_phase, folders, outcome

from benchmark import run_files
from benchmark.results.schema import SCHEMA_VERSION
from benchmark.run_folder import RunFolder
from mm_imagenet_r import files


def refused(answer: tuple[int, str, str], *parts: str) -> None:
    """Exit code 2 and one message, which has these parts in this order."""
    code, _, err = answer
    assert code == 2
    assert err.startswith("error: ")
    place = 0
    for part in parts:
        assert part in err[place:], err
        place = err.index(part, place)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--method", "exemplar_maskin"), ("unknown method", "did you mean 'exemplar_masking'")),
        (("--method", "replay@paper"), ("replay has no preset 'paper'",)),
        (("--method", "mine.py"), ("name its class too",)),
        (("--set", "speed=1"), ("mean_colour.py:MeanColour has no setting 'speed'", "it has none")),
        (
            ("--method", "replay", "--set", "foo=1"),
            ("error: replay has no setting 'foo': known: ",),
        ),
        (("--epoch", "3"), ("unknown option --epoch: did you mean --epochs?",)),
        (("--memmory=1",), ("unknown option --memmory: did you mean --memory?",)),
        (("--nonsense",), ("unknown option --nonsense: --help shows all",)),
        (("--phases", "3", "replay"), ("'replay' follows no option: write --method replay",)),
        (("--seeds",), ("--seeds: expected at least one argument", "--help")),
        (("--class-order-seed", "abc"), ("--class-order-seed: 'abc' is not a whole number",)),
        (("--method", "replay", "--set", "selektion=random"), ("did you mean 'selection'",)),
        (
            ("--method", "replay", "--set", "selection=best"),
            ("choose one of herding, cosine, random",),
        ),
        (("--method", "replay", "--set", "distillation=much"), ("'much' is not a number",)),
        (("--set", "replay.selection=random"), ("replay is not among the methods that run",)),
        (("--memory", "5x"), ("--memory 5x: write a number of untouched samples",)),
        (("--memory", "-5"), ("--memory -5: write a number",)),
        (("--memory", "20MB", "--currency", "samples"), ("or --currency bytes",)),
        (("--phases", "7"), ("7 phases for 6 classes: give a number from 1 to 6",)),
        (("--base-classes", "5"), ("each phase needs at least one of",)),
        (("--max-text-length", "100000"), ("--max-text-length 100000: give at most 1024",)),
        (("--class-order-seed", "-1"), ("class order seed -1: give a number",)),
        (("--dataset", "nowhere/at/all"), ("nowhere/at/all: there is no such folder",)),
        (("--device", "tpu"), ("--device tpu: this machine has cpu",)),
        (("--precision", "fp16"), ("needs a GPU: give --precision bf16 or no",)),
        (("--config", "nowhere.toml"), ("nowhere.toml cannot be read", "check the path")),
        (
            ("--match-exemplars-of", "replay"),
            ("Run it first: python -m benchmark.run --method replay",),
        ),
        (
            ("--method", "replay", "--match-exemplars-of", "replay"),
            ("a run cannot match itself; name another method",),
        ),
        (("--backbone", "/nope"), ("--backbone /nope: there is no folder /nope",)),
        (
            ("--method", "replay", "--set", "selection=random", "selection=herding"),
            ("a run has one value of each setting",),
        ),
        (("--match-exemplars-of", "repaly"), ("unknown method 'repaly': did you mean 'replay'",)),
        (("--list", "repaly"), ("unknown method 'repaly': did you mean 'replay'",)),
    ],
)
def test_mistakes_on_the_command_line(
    tmp_path: Path, call: Call, options: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    result = call(*options)
    refused(result, *parts)
    assert "classes in" not in result[1]  # no header of a run
    assert not (tmp_path / "runs").exists()


def test_a_gpu_that_is_not_there(call: Call) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    refused(call("--device", "cuda"), "--device cuda: this machine has cpu")


def test_a_folder_without_images(tmp_path: Path, call: Call) -> None:
    (tmp_path / "empty").mkdir()
    refused(call("--dataset", tmp_path / "empty"), str(tmp_path / "empty"))


def test_a_backbone_without_weights(tmp_path: Path, call: Call, vilt_folder: Path) -> None:
    backbone = tmp_path / "vilt"
    shutil.copytree(vilt_folder, backbone)
    (backbone / "model.safetensors").unlink()
    refused(
        call("--method", "replay", "--backbone", backbone),
        f"the weights of backbone '{backbone}' cannot be read", "copy the whole folder",
    )  # fmt: skip
    shutil.copy(vilt_folder / "model.safetensors", backbone)
    assert call("--method", "replay", "--backbone", backbone, "--epochs", 1)[0] == 0


def test_an_output_below_a_file(tmp_path: Path, call: Call) -> None:
    (tmp_path / "file").write_text("")
    for options in ((), ("--dry-run",)):
        answer = call("--output", tmp_path / "file" / "runs", *options)
        refused(answer, "cannot be written", "choose another folder", "--output")


def test_a_dry_run_stops_where_the_run_would(
    tmp_path: Path, call: Call, coloured: Path, vilt_folder: Path
) -> None:
    backbone, data = tmp_path / "vilt", tmp_path / "photos"
    shutil.copytree(coloured, data)
    shutil.copytree(vilt_folder, backbone)
    (backbone / "model.safetensors").unlink()
    options = ("--method", "replay", "--backbone", backbone, "--dry-run")
    refused(call(*options), f"the weights of backbone '{backbone}' cannot be read")
    refused(
        call("--method", "replay", "--backbone", tmp_path / "none", "--dry-run"),
        "there is no folder",
    )
    assert call("--dataset", data)[0] == 0
    shutil.copy(data / "class0" / "1.jpg", data / "class0" / "0.jpg")
    refused(call("--dataset", data, "--dry-run"), "was started with other data")


def test_further_ctrl_c_do_not_disturb_the_end() -> None:
    code = (
        "import atexit, os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "from benchmark import run\n"
        "def stopped(config):\n    raise KeyboardInterrupt\n"
        "run.run = stopped\n"
        "sys.argv = ['run']\n"
        "sys.exit(run.main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "resumes from here" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_another_process_works_in(tmp_path: Path, call: Call) -> None:
    assert call()[0] == 0
    (folder,) = folders(tmp_path)
    shutil.rmtree(folder / "state")
    (folder / "result.json").unlink()
    with RunFolder(folder).locked():
        for options in ((), ("--overwrite",)):
            refused(call(*options), f"another process is running in {folder}", "--output")
        assert (folder / "memory").exists()
    assert call()[0] == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a fault of the method")])
def test_a_run_that_stops_goes_on_after_its_last_finished_phase(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    call("--output", tmp_path / "undisturbed")
    (undisturbed,) = tmp_path.glob("undisturbed/*/*/*")
    with monkeypatch.context() as patch:
        fail_in_phase(patch, 2, error)
        if isinstance(error, KeyboardInterrupt):
            code, _, err = call()
            assert code == 130
            assert "resumes from here" in err
        else:
            code, _, err = call()
            assert code == 1
            assert "a fault of the method" in err
            assert "it can be resumed" in err
    (folder,) = folders(tmp_path)
    assert not (folder / "result.json").exists()
    code, out, _ = call()
    assert code == 0
    assert "resuming after phase 2 of 3" in out
    assert out.count("\nphase ") == 1
    assert outcome(folder) == outcome(undisturbed)


@pytest.fixture
def half_done(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped in its second phase."""
    with monkeypatch.context() as patch:
        fail_in_phase(patch, 1, KeyboardInterrupt())
        call()
    return folders(tmp_path)[0]


@pytest.mark.parametrize(
    ("pattern", "change", "message"),
    [
        ("memory/*.bin", lambda p: p.write_bytes(b"x" + p.read_bytes()[1:]), "was changed after"),
        ("memory/*.bin", lambda p: p.unlink(), "is missing"),
        ("state/*.safetensors", lambda p: p.unlink(), "is missing"),
        ("state/phase-00.json", lambda p: p.write_text("{"), "was changed after"),
        ("run.json", lambda p: p.write_text("{"), "was changed after"),
    ],
)
def test_a_changed_file_of_a_run_is_named_and_may_be_put_back(
    half_done: Path, call: Call, pattern: str, change: Callable[[Path], Any], message: str
) -> None:
    path = sorted(half_done.glob(pattern))[0]
    content = path.read_bytes()
    change(path)
    refused(call(), str(path), message, "put it back", "--overwrite")
    path.write_bytes(content)
    assert call()[0] == 0


def test_data_that_changed_since_the_run_began(
    tmp_path: Path, call: Call, coloured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "photos"
    shutil.copytree(coloured, data)
    with monkeypatch.context() as patch:
        fail_in_phase(patch, 1, KeyboardInterrupt())
        call("--dataset", data)
    image = data / "class0" / "0.jpg"
    content = image.read_bytes()
    image.write_bytes((data / "class0" / "1.jpg").read_bytes())
    refused(call("--dataset", data), "was started with other data", "--overwrite", "--output")
    image.write_bytes(content)
    assert call("--dataset", data)[0] == 0
    image.write_bytes((data / "class0" / "1.jpg").read_bytes())  # a result of other data is none
    refused(call("--dataset", data), "was started with other data")


def test_a_method_that_changed_since_the_run_began(
    tmp_path: Path, call: Call, mean_colour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is finished is done, by an older version; another cannot be resumed."""
    from benchmark import older_runs, plan

    path = tmp_path / "mine.py"
    path.write_text(mean_colour.read_text())
    options = ("--method", f"{path}:MeanColour")
    with monkeypatch.context() as patch:
        fail_in_phase(patch, 1, KeyboardInterrupt())
        call(*options)
    for name, which in (("sources_sha256", "method"), ("harness_sha256", "harness")):
        with monkeypatch.context() as patch:
            patch.setattr(plan, name, lambda *_: "another")
            refused(call(*options), f"another version of the {which}'s code")
    assert call(*options)[0] == 0
    monkeypatch.setattr(older_runs, "sources_sha256", lambda sources: "another")
    code, out, _ = call(*options)
    assert code == 0
    assert "done, by an older version" in out
    assert call(*options, "--overwrite")[0] == 0


def test_a_backbone_that_changed_since_the_run_began(
    tmp_path: Path, call: Call, vilt_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    backbone = tmp_path / "vilt"
    shutil.copytree(vilt_folder, backbone)
    options = ("--method", "replay", "--backbone", backbone, "--epochs", 1)
    with monkeypatch.context() as patch:
        fail_in_phase(patch, 1, KeyboardInterrupt())
        call(*options)
    weights = load_file(backbone / "model.safetensors")
    weights["pooler.dense.bias"] += 1
    save_file(weights, backbone / "model.safetensors", metadata={"format": "pt"})
    refused(call(*options), "was started with another backbone", "--overwrite")


def test_a_result_of_a_newer_version(tmp_path: Path, call: Call) -> None:
    assert call()[0] == 0
    path = folders(tmp_path)[0] / run_files.RESULT
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"schema_version": SCHEMA_VERSION + 1}))
    refused(call(), f"has schema version {SCHEMA_VERSION + 1}", "install a newer version of it")
    path.write_text(json.dumps(value))
    assert call()[0] == 0


def test_a_full_disk_loses_nothing(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up at every write in turn; with space again the same command goes on."""
    call("--output", tmp_path / "undisturbed")
    (undisturbed,) = tmp_path.glob("undisturbed/*/*/*")
    fsync, left = os.fsync, 0

    def full(file: int) -> None:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= 1
        fsync(file)

    monkeypatch.setattr(files.os, "fsync", full)
    tries, code = 0, 2
    while code:
        left = 5  # five files a try fit on the disk
        before = {
            p: p.stat().st_mtime_ns for f in folders(tmp_path) for p in f.glob("state/*.json")
        }
        code, _, err = call()
        assert all(path.stat().st_mtime_ns == when for path, when in before.items())
        if code:
            assert "the disk is full" in err
            assert "free some space and give the same command again" in err
        tries += 1
        assert tries < 9
    assert tries > 3
    (folder,) = folders(tmp_path)
    assert outcome(folder) == outcome(undisturbed)
    assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp")]
