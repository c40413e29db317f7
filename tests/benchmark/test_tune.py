"""Settings chosen on validation data: alike for every method, resumed, recorded, used by name."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import Call, folders, write_result

from benchmark import recipe_file, results, search, tune, tuned_recipe
from benchmark.config import RunConfig
from benchmark.data import open_data
from benchmark.results.derive import as_classifier
from benchmark.results.verify import verify
from benchmark.sweep import command as sweep
from benchmark.sweep import progress
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import json_sha256

METHOD = '''
import dataclasses
import numpy as np
import torch
from mean_colour import MeanColour as _Mean


@dataclasses.dataclass(frozen=True)
class _Settings:
    classifier: str = "linear"
    gain: float = dataclasses.field(default=1.0, metadata={"search": (1.0, 4.0)})
    sign: int = dataclasses.field(default=-1, metadata={"search": (1, -1, 0)})
    quiet: bool = True

    def __post_init__(self):
        if self.classifier not in ("linear", "flipped", "all"):
            raise ValueError(f"classifier={self.classifier}")
        if self.sign == 0 and self.gain == 4:
            raise ValueError("sign=0 and gain=4 do not go together")


class Searched(_Mean):
    Settings = _Settings
    recipe = {"learning_rate": 0.2}

    def loss(self, batch):
        colours, labels = batch
        return torch.nn.functional.cross_entropy(self.settings.gain * self.model(colours), labels)

    def predict(self, batch):
        scores = self.settings.sign * self.model(batch[0])
        names = ["linear", "flipped"] if self.settings.classifier == "all" else None
        names = names or list(dict.fromkeys([self.settings.classifier, "linear"]))
        return {name: scores if name == "linear" else -scores for name in names}


class Plain(_Mean):
    """No settings: the learning rate alone is searched."""


class Free(_Mean):
    kind = "memory-free"

    def end_phase(self, phase, memory):
        pass


class Diverging(_Mean):
    """Its loss is no number from a learning rate on."""
    recipe = {"learning_rate": 0.2}

    def loss(self, batch):
        return super().loss(batch) * (torch.nan if self.too_fast() else 1.0)

    def too_fast(self):
        import sys
        frame = sys._getframe()
        while frame and "rate" not in frame.f_locals:
            frame = frame.f_back
        return frame is not None and frame.f_locals["rate"] > 0.5


class Never(_Mean):
    def loss(self, batch):
        return super().loss(batch) * torch.nan
'''

Choose = Callable[..., tuple[int, str, str]]
SEARCHED = "searched-Searched-coloured-3phases-2-bytes.json"


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory, mean_colour: Path) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    shutil.copy(mean_colour, folder / "mean_colour.py")
    path = folder / "searched.py"
    path.write_text(METHOD)
    return path


def words(folder: Path, methods: Path, coloured: Path, *options: object) -> list[str]:
    """A command line: Searched on the first of three phases, unless options say otherwise."""
    given = [str(option) for option in options]
    defaults = {
        "--method": f"{methods}:Searched", "--recipe": "mine", "--recipes": folder / "recipes",
        "--dataset": coloured, "--output": folder / "trials", "--epochs": 2, "--batch-size": 8,
        "--memory": 2, "--device": "cpu", "--trials": 3,
    }  # fmt: skip
    if "--phases" not in given:
        defaults |= {"--phases": 3, "--stop-after": 1}
    for name, value in defaults.items():
        if name not in given:
            given += [name, str(value)]
    return given


@pytest.fixture
def choose(
    tmp_path: Path, methods: Path, coloured: Path, capsys: pytest.CaptureFixture[str]
) -> Choose:
    """`python -m benchmark.tune` with `words`: (code, out, err)."""

    def run_main(*options: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = tune.main(words(tmp_path, methods, coloured, *options))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run_main


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory, methods: Path, coloured: Path) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert tune.main(words(folder, methods, coloured)) == 0
    return folder


@pytest.fixture
def made(tmp_path: Path, _made: Path) -> Path:
    """The file of the recipe `mine`, chosen once for all tests."""
    shutil.copytree(_made / "recipes", tmp_path / "recipes")
    return tmp_path / "recipes" / "mine" / SEARCHED


@pytest.fixture
def used(tmp_path: Path, methods: Path, call: Call) -> Call:
    """`python -m benchmark.run` of Searched with the recipe `mine`."""

    def run_main(*options: object) -> tuple[int, str, str]:
        given = list(options)
        defaults = {
            "--method": f"{methods}:Searched", "--recipe": "mine",
            "--recipes": tmp_path / "recipes", "--stop-after": 1,
        }  # fmt: skip
        for name, value in defaults.items():
            if name not in given:
                given += [name, value]
        return call(*given)

    return run_main


def recipes(tmp_path: Path) -> dict[str, Any]:
    files = sorted((tmp_path / "recipes" / "mine").glob("*.json"))
    return {path.name: json.loads(path.read_text()) for path in files}


def trials(tmp_path: Path) -> list[Path]:
    return sorted(path.parent for path in tmp_path.glob("trials/*/*/*/run.json"))


def cell(methods: Path, **options: Any) -> RunConfig:
    return RunConfig(method=(f"{methods}:{options.pop('name', 'Searched')}",), **options)


# What is searched


def test_the_default_comes_first_and_no_point_twice(methods: Path) -> None:
    space = search.space_of(cell(methods))
    assert space.trials == {
        "learning_rate": (0.2, 0.0667, 0.6, 0.02, 2.0), "gain": (1.0, 4.0), "sign": (-1, 1, 0),
    }  # fmt: skip
    assert space.reads_all
    points = search.trial_points(cell(methods), space, 100, seed=0)
    assert points[0] == {"learning_rate": 0.2, "gain": 1.0, "sign": -1}
    assert len(points) == 25  # of 30: five hold what the method refuses
    assert len({tuple(point.values()) for point in points}) == 25
    assert not any(point["gain"] == 4 and point["sign"] == 0 for point in points)
    assert search.trial_points(cell(methods), space, 4, seed=0) == points[:4]
    assert search.trial_points(cell(methods), space, 100, seed=1) != points


def test_what_the_user_fixes_is_not_searched(methods: Path) -> None:
    fixed = cell(methods, set=("sign=1", "classifier=linear"), learning_rate=0.3)
    space = search.space_of(fixed)
    assert space.trials == {"gain": (1.0, 4.0)}
    assert not space.reads_all
    assert search.trial_points(fixed, space, 9, 0) == [{"gain": 1.0}, {"gain": 4.0}]


def test_a_dry_run_says_what_would_be_tried(tmp_path: Path, choose: Choose, methods: Path) -> None:
    plain = f"{methods}:Plain"
    code, out, _ = choose("--method", f"{methods}:Searched", plain, "--trials", 4, "--dry-run")
    assert code == 0
    assert f"{methods}:Searched: 4 trials of 30 points\n  learning_rate: 0.2, 0.0667, 0.6" in out
    assert f"{plain}: 4 trials of 5 points" in out
    assert "every one it has, read from the same run" in out
    assert not trials(tmp_path)
    assert not (tmp_path / "recipes").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trials", 0), "--trials must be at least 1"),
        (("--jobs", 0), "--jobs must be at least 1"),
        (("--trials", 10**20), "--trials 100000000000000000000 is too large: give a smaller"),
        (("--search-seed", 10**20), "--search-seed 100000000000000000000 is too large"),
        (("--trials", "many"), "--trials: 'many' is not a whole number"),
        (("--evaluate-on", "test"), "on validation data"),
        (("--seeds", 0, 1), "one of the --seeds"),
        (("--match-exemplars-of", "replay"), "--match-exemplars-of"),
        (("--recipe", "a/b"), "plain name"),
        (("--trails", 3), "did you mean --trials"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    choose: Choose, options: tuple[object, ...], message: str
) -> None:
    code, _, err = choose(*options)
    assert code == 2
    assert message in err


# What is chosen


def test_every_method_gets_as_many_trials_and_the_best_is_chosen(
    tmp_path: Path, choose: Choose, methods: Path
) -> None:
    code, out, err = choose(
        "--method", f"{methods}:Searched", f"{methods}:Plain", "--phases", 6, "--trials", 2
    )
    assert (code, err) == (0, "")
    found = recipes(tmp_path)
    searched = SEARCHED.replace("3phases", "6phases")
    assert set(found) == {searched, "searched-Plain-coloured-6phases-2-bytes.json"}
    runs = {}
    for folder in trials(tmp_path):
        result = results.read(folder)
        assert result["config"]["evaluate_on"] == "validation"
        assert result["config"]["stop_after"] == len(result["phases"]) == 3
        runs[json.loads((folder / "run.json").read_text())["record"]["config"].__repr__()] = result
        assert verify(folder) == []
    assert len(runs) == 4
    for said in found.values():
        assert len(said["trials"]) == said["asked"] == 2
        best = max(max(trial["accuracy"].values()) for trial in said["trials"])
        chosen = said["chosen"]
        own = said["trials"][chosen["trial"]]
        name = chosen["settings"].get("classifier", "")
        assert own["accuracy"][name] == best
        assert chosen["settings"] == {**own["settings"], **({"classifier": name} if name else {})}
        assert len(said["dataset"]["data_sha256"]) == 64
    measured = sorted(
        round(as_classifier(result, name)["metrics"]["average_incremental_accuracy"], 6)
        for result in runs.values()
        if "Searched" in result["method"]
        for name in ("linear", "flipped")
    )
    said = found[searched]
    assert measured == sorted(v for trial in said["trials"] for v in trial["accuracy"].values())
    assert list(said["searched"]) == ["learning_rate", "gain", "sign", "classifier"]
    assert said["searched"]["classifier"] == ["linear", "flipped"]
    assert out.count("* is chosen") == 2
    assert re.search(r"^[12] .*\d \*", out, re.MULTILINE)  # the best one is marked


def test_of_equals_the_earlier_trial_and_then_the_linear_classifier() -> None:
    for accuracies, best in (
        ([{"linear": 5.0, "nme": 7.0}, {"linear": 7.0, "nme": 7.0}], (0, "nme")),
        ([{}, {"linear": 7.0, "nme": 7.0}], (1, "linear")),
    ):
        trials: Any = [{"settings": {}, "accuracy": accuracy} for accuracy in accuracies]
        chosen = recipe_file.choose({"classifier": []}, trials)
        assert (chosen["trial"], chosen["settings"]["classifier"]) == best
    with pytest.raises(ValueError, match="no trial has an accuracy"):
        recipe_file.choose({}, [])


def test_a_trial_that_fails_is_recorded_and_the_rest_goes_on(
    tmp_path: Path, choose: Choose, methods: Path
) -> None:
    code, out, _ = choose("--method", f"{methods}:Diverging")
    assert code == 0
    (said,) = recipes(tmp_path).values()
    failed = [trial for trial in said["trials"] if trial["failed"]]
    assert [trial["settings"]["learning_rate"] for trial in failed] == [0.6]
    assert "the loss is nan" in failed[0]["failed"]
    assert said["chosen"]["settings"]["learning_rate"] != 0.6
    assert "FAILED: error: " in out
    assert re.search(r"^\d  +0\.6 .*failed", out, re.MULTILINE)
    code, _, err = choose("--method", f"{methods}:Never")
    assert code == 2
    assert "no trial could be finished" in err
    assert "the loss is nan" in err
    assert len(recipes(tmp_path)) == 1


# What a trial sees


def _plain_picture(length: int, colour: int) -> bytes:
    """A picture of one colour in a file of so many bytes: budgets count the lengths of files."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), colour, np.uint8)).save(buffer, "JPEG", quality=20)
    data = buffer.getvalue()
    assert len(data) <= length
    return data + bytes(length - len(data))


