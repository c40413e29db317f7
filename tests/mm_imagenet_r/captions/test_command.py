"""The command line: what it refuses, how it shares work, what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_captioner import Fake, calls, draw

from mm_imagenet_r.captions.__main__ import main
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.captions.options import parse
from mm_imagenet_r.captions.progress import reasons
from mm_imagenet_r.captions.schedulers import rank_of
from mm_imagenet_r.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images in two classes."""
    for number in range(10):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(number))
    return tmp_path


def command(folder: Path, *arguments: str, prompt: str = "p") -> list[str]:
    fake = ["--backend", "fake_captioner:Fake", "--model", str(folder / "calls")]
    where = ["--images", str(folder / "photos"), "--output", str(folder / "out")]
    return [*fake, *where, "--prompt", prompt, "--unit-size", "2", *arguments]


def test_all_images_are_captioned_and_again_nothing_is_done(folder: Path, capsys: Any) -> None:
    assert main(command(folder)) == 0
    assert "10 of 10 images are captioned" in capsys.readouterr().out
    captions = read_captions(folder / "out")
    assert captions.by_name["class1/7.png"] == "number 7"
    assert captions.info["backend"] == "fake_captioner:Fake"
    count = len(calls(folder / "calls"))
    assert main(command(folder)) == 0
    assert len(calls(folder / "calls")) == count


def test_a_trial_is_part_of_the_whole(folder: Path, capsys: Any) -> None:
    assert main(command(folder, "--limit", "3")) == 0
    out = capsys.readouterr().out
    assert "number " in out
    trial = read_captions(folder / "out").by_name
    assert len(trial) == 3
    made = sum(map(len, calls(folder / "calls")))
    assert main(command(folder, "--limit", "5")) == 0
    larger = read_captions(folder / "out").by_name
    assert len(larger) == 5
    assert larger.items() >= trial.items()
    assert main(command(folder)) == 0
    assert sum(map(len, calls(folder / "calls"))) == made + 7
    assert read_captions(folder / "out").by_name.items() >= larger.items()


def test_a_slow_trial_beside_the_whole_run_spoils_nothing(
    folder: Path, capsys: Any, monkeypatch: Any
) -> None:
    call, started = Fake.__call__, False

    def whole_run_meanwhile(self: Fake, images: Any) -> Any:
        nonlocal started
        if not started:
            started = True
            assert main(command(folder)) == 0
        return call(self, images)

    monkeypatch.setattr(Fake, "__call__", whole_run_meanwhile)
    assert main(command(folder, "--limit", "3")) == 0
    assert len(read_captions(folder / "out").by_name) == 10
    assert capsys.readouterr().out.count("10 of 10 images are captioned") == 2


def test_units_of_another_size_belong_to_the_same_set(folder: Path, capsys: Any) -> None:
    assert main(command(folder, "--limit", "4")) == 0
    assert "note" not in capsys.readouterr().out
    assert main(command(folder, "--unit-size", "3")) == 0
    assert "existing units keep their size (2)" in capsys.readouterr().out
    assert len(read_captions(folder / "out").by_name) == 10
    (parts,) = folder.glob("out/*/parts")
    assert len(list(parts.iterdir())) == 2 + 2


def test_images_that_are_not_all_there_are_reported_at_once(folder: Path, capsys: Any) -> None:
    assert main(command(folder, "--limit", "4")) == 0
    for path in (folder / "photos" / "class1").iterdir():
        path.unlink()
    made = len(calls(folder / "calls"))
    assert main(command(folder)) == 2
    message = capsys.readouterr().err
    assert "of the images of the caption set" in message
    assert "class1/" in message
    assert "give --images with all of them, or another --output" in message
    assert len(calls(folder / "calls")) == made


def test_images_without_a_caption_are_reported(folder: Path, capsys: Any) -> None:
    assert main(command(folder, "--decoding", "refuse=[3,6]")) == 0
    out = capsys.readouterr().out
    assert "8 of 10 images are captioned" in out
    assert "2 have no caption; --retry-errors tries again" in out
    assert "2 such as class0/6.png: RuntimeError: no memory" in out


def test_a_retry_says_how_many_are_tried_again_and_how_many_work_now(
    folder: Path, capsys: Any, monkeypatch: Any
) -> None:
    assert main(command(folder, "--decoding", "refuse=[3,5,6]")) == 0
    capsys.readouterr()
    call = Fake.__call__

    def fixed(self: Fake, images: Any) -> Any:
        self._options = {"refuse": 6}
        return call(self, images)

    monkeypatch.setattr(Fake, "__call__", fixed)
    assert main(command(folder, "--decoding", "refuse=[3,5,6]", "--retry-errors")) == 0
    out = capsys.readouterr().out
    assert "resuming after 7 of 10 images; retrying 3 that failed before" in out
    assert "9 of 10 images are captioned" in out
    assert "2 of 3 images that had failed are captioned now" in out
    assert main(command(folder, "--retry-errors")) == 0
    assert "there was nothing to retry" in capsys.readouterr().out
    assert main(command(folder, "--decoding", "refuse=[3,5,6]")) == 0
    assert "resuming" not in capsys.readouterr().out  # nothing is to be done


