"""Run folders that were damaged, shared or planted: refused, made again, or without effect."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import Call, folders, outcome, write_result

from benchmark import phase, results, run_files
from benchmark.report.gallery import read_gallery
from benchmark.results.verify import verify
from benchmark.run_folder import RunFolder
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that are made once."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def stopped(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, built: Path) -> Path:
    """A run that was stopped in the test of its second phase, which is learned."""
    evaluate = phase.evaluate

    def interrupted(*arguments: Any) -> Any:
        if arguments[-1] == 1:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    if not (built / "stopped").exists():
        with monkeypatch.context() as patch:
            patch.setattr(phase, "evaluate", interrupted)
            call()
        shutil.copytree(tmp_path / "runs", built / "stopped")
    shutil.copytree(built / "stopped", tmp_path / "runs", dirs_exist_ok=True)
    return folders(tmp_path)[0]


@pytest.fixture
def whole(call: Call, built: Path) -> Path:
    """A finished run, not to be touched."""
    if not (built / "finished").exists():
        call("--output", built / "finished")
    return built / "finished"


@pytest.fixture
def finished(tmp_path: Path, whole: Path) -> Path:
    shutil.copytree(whole, tmp_path / "runs", dirs_exist_ok=True)
    return folders(tmp_path)[0]


@pytest.fixture
def undisturbed(whole: Path) -> Any:
    (folder,) = (path.parent for path in whole.rglob("result.json"))
    return outcome(folder)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


def test_a_flipped_bit_of_a_stopped_run_is_refused_or_the_phase_learned_again(
    stopped: Path, undisturbed: Any, call: Call, tmp_path: Path
) -> None:
    assert sorted(path.name for path in (stopped / "state").iterdir()) == [
        "phase-00.json", "phase-00.safetensors", "phase-01.begun", "phase-01.learnt.json",
        "phase-01.safetensors",
    ]  # fmt: skip
    rng, whole, ends = random.Random(0), tmp_path / "whole", set()
    stopped.rename(whole)
    for number in range(12):
        shutil.rmtree(stopped, ignore_errors=True)
        shutil.copytree(whole, stopped)
        path = rng.choice([path for path in files_of(stopped) if path.stat().st_size])
        flip(path, rng)
        code, out, err = call()
        if code == 0:
            assert outcome(stopped) == undisturbed, f"{number}: {path}"
            ends.add("learned again" if "is learned again" in out else "no effect")
        else:
            assert code == 2
            assert str(path) in err, f"{number}: {err}"
            ends.add("refused")
    assert ends >= {"refused", "learned again"}


@pytest.mark.parametrize("kind", ["partial", "learnt.json", "begun"])
def test_what_an_unfinished_phase_left_is_dropped_if_it_was_changed(
    stopped: Path, undisturbed: Any, call: Call, kind: str
) -> None:
    planted = stopped / "state" / f"phase-01.{kind}"
    if kind != "learnt.json":
        (stopped / "state" / "phase-01.learnt.json").unlink()
    planted.write_bytes(b'{"step": 1000000000}')
    code, out, _ = call()
    assert code == 0
    assert f"{planted} was changed" in out.replace("\n", " ")
    assert outcome(stopped) == undisturbed


def test_a_record_of_another_phase_or_run_is_refused(
    stopped: Path, call: Call, tmp_path: Path
) -> None:
    call("--seeds", 1)
    other = next(path for path in folders(tmp_path) if path != stopped)
    for source in (stopped / "state" / "phase-01.learnt.json", other / "state" / "phase-00.json"):
        content = (stopped / "state" / "phase-00.json").read_bytes()
        shutil.copy(source, stopped / "state" / "phase-00.json")
        code, _, err = call()
        assert code == 2
        assert "phase-00.json was changed after it was written" in err
        (stopped / "state" / "phase-00.json").write_bytes(content)


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"result": 1}', "[" * 100_000, "7", ""])
def test_records_of_a_version_without_seals_are_looked_at(
    stopped: Path, call: Call, content: str
) -> None:
    (stopped / "state" / "phase-00.json").write_text(content)
    code, _, err = call()
    assert code == 2
    assert "phase-00.json was changed after it was written" in err


def test_a_run_of_a_version_without_seals_is_resumed(
    stopped: Path, undisturbed: Any, call: Call
) -> None:
    for path in (stopped / "run.json", *(stopped / "state").glob("*[jb][se][og][nu]*")):
        path.write_text(json.dumps(json.loads(path.read_bytes())["record"]))
    assert "seal" not in (stopped / "state" / "phase-00.json").read_text()
    code, out, _ = call()
    assert code == 0
    assert "resuming after phase 1" in out
    assert outcome(stopped) == undisturbed


def link(to: str) -> Callable[[Path, Path], None]:
    def plant(path: Path, outside: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(outside / to)

    return plant


def pipe(path: Path, outside: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
@pytest.mark.parametrize(
    ("name", "plant", "words"),
    [
        ("memory", link("."), "is a link"),
        ("state", link("."), "is a link"),
        ("source", link("."), "is a link"),
        ("", link("."), "is a link"),
        ("..", link("."), "is a link"),
        (".lock", link("mine.txt"), "is not a regular file"),
        (".lock", link("absent"), "is not a regular file"),
        (".lock", pipe, "is not a regular file"),
    ],
)
def test_links_and_pipes_lead_nowhere(
    stopped: Path,
    call: Call,
    tmp_path: Path,
    name: str,
    plant: Callable[[Path, Path], None],
    words: str,
    options: tuple[str, ...],
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for mine in ("mine.txt", "class-0000-0123456789abcdef.bin", "phase-01.json", "method.py"):
        (outside / mine).write_text(mine)
    plant(stopped.parent if name == ".." else stopped / name, outside)
    code, _, err = call(*options)
    assert code == 2
    assert words in err
    assert sorted(path.name for path in outside.iterdir()) == sorted(
        ["mine.txt", "class-0000-0123456789abcdef.bin", "phase-01.json", "method.py"]
    )
    assert all(path.read_text() == path.name for path in outside.iterdir())


@pytest.mark.parametrize("name", ["state/phase-00.json", "run.json", "memory/*0000*.bin"])
def test_a_pipe_or_a_device_in_place_of_a_file_is_refused(
    stopped: Path, call: Call, name: str
) -> None:
    (path,) = stopped.glob(name)
    pipe(path, stopped)
    assert (answer := call())[0] == 2
    assert "it is a pipe" in answer[2]
    path.unlink()
    path.symlink_to("/dev/zero")
    assert (answer := call())[0] == 2
    assert "it is a device" in answer[2]


def test_what_is_not_of_a_run_stays(stopped: Path, undisturbed: Any, call: Call) -> None:
    mine = [
        stopped / "state" / ".ipynb_checkpoints" / "phase-00.json",
        stopped / "memory" / "notes.txt",
        stopped / "memory" / ".mine.tmp",
        stopped / "source" / "notes.md",
        stopped / "notes" / "a.txt",
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    for options in ((), (), ("--overwrite",)):
        assert call(*options)[0] == 0
        assert outcome(stopped) == undisturbed
        assert all(path.read_text() == "mine" for path in mine)


@pytest.mark.parametrize("name", ["notes.py", "deeper/method.py"])
def test_python_beside_the_copy_of_the_source_is_kept(
    finished: Path, undisturbed: Any, call: Call, name: str
) -> None:
    mine = finished / "source" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine = 1")
    for number in (1, 2):
        code, out, _ = call("--overwrite")
        assert code == 0
        assert f"it is kept as source.old{number}" in " ".join(out.split())
        assert (finished / f"source.old{number}" / name).read_text() == "mine = 1"
        assert not mine.exists()
        assert outcome(finished) == undisturbed
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("mine = 1")
    shutil.rmtree(finished / "source")
    shutil.copytree(finished / "source.old2", finished / "source")
    mine.unlink()
    assert "kept" not in call("--overwrite")[1]


@pytest.mark.parametrize(
    "name",
    ["predictions.parquet", "exemplars.parquet", "gallery.json", "result.json", "source/*.py"],
)
@pytest.mark.parametrize("harm", ["removed", "cut", "flipped"])
def test_what_follows_from_a_finished_run_is_written_again(
    finished: Path, call: Call, name: str, harm: str
) -> None:
    (path,) = finished.glob(name)
    before = path.read_bytes()
    if harm == "removed" and name == "result.json":
        pytest.skip("then it is resumed")
    if harm == "removed":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(before[: len(before) // 2])
    else:
        path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    if harm == "removed" and name.startswith("source"):
        path.parent.rmdir()  # as where it is passed on without
    code, out, _ = call()
    assert code == 0
    assert f"{name.partition('/')[0]} was changed or removed: it is written again" in out
    assert path.read_bytes() == before
    code, out, _ = call()
    assert code == 0
    assert "was changed" not in out
    assert verify(finished) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("memory/*0000*", "was changed or removed"),
        ("state/*.safetensors", "was changed or removed"),
    ],
)
def test_what_nothing_gives_again_is_refused(
    finished: Path, call: Call, name: str, words: str
) -> None:
    (path,) = finished.glob(name)
    before = path.read_bytes()
    flip(path, random.Random(1))
    code, _, err = call()
    assert code == 2
    assert str(path) in err
    assert words in err
    path.write_bytes(before)
    assert call()[0] == 0


def test_predictions_are_not_written_again_from_phases_that_were_changed(
    finished: Path, call: Call
) -> None:
    (finished / run_files.PREDICTIONS).unlink()
    flip(finished / "state" / "phase-01.json", random.Random(2))
    code, _, err = call()
    assert code == 2
    assert "predictions.parquet was changed or removed" in err


def test_a_digit_of_a_result_or_a_picture_is_not_changed_unseen(finished: Path) -> None:
    path = finished / "result.json"
    value = json.loads(path.read_text())
    value["phases"][0]["accuracy"]["per_phase"][0] = 12.5
    write_atomic(path, json.dumps(value).encode())
    with pytest.raises(UserError, match="was changed after it was written"):
        results.read(finished)
    write_result(path, value)  # by one who knows of the seal: the predictions tell
    assert any("per_phase" in words or "accuracy" in words for words in verify(finished))
    gallery = json.loads((finished / "gallery.json").read_text())
    if gallery:
        gallery[0]["class_name"] = "another"
        (finished / "gallery.json").write_text(json.dumps(gallery))
        with pytest.raises(UserError, match="was changed after it was written"):
            read_gallery(finished)


def test_a_run_that_has_lost_what_it_was_started_with_is_refused(stopped: Path, call: Call) -> None:
    (stopped / "run.json").unlink()
    code, _, err = call()
    assert code == 2
    assert "run.json is missing" in err
    assert call("--overwrite")[0] == 0


def test_a_finished_run_without_it_is_done_and_gets_no_other(finished: Path, call: Call) -> None:
    (finished / "run.json").unlink()
    assert call()[0] == 0
    assert not (finished / "run.json").exists()


def test_a_result_of_another_run_is_replaced(finished: Path, call: Call, tmp_path: Path) -> None:
    call("--seeds", 1)
    other = next(path for path in folders(tmp_path) if path != finished)
    before = (finished / "result.json").read_bytes()
    shutil.copy(other / "result.json", finished)
    code, out, _ = call()
    assert code == 0
    assert "result.json was changed or removed: it is written again" in out
    assert (finished / "result.json").read_bytes() == before


def test_pictures_without_seals_are_those_of_an_earlier_version(finished: Path, call: Call) -> None:
    path = finished / "gallery.json"
    items = [{k: v for k, v in one.items() if k != "seal"} for one in json.loads(path.read_text())]
    path.write_text(json.dumps(items))
    code, out, _ = call()
    assert code == 0
    assert "gallery" not in out
    assert json.loads(path.read_text()) == items


@pytest.mark.parametrize("name", ["memory", "state", "state/*.safetensors"])
def test_that_the_model_is_gone_is_said(finished: Path, call: Call, name: str) -> None:
    (path,) = finished.glob(name)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, out, _ = call()
    assert code == 0
    assert "the model cannot be used without it" in out.replace("\n", " ")


@pytest.mark.parametrize("name", ["run.json", "result.json", "state/phase-00.json"])
def test_a_folder_in_place_of_a_file_is_nobodys_to_remove(
    finished: Path, call: Call, name: str
) -> None:
    path = finished / name
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("mine")
    before = [one for one in files_of(finished) if one.name != "report.html"]
    code, _, err = call("--overwrite")
    assert code == 2
    assert f"{path} is not a regular file, as runs write: remove it" in err
    assert [one for one in files_of(finished) if one.name != "report.html"] == before


def test_an_odd_lock_stops_no_other_run(finished: Path, call: Call) -> None:
    (finished / ".lock").unlink()
    (finished / ".lock").mkdir()
    assert not RunFolder(finished).is_busy()