def test_neither_test_data_nor_later_classes_are_seen(
    tmp_path: Path, choose: Choose, coloured: Path
) -> None:
    assert choose()[0] == 0
    (before,) = recipes(tmp_path).values()
    data = open_data(str(coloured)).in_order(open_order(coloured))
    seen = set(data.train.of_classes(range(2)).file_names)
    poisoned = tmp_path / "coloured"
    shutil.copytree(coloured, poisoned)
    changed = 0
    for number, path in enumerate(sorted(poisoned.glob("*/*.jpg"))):
        if path.relative_to(poisoned).as_posix() not in seen:
            path.write_bytes(_plain_picture(path.stat().st_size, 5 * number))
            changed += 1
    assert changed == 4 * 7 + 2  # the classes of later phases; of the others one test image each
    assert choose("--dataset", poisoned, "--recipes", tmp_path / "others")[0] == 0
    (path,) = (tmp_path / "others" / "mine").glob("*.json")
    after = json.loads(path.read_text())
    assert after["dataset"]["data_sha256"] != before["dataset"]["data_sha256"]
    assert _outcome(after) == _outcome(before)
    # And a validation image would have told: the same poison there changes the outcome.
    for name in sorted(seen):
        file = poisoned / name
        file.write_bytes(_plain_picture(file.stat().st_size, 128))
    assert choose("--dataset", poisoned, "--recipes", tmp_path / "third", "--overwrite")[0] == 0
    (path,) = (tmp_path / "third" / "mine").glob("*.json")
    assert _outcome(json.loads(path.read_text())) != _outcome(before)