def test_failures_are_reported_in_one_line_each(folder: Path, capsys: Any) -> None:
    why = "line one\nline two " + 60 * "and more "
    decoding = ["--decoding", "refuse=[3]", f"why={json.dumps(why)}"]
    assert main(command(folder, *decoding)) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "line one" in line)
    assert "1 such as class1/3.png: RuntimeError: line one line two and more" in line
    assert len(line) < 200
    assert main(command(folder, "--decoding", "broken=true", f"why={json.dumps(why)}")) == 2
    message = capsys.readouterr().err
    assert "line one line two and more" in message
    assert message.count("\n") == 1
    assert len(message) < 400


def test_counts_of_reasons_add_up() -> None:
    failed = {f"{number}.jpg": f"reason {number % 7}" for number in range(20)}
    first, *lines = reasons(failed)
    assert first.startswith("20 have no caption")
    assert lines[0] == "  3 such as 0.jpg: reason 0"
    assert lines[-1] == "  5 for 2 other reasons: see the column error"
    assert sum(int(line.split()[0]) for line in lines) == 20


def test_captions_that_look_faulty_are_counted(folder: Path, capsys: Any) -> None:
    assert main(command(folder, "--limit", "3", "--decoding", 'says=""')) == 0
    out = capsys.readouterr().out
    assert "3 captions may be faulty (empty 3): the audit shows them" in out
    assert "(empty)\n" in out
    assert main(command(folder)) == 0
    assert "may be faulty" not in capsys.readouterr().out


def test_samples_of_a_trial_are_one_paragraph_each(folder: Path, capsys: Any) -> None:
    said = json.dumps("A dog.\n\n- It sleeps [bold].\n")
    assert main(command(folder, "--limit", "2", "--decoding", f"says={said}")) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("    A dog. - It sleeps [bold].")
    assert lines[place - 1].endswith(".png (2 tokens)")
    assert "" not in lines