def open_order(coloured: Path) -> list[int]:
    return RunConfig().label_order(open_data(str(coloured)).num_classes)


def _outcome(said: dict[str, Any]) -> Any:
    return [trial["accuracy"] for trial in said["trials"]], said["chosen"]


# Killed and given again


def finished(tmp_path: Path) -> dict[Path, int]:
    """When each trial was finished."""
    files = tmp_path.glob("trials/*/*/*/result.json")
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_search_that_was_stopped_goes_on(
    tmp_path: Path, choose: Choose, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = json.loads(made.read_text())
    made.unlink()

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress.Progress, "done", stopped)
        code, _, err = choose("--jobs", 1)
    assert code == 130
    assert "resumes from here" in err
    assert not recipes(tmp_path)
    first = finished(tmp_path)
    assert len(first) == 1
    code, out, _ = choose("--jobs", 2)
    assert code == 0
    assert "3 cells, 1 done, 2 missing" in out
    assert first.items() <= finished(tmp_path).items()
    (said,) = recipes(tmp_path).values()
    assert _outcome(said) == _outcome(uninterrupted)


def test_what_is_chosen_is_not_chosen_again(tmp_path: Path, choose: Choose, made: Path) -> None:
    before = made.read_bytes()
    code, out, _ = choose()
    assert code == 0
    assert f"done: {made}" in out
    assert not finished(tmp_path)  # the file is enough
    assert made.read_bytes() == before


def test_a_recipe_of_a_newer_version_is_not_replaced(
    tmp_path: Path, choose: Choose, made: Path
) -> None:
    made.write_text(json.dumps({**json.loads(made.read_text()), "format": 2}))
    before = made.read_bytes()
    code, _, err = choose()
    assert code == 2
    assert f"{made} has format 2; this program knows up to 1: install a newer one" in err
    assert made.read_bytes() == before
    assert not trials(tmp_path)


def test_a_recipe_is_not_written_through_a_link(tmp_path: Path, choose: Choose, made: Path) -> None:
    outside = tmp_path / "outside"
    made.parent.rename(outside)
    made.parent.symlink_to(outside)
    (outside / made.name).unlink()
    code, _, err = choose()
    assert code == 2
    assert f"{made.parent} is a link" in err
    assert not list(outside.iterdir())
    assert not trials(tmp_path)


def test_overwrite_chooses_again(tmp_path: Path, choose: Choose) -> None:
    assert choose("--trials", 2)[0] == 0
    before = finished(tmp_path)
    code, out, _ = choose("--trials", 2, "--overwrite")
    assert code == 0
    assert "2 cells, 0 done, 2 missing" in out
    assert "--overwrite chooses again" not in out
    after = finished(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[file] != before[file] for file in before)