def test_a_trial_that_is_done_loads_no_model(folder: Path, monkeypatch: Any) -> None:
    assert main(command(folder)) == 0
    for part in folder.glob("out/*/parts/*4.parquet"):
        part.unlink()

    def load(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(Fake, "__init__", load)
    assert main(command(folder, "--limit", "3")) == 0


def test_an_attempt_that_failed_is_no_caption_set(folder: Path) -> None:
    assert main(command(folder, "--decoding", "broken=true", prompt="q")) == 2
    assert main(command(folder)) == 0
    assert len(list(folder.glob("out/*/run.json"))) == 2
    assert read_captions(folder / "out").info["prompt"] == "p"


def test_a_model_without_a_prompt(folder: Path) -> None:
    arguments = command(folder, "--no-prompt")
    place = arguments.index("--prompt")
    del arguments[place : place + 2]
    assert main(arguments) == 0
    assert read_captions(folder / "out").info["prompt"] == ""


def test_another_prompt_is_another_set(folder: Path) -> None:
    assert main(command(folder)) == 0
    assert main(command(folder, prompt="q")) == 0
    sets = sorted(path.parent for path in (folder / "out").glob("*/captions.parquet"))
    assert len(sets) == 2
    assert {json.loads((path / "run.json").read_text())["identity"]["prompt"] for path in sets} == {
        "p",
        "q",
    }


def test_workers_in_processes_of_their_own(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert main(command(folder, "--workers", "2")) == 0
    assert sorted(n for call in calls(folder / "calls") for n in call) == list(range(10))


def test_a_worker_that_ends_early_is_reported(
    folder: Path, monkeypatch: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert main(command(folder, "--workers", "2", "--decoding", "gone=true")) == 2
    err = capfd.readouterr().err
    assert "the server is gone" in err
    assert "of 2 workers ended early" in err


def test_tasks_share_the_work_and_the_last_one_puts_it_together(folder: Path, capsys: Any) -> None:
    assert main(command(folder, "--rank", "1", "--world-size", "2", "--limit", "2")) == 0
    assert main(command(folder, "--rank", "0", "--world-size", "2")) == 0
    assert sorted(n for call in calls(folder / "calls") for n in call) == list(range(10))
    assert "captions: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RANK": "3", "WORLD_SIZE": "8", "SLURM_PROCID": "0"}, (3, 8)),
        ({"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "9"}, (5, 9)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, (2, 4)),
        ({"JOB_COMPLETION_INDEX": "1", "WORLD_SIZE": "3"}, (1, 3)),
    ],
)
def test_ranks_of_schedulers(environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert rank_of(environment) == expected


def test_an_index_without_a_count_is_refused() -> None:
    with pytest.raises(UserError, match="WORLD_SIZE is missing or not a number: correct it"):
        rank_of({"JOB_COMPLETION_INDEX": "1"})


@pytest.mark.parametrize(
    ("remove", "add", "message"),
    [
        ("--prompt", [], "one of the arguments --prompt --no-prompt is required"),
        ("--images", [], "the following arguments are required: --images"),
        ("--model", [], "the following arguments are required: --model"),
        ("", ["--rank", "1"], "--rank and --world-size go together"),
        ("", ["--rank", "2", "--world-size", "2"], "there is no task 2 of 2, counted from 0"),
        ("--prompt", ["--prompt", ""], "--prompt: the value is empty; is a shell variable"),
        ("--prompt", ["--prompt= "], "--prompt: the value is empty"),
        ("", ["--no-prompt"], "--no-prompt: not allowed with argument --prompt"),
        ("", ["--output", ""], "--output: the path is empty"),
        ("", ["--timeout", "-1"], "'-1' is not a number above 0"),
        ("", ["--decoding", "beams"], "write KEY=VALUE"),
        ("", ["--limit", "0"], "not a whole number above 0"),
        ("", ["--beams", "3"], "unknown option --beams"),
        ("", ["--batch-size", "3"], "--batch-size does not apply to the back end fake_captioner"),
        ("", ["--backend", "absent_module:Fake"], "there is no module 'absent_module'"),
        ("", ["--backend", "pathlib:Path"], "is not a Captioner"),
        ("", ["--images", "absent"], "absent does not exist"),
        ("", ["--output", "photos/class0/0.png"], "cannot be written"),
        ("", ["--decoding", "broken=true", "--unit-size", "5"], "none of the first 10 images"),
    ],
)
def test_mistakes_are_reported_and_nothing_is_half_written(
    folder: Path, capsys: Any, monkeypatch: Any, remove: str, add: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    arguments = command(folder, *add)
    if remove:
        place = arguments.index(remove)
        del arguments[place : place + 2]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(folder.glob("out/*/parts/*"))


def test_an_output_that_is_a_caption_set_is_refused(folder: Path, capsys: Any) -> None:
    assert main(command(folder)) == 0
    (made,) = (folder / "out").glob("*/captions.parquet")
    assert main([*command(folder, prompt="q"), "--output", str(made.parent)]) == 2
    assert "is itself a caption set" in capsys.readouterr().err
    assert len(read_captions(folder / "out").by_name) == 10


def test_help_answers_at_once_and_names_the_defaults() -> None:
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'openai', 'numpy'}\n"
        "atexit.register(lambda: print(heavy & set(sys.modules)))\n"
        "from mm_imagenet_r.captions.__main__ import main\n"
        "main(['--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    assert "default: 64" in done.stdout


def test_a_task_that_the_scheduler_counts_wrongly_is_refused() -> None:
    base = ["--model", "m", "--prompt", "p", "--images", "i"]
    with pytest.raises(UserError, match="no task 2 of 2, counted from 0: give --rank and"):
        parse(base, {"RANK": "2", "WORLD_SIZE": "2"})


def test_values_of_decoding_options() -> None:
    base = ["--model", "m", "--prompt", "p", "--images", "i", "--decoding"]
    options = parse([*base, "a=1", "b=0.5", "c=true", "d=False", "e=x=y", "f=null"], {})
    assert options.request.decoding == {
        "a": 1, "b": 0.5, "c": True, "d": False, "e": "x=y", "f": None,
    }  # fmt: skip


def test_other_versions_than_at_the_beginning_are_noted(folder: Path, capsys: Any) -> None:
    assert main(command(folder, "--limit", "2")) == 0
    (run,) = (folder / "out").glob("*/run.json")
    written = json.loads(run.read_text())
    written["about"]["versions"]["pillow"] = "1.0"
    del written["sha256"]  # as older versions have it
    run.write_text(json.dumps(written))
    capsys.readouterr()
    assert main(command(folder)) == 0
    assert "started with pillow 1.0" in capsys.readouterr().out


def test_captions_of_an_image_that_has_changed_are_not_taken_for_finished(
    folder: Path, capsys: Any
) -> None:
    assert main(command(folder, "--limit", "5")) == 0
    changed = sorted(read_captions(folder / "out").hashes)[0]
    (folder / "photos" / changed).write_bytes(draw(200))
    capsys.readouterr()
    for limit in (["--limit", "3"], []):
        assert main(command(folder, *limit)) == 2
        assert f"{changed} has changed since its caption set" in capsys.readouterr().err
    (made,) = (folder / "out").glob("*/captions.parquet")
    assert main(["audit", str(made), "--images", str(folder / "photos")]) == 2
    assert f"(changed: {changed}): caption these images again" in capsys.readouterr().err