def test_what_a_recipe_says_is_shown_as_it_stands(choose: Choose, made: Path) -> None:
    said = json.loads(made.read_text())
    marked = json.loads(made.read_text().replace('"linear"', '"x[/]"'))
    for trial in marked["trials"]:
        trial["settings"]["gain"] = "[/bold]\x1b[31m"
    marked["chosen"]["settings"]["gain"] = "[/bold]\x1b[31m"
    assert marked["searched"].keys() == said["searched"].keys()
    made.write_text(json.dumps(marked))
    code, out, _ = choose()
    assert code == 0
    assert "[/bold]?[31m" in out
    assert "x[/]" in out


def test_a_method_in_a_folder_like_markup_is_shown(
    tmp_path: Path, choose: Choose, methods: Path
) -> None:
    folder = tmp_path / "[" / "x]"
    folder.mkdir(parents=True)
    for path in methods.parent.glob("*.py"):
        shutil.copy(path, folder)
    code, out, _ = choose("--method", f"{folder}/searched.py:Plain", "--trials", 1)
    assert code == 0
    assert f"{folder}/searched.py:Plain, * is chosen" in out.replace("\n", "")


def test_names_of_recipes_fit(tmp_path: Path) -> None:
    name, file = "漢" * 60, tmp_path / f"{'字' * 60}.py"
    file.write_text("from baselines.replay import Replay as M\n")
    plain = RunConfig(method=("replay",), dataset=name)
    assert tuned_recipe.file_name(plain) == f"replay-{name}-10phases-5-bytes.json"
    found = tuned_recipe.file_name(RunConfig(method=(f"{file}:M",), dataset=name))
    assert found.endswith("漢-10phases-5-bytes.json")
    (tmp_path / f".{found}.01234567.tmp").touch()


def test_more_trials_keep_those_there_are(tmp_path: Path, choose: Choose) -> None:
    assert choose("--trials", 2)[0] == 0
    (path,) = (tmp_path / "recipes" / "mine").glob("*.json")
    two, first = json.loads(path.read_text()), finished(tmp_path)
    assert choose("--trials", 3)[0] == 0
    assert len(finished(tmp_path)) == 3
    assert first.items() <= finished(tmp_path).items()
    three = json.loads(path.read_text())
    assert three["trials"][:2] == two["trials"]
    path.write_bytes(path.read_bytes()[:100])  # the trials tell it again
    assert choose("--trials", 3)[0] == 0
    assert json.loads(path.read_text()) == three


def test_a_result_that_lies_in_another_trial_is_refused(tmp_path: Path, choose: Choose) -> None:
    assert choose("--trials", 2)[0] == 0
    first, second = trials(tmp_path)
    shutil.copy(first / "result.json", second / "result.json")
    shutil.rmtree(tmp_path / "recipes")
    code, _, err = choose("--trials", 2)
    assert code == 2
    assert f"{second / 'result.json'} is the result of another run: put back" in err
    assert not recipes(tmp_path)


def test_trials_of_other_code_are_run_anew(tmp_path: Path, choose: Choose) -> None:
    assert choose("--trials", 2)[0] == 0
    (path,) = (tmp_path / "recipes" / "mine").glob("*.json")
    said, before = json.loads(path.read_text()), finished(tmp_path)
    path.write_text(json.dumps({**said, "harness_sha256": "ab" * 32}))
    older = trials(tmp_path)[0] / "run.json"
    older.write_text(json.dumps({**json.loads(older.read_text())["record"], "harness": "ab" * 32}))
    code, out, _ = choose("--trials", 2)
    assert code == 0
    assert "2 cells, 1 done, 1 missing" in out
    after = finished(tmp_path)
    assert [file for file in before if after[file] != before[file]] == [
        older.with_name("result.json")
    ]
    assert _outcome(json.loads(path.read_text())) == _outcome(said)


# Used by name


def test_a_recipe_is_filled_in_and_recorded(
    tmp_path: Path, made: Path, used: Call, call: Call, methods: Path
) -> None:
    path = made
    said = json.loads(path.read_text())
    chosen = said["chosen"]["settings"]
    code, _, err = used()
    assert (code, err) == (0, "")
    (folder,) = folders(tmp_path)
    result = results.read(folder)
    assert result["config"]["learning_rate"] == chosen["learning_rate"]
    settings = {key: chosen[key] for key in ("gain", "sign", "classifier")}
    assert {key: result["method_settings"][key] for key in settings} == settings
    assert not {"recipe", "recipes", "tuned_by"} & result["config"].keys()
    assert result["classifier"] == chosen["classifier"]
    tuning = result["tuning"]
    assert tuning["recipe"] == "mine"
    assert tuning["trials"] == 3
    assert tuning["chosen"] == chosen
    assert tuning["searched"] == said["searched"]
    assert tuning["overridden"] == []
    assert (folder / "tuning.json").read_bytes() == path.read_bytes()
    assert verify(folder) == []

    shutil.rmtree(tmp_path / "recipes")  # the result needs it no more
    code, out, _ = call("--config", folder / "result.json", "--output", tmp_path / "runs")
    assert code == 0
    assert f"done: {folder}" in out
    code, out, _ = call(
        "--method", f"{methods}:Searched", "--stop-after", 1,
        "--learning-rate", chosen["learning_rate"],
        "--set", *(f"{key}={value}" for key, value in settings.items()),
    )  # fmt: skip
    assert code == 0
    assert f"done: {folder}" in out


def test_what_the_user_gives_wins(tmp_path: Path, made: Path, used: Call, methods: Path) -> None:
    said = json.loads(made.read_text())
    chosen = said["chosen"]["settings"]
    default = 0.2
    code, out, _ = used("--learning-rate", default, "--set", "classifier=all")
    assert code == 0
    was = chosen["classifier"]
    assert f"Searched: --set classifier=all overrides the chosen {was}" in out
    different = chosen["learning_rate"] != default
    assert ("--learning-rate 0.2 overrides the chosen" in out) == different
    (folder,) = folders(tmp_path)
    result = results.read(folder)
    assert result["config"]["learning_rate"] == default
    assert result["method_settings"]["classifier"] == "all"
    assert result["method_settings"]["gain"] == chosen["gain"]
    wanted = ["classifier"] + (["learning_rate"] if chosen["learning_rate"] != default else [])
    assert result["tuning"]["overridden"] == wanted
    assert verify(folder) == []


def test_a_value_that_is_the_default_wins_too(
    tmp_path: Path, choose: Choose, used: Call, methods: Path
) -> None:
    from benchmark.cells import cells

    assert choose("--method", f"{methods}:Plain", "--learning-rate", 0.5)[0] == 0
    assert not recipes(tmp_path)["searched-Plain-coloured-3phases-2-bytes.json"]["searched"]
    assert choose("--method", f"{methods}:Plain")[0] == 0
    name = "searched-Plain-coloured-3phases-2-bytes.json"
    path = tmp_path / "recipes" / "mine" / name
    said = json.loads(path.read_text())
    best = max(range(3), key=lambda n: (n != said["chosen"]["trial"], -n))
    said["trials"][best]["accuracy"] = {"": 101.0}
    said["chosen"] = {"trial": best, "settings": said["trials"][best]["settings"]}
    path.write_text(json.dumps(said))
    config = RunConfig(
        method=(f"{methods}:Plain",), phases=3, memory="2", recipe="mine", dataset="coloured",
        recipes=tmp_path / "recipes",
    )  # fmt: skip
    (tuned,) = cells(config)
    (given,) = cells(RunConfig(**{**vars(config), "learning_rate": 0.01}))
    (plain,) = cells(RunConfig(**{**vars(config), "recipe": None}))
    assert cells(tuned) == [tuned]  # filling in is done once
    assert cells(given) == [given]
    assert given.fingerprint() == plain.fingerprint()
    assert (tuned.fingerprint() == plain.fingerprint()) == (best == 0)


def test_one_recipe_holds_for_methods_without_memory(
    tmp_path: Path, choose: Choose, used: Call, methods: Path
) -> None:
    free = f"{methods}:Free"
    assert choose("--method", free, "--memory", 1)[0] == 0
    code, out, _ = choose("--method", free, "--memory", 5, "--currency", "samples")
    assert code == 0
    assert "done: " in out
    assert list(recipes(tmp_path)) == ["searched-Free-coloured-3phases.json"]
    assert used("--method", free, "--memory", 2)[0] == 0


def test_the_nearest_number_of_phases_serves_and_is_told(
    tmp_path: Path, made: Path, used: Call
) -> None:
    said = json.loads(made.read_text())
    other = made.with_name(made.name.replace("3phases", "5phases"))
    other.write_text(json.dumps({**said, "phases": 5}))
    code, out, _ = used("--phases", 6, "--epochs", 1)
    assert code == 0
    assert "chosen for 5 phases, used for 6" in out
    assert "chosen with --epochs 2, used with 1" in out
    (folder,) = folders(tmp_path)
    assert results.read(folder)["tuning"]["phases"] == 5


def test_changed_code_of_the_method_is_told(tmp_path: Path, made: Path, used: Call) -> None:
    path = made
    said = json.loads(path.read_text())
    options = {**said["options"], "precision": "\x1b[2J"}
    path.write_text(json.dumps({**said, "method_sha256": "ab" * 32, "options": options}))
    code, out, _ = used()
    assert code == 0
    assert "chosen with --precision ?[2J, used with" in out
    assert "the method's code has changed since its settings were chosen" in out


def test_what_was_chosen_for_something_else_is_refused(
    tmp_path: Path, made: Path, used: Call, coloured: Path
) -> None:
    other = tmp_path / "coloured"
    shutil.copytree(coloured, other)
    (other / "class0" / "0.jpg").write_bytes((other / "class0" / "1.jpg").read_bytes())
    path = made
    said = json.loads(path.read_text())
    for options, message in (
        (("--dataset", other), "was chosen on other data than coloured is now"),
        (("--memory", 3), "has no settings of"),
        (
            ("--currency", "samples"),
            f"with memory 2 in samples; it has {made.stem}: choose",
        ),
        (("--recipe", "mien"), "did you mean 'mine'"),
        (("--recipe", "nope"), "known: mine"),
        (("--match-exemplars-of", "replay"), "--match-exemplars-of replay"),
    ):
        code, _, err = used(*options)
        assert code == 2, options
        assert message in err
    path.write_text(json.dumps({**said, "backbone": {**said["backbone"], "sha256": "ab" * 32}}))
    code, _, err = used()
    assert code == 2
    assert "was chosen with another backbone" in err
    assert used("--dry-run")[0] == 2
    assert not any((folder / "result.json").exists() for folder in folders(tmp_path))


def _without(said: Any, name: str) -> str:
    trials = [
        {**trial, "settings": {key: v for key, v in trial["settings"].items() if key != name}}
        for trial in said["trials"]
    ]
    chosen = recipe_file.choose(said["searched"], trials)
    return json.dumps({**said, "trials": trials, "chosen": chosen})


def test_a_damaged_recipe_is_refused(tmp_path: Path, made: Path, used: Call) -> None:
    path = made
    text = path.read_text()
    said = json.loads(text)
    other = (said["chosen"]["trial"] + 1) % 3
    for damaged, message in (
        (text[: len(text) // 2], "it is not JSON"),
        (text.replace("{", '{"more": ' + "[" * 900 + "]" * 900 + ",", 1), "nested too deeply"),
        (json.dumps({**said, "trials": 3}), "trials is not a list"),
        (json.dumps({**said, "trials": []}), "is not a recipe file"),
        (
            json.dumps({**said, "chosen": {**said["chosen"], "trial": other}}),
            "does not follow from its trials",
        ),
        (json.dumps({**said, "format": 2}), "has format 2"),
        (text.replace('"accuracy": {', '"accuracy": {"": NaN, ', 1), "NaN is not a finite number"),
        (json.dumps({**said, "recipe": "\ud800"}), "surrogates not allowed"),
        (json.dumps({**said, "recipe": "\x1b[2J"}), r"its name '\x1b[2J' is none of a recipe"),
        (_without(said, "gain"), "trial 1 does not have the settings that were searched"),
        (re.sub(r'"seconds": [\d.]+', '"seconds": -1', text), "trial 1 took a negative time"),
    ):
        path.write_text(damaged)
        code, _, err = used()
        assert code == 2
        assert message in err
        assert str(path) in err
    assert not folders(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gain", "banana", "gain: 'banana' is not a number"),
        ("learning_rate", "banana", "learning_rate: 'banana' is not a number"),
        ("learning_rate", -1.0, "--learning-rate must be positive, not -1.0"),
    ],
)
def test_a_damaged_value_is_told_of_the_file(
    made: Path, used: Call, name: str, value: object, message: str
) -> None:
    said = json.loads(made.read_text())
    said["trials"][said["chosen"]["trial"]]["settings"][name] = value
    said["chosen"]["settings"][name] = value
    made.write_text(json.dumps(said))
    code, _, err = used()
    assert code == 2
    assert f"recipe file {made}: {message}" in err
    made.unlink()
    os.mkfifo(made)
    code, _, err = used()
    assert code == 2
    assert "it is a pipe, not a file" in err


def test_forged_records_of_tuning_are_found(tmp_path: Path, made: Path, used: Call) -> None:
    assert used()[0] == 0
    (folder,) = folders(tmp_path)
    path = folder / "result.json"
    said = json.loads(path.read_text())
    tuning = said["tuning"]
    for changes, message in (
        ({"trials": 30}, "tuning.trials is 30"),
        ({"recipe": "yours"}, "tuning.recipe is not what tuning.json says"),
        ({"chosen": {**tuning["chosen"], "gain": 7.0}}, "tuning.chosen.gain is 7.0"),
        ({"overridden": ["gain"]}, "tuning.overridden"),
        ({"sha256": "ab" * 32}, "tuning.json has another hash"),
    ):
        write_result(path, {**said, "tuning": {**tuning, **changes}})
        assert any(message in line for line in verify(folder)), message
    write_result(path, {key: value for key, value in said.items() if key != "tuning"})
    assert any("of no recipe" in line for line in verify(folder))
    path.write_text(json.dumps(said))
    assert verify(folder) == []
    (folder / "tuning.json").write_text("{}")
    assert any("tuning.json has another hash" in line for line in verify(folder))


def test_the_name_of_a_recipe_changes_no_fingerprint() -> None:
    assert RunConfig(tuned_by=Path("a.json")).fingerprint() == RunConfig().fingerprint()
    with pytest.raises(UserError, match="plain name"):
        RunConfig(recipe="../a")
    assert json_sha256(RunConfig().identity()) == json_sha256(RunConfig(recipe="a").identity())


def test_cells_of_a_sweep_take_a_recipe(
    tmp_path: Path, made: Path, methods: Path, coloured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = words(tmp_path, methods, coloured)
    line = [word for at, word in enumerate(line) if "--trials" not in line[max(at - 1, 0) : at + 1]]
    line[line.index("--output") + 1] = str(tmp_path / "runs")
    assert sweep.main([*line, "--seeds", "0", "1"]) == 0
    found = [results.read(folder) for folder in folders(tmp_path)]
    chosen = json.loads(made.read_text())["chosen"]["settings"]
    assert [result["tuning"]["chosen"] for result in found] == [chosen, chosen]
    said = json.loads(made.read_text())
    made.write_text(json.dumps({**said, "dataset": {**said["dataset"], "data_sha256": "a" * 64}}))
    capsys.readouterr()
    assert sweep.main([*line, "--seeds", "2"]) == 2
    assert "was chosen on other data" in capsys.readouterr().err
