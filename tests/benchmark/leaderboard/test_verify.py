"""What maintainers do with a result: predict again, run again, record; and what forgers get."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forging import change_predictions, change_result, recount, sha256, small_form
from running import folders
from tampering import untrained

from benchmark import results, run, run_files
from benchmark.leaderboard.__main__ import main
from benchmark.leaderboard.bounded import Failed, each
from benchmark.leaderboard.check import check
from benchmark.leaderboard.installed import Means
from benchmark.leaderboard.levels import (
    RECORD,
    Level,
    Record,
    Verdict,
    files_of,
    lifted,
    recorded,
    write_record,
)
from benchmark.leaderboard.predict import Repeat, predict
from benchmark.leaderboard.rerun import RunAgain, other_digits, other_facts, run_again, within_noise
from benchmark.leaderboard.verify import reached
from benchmark.results import records
from benchmark.results.schema import Result
from mm_imagenet_r.errors import UserError

LAST = "phase-02.safetensors"
RATE = "learning_rate"


def run_in(place: Path, data: Path, backbone: Path, *words: str) -> None:
    """Run in three phases below a folder."""
    options = {"--dataset": data, "--backbone": backbone, "--output": place / "runs",
               "--phases": 3, "--batch-size": 8, "--memory": 2, "--device": "cpu"}  # fmt: skip
    given = [str(word) for option in options.items() for word in option]
    assert run.main([*given, *words]) == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, coloured: Path, vilt_folder: Path) -> Path:
    """The folder of a run of `replay` in three phases."""
    place = tmp_path_factory.mktemp("trained")
    run_in(place, coloured, vilt_folder, "--method", "replay")
    (folder,) = folders(place)
    return folder


@pytest.fixture
def means(coloured: Path, vilt_folder: Path) -> Means:
    return Means(trusted=(str(coloured), str(vilt_folder)))


@pytest.fixture
def forged(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "runs" / "forged")


def again(folder: Path, means: Means, scratch: Path) -> str | Failed:
    """Predict as the command does, in a process of its own."""
    (answer,) = each(predict, [Repeat(folder, folder, means, scratch)], seconds=600)
    return answer


def test_predicted_recorded_and_shown(
    trained: Path, tmp_path: Path, means: Means, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "results"
    small = root / "setting" / "seed0"
    shutil.copytree(trained, small)
    small_form(small)
    (small / run_files.PACKED).write_bytes(results.pack(small / run_files.RESULT))
    (small / run_files.RESULT).unlink()
    # What a submitter says of its own files is not read, nor is any file that it names.
    entry = json.loads((trained / "state" / "phase-02.json").read_text())["record"]
    assert entry["memory"]["0"]["file"]

    given = ["verify", str(root), "--predict", "--record", str(root)]
    given += ["--trust", *means.trusted]
    assert main(given) == 1
    assert "give the folder of the whole run by --runs" in capsys.readouterr().out
    assert recorded(root) == {}

    given += ["--runs", str(trained.parent)]
    assert main(given) == 0
    out = capsys.readouterr().out
    assert f"{small}: re-predicted\n  - predicted again: all 6 predictions after phase 3" in out
    (record,) = recorded(root).values()
    assert (record.level, record.folder) == (Level.REPREDICTED, "setting/seed0")

    (verdict,) = check([root])
    assert (verdict.level, lifted(verdict, recorded(root)).level) == (
        Level.CONSISTENT,
        Level.REPREDICTED,
    )
    assert main(given[:-2]) == 0  # what is recorded is not done again
    assert "re-predicted" in capsys.readouterr().out
    assert main(["verify", str(root), "--record", str(root)]) == 0
    assert "consistent\n  - recorded as re-predicted: predicted again" in capsys.readouterr().out
    assert main(["verify", str(root)]) == 0
    assert "recorded as" not in capsys.readouterr().out

    # A record that came with a result says nothing, nor does one of another content.
    shutil.copy(root / RECORD, small / RECORD)
    (root / RECORD).unlink()
    verdict, planted = check([root])
    assert lifted(verdict, recorded(root)).level is Level.CONSISTENT
    assert (planted.folder, planted.level) == (small / RECORD, Level.REFUSED)
    shutil.move(small / RECORD, root / RECORD)
    results.unpack(small / run_files.PACKED, small / run_files.RESULT)
    (small / run_files.PACKED).unlink()
    change_result(small, lambda value: value["config"].update(learning_rate=0.5))
    (verdict,) = check([root])
    assert verdict.level is Level.CONSISTENT
    assert lifted(verdict, recorded(root)).level is Level.CONSISTENT
    (root / RECORD).write_text('{"version": 1, "results": [{"level": "best"}]}')
    with pytest.raises(UserError, match="restore it"):
        recorded(root)


def test_a_record_of_what_is_gone_or_refused_goes(
    trained: Path, tmp_path: Path, means: Means, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "results"
    for name in ("a", "b"):
        small_form(shutil.copytree(trained, root / name))
    change_result(root / "b", lambda value: value["about"].update(name="\x00"))
    entries = []
    for name in ("a", "b", "gone"):
        files = files_of(root / name)
        entries.append({"folder": name, "level": "reproduced", "how": "run again",
                        "result_sha256": files.result or "0" * 64,
                        "predictions_sha256": files.predictions})  # fmt: skip
    (root / RECORD).write_text(json.dumps({"version": 1, "results": entries}))
    assert main(["verify", str(root), "--predict", "--record", str(root)]) == 1
    assert f"{root / 'a'}: reproduced\n  - run again" in capsys.readouterr().out
    assert [record.folder for record in recorded(root).values()] == ["a"]


def other(row: records.Prediction) -> records.Prediction:
    """Another class of those seen."""
    return row._replace(prediction=(row.prediction + 1) % (2 * (row.phase + 1)))


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda folder: change_result(folder, change)


def no_state(folder: Path) -> None:
    shutil.rmtree(folder / "state")


def no_memory(folder: Path) -> None:
    shutil.rmtree(folder / "memory")


def pickled_state(folder: Path) -> None:
    """A state that would write a file if it was unpickled."""

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (folder.parent / "ran",))

    replace_state(folder, pickle.dumps({"head": Bomb()}))


def replace_state(folder: Path, data: bytes) -> None:
    path = folder / "state" / LAST
    path.write_bytes(data)

    def change(value: dict[str, Any]) -> None:
        value["files"]["state"] = sha256(path)
        value["phases"][-1]["outside_memory"] = {"bytes": len(data), "what": {}}

    change_result(folder, change)


def foreign_code(folder: Path) -> None:
    """A method that would write a file if it was imported."""
    code = folder.parent / "mine.py"
    code.write_text(f"open({str(folder.parent / 'ran')!r}, 'w')\n")
    change_result(folder, lambda v: v["config"].update(method=[f"{code}:Mine"]))
    change_result(folder, lambda v: v.update(about={}))
    shutil.rmtree(folder / "source")


def other_method(folder: Path) -> None:
    shutil.rmtree(folder / "source")
    change_result(folder, lambda v: v["config"].update(method=["exemplar_masking"]))
    change_result(folder, lambda v: v.update(method_settings={}, about={}))


def without_source(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        shutil.rmtree(folder / "source")
        change_result(folder, change)

    return forge


CHEAP: dict[str, tuple[Callable[[Path], None], str]] = {
    "foreign code": (foreign_code, "only registered methods are"),
    "another method": (other_method, "code of the method of exemplar_masking differs"),
    "another version": (
        without_source(lambda v: v.update(method_sha256="0b" * 32)), "differs from the installed"),
    "another harness": (edited(lambda v: v.update(harness_sha256="0b" * 32)), "harness differs"),
    "a setting": (edited(lambda v: v["method_settings"].pop("classifier")), "method_settings is"),
    "a bound": (edited(lambda v: v.update(shares_allowance=True)), "memory.per_class.0.budget"),
    "a title": (edited(lambda v: v["about"].update(name="Best")), "about differs"),
    "a rate of the recipe": (edited(lambda v: v["config"].update({RATE: 0.5})), "learning_rate is"),
    "where it writes": (edited(lambda v: v["config"].update(output="/etc")), "is not part of a"),
    "other data": (edited(lambda v: v["dataset"].update(data_sha256="0b" * 32)), "data_sha256 is"),
    "a unit": (edited(lambda v: v["budget"].update(sample_bytes=1.0)), "budget.sample_bytes is"),
    "a folder": (edited(lambda v: v["config"].update(dataset="/etc")), ""),
    "no state": (no_state, "has no state/"),
    "no memory": (no_memory, "files of class 0, not one"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHEAP)
def test_what_is_refused_before_anything_is_predicted(
    forged: Path, tmp_path: Path, means: Means, name: str
) -> None:
    forge, words = CHEAP[name]
    forge(forged)
    (verdict,) = check([forged])
    if verdict.level is Level.REFUSED:  # the first level finds it already
        assert any(words in reason for reason in verdict.reasons), verdict
    else:
        with pytest.raises(UserError) as found:
            predict(Repeat(forged, forged, means, tmp_path))
        assert words in str(found.value)
    assert not (forged.parent / "ran").exists()


def test_nothing_is_opened_that_is_not_trusted(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is opened only with --trust"):
        predict(Repeat(trained, trained, Means(), tmp_path))


def test_a_state_that_holds_code_is_not_run(forged: Path, tmp_path: Path, means: Means) -> None:
    pickled_state(forged)
    assert check([forged])[0].level is Level.CONSISTENT
    answer = again(forged, means, tmp_path)
    assert isinstance(answer, Failed)
    assert "the model cannot be rebuilt" in answer.why
    assert not (forged.parent / "ran").exists()


def test_predictions_that_the_model_does_not_make(
    forged: Path, tmp_path: Path, means: Means
) -> None:
    change_predictions(forged, lambda row: other(row) if row.phase == 2 else row)
    recount(forged)
    assert check([forged])[0].level is Level.CONSISTENT
    answer = again(forged, means, tmp_path)
    assert isinstance(answer, Failed)
    assert "predictions after phase 3 on cpu differ" in answer.why


def test_what_only_a_run_finds(trained: Path, forged: Path, tmp_path: Path, means: Means) -> None:
    """Another learning rate, predictions of phases whose state is not kept; no steps, a seed."""

    def change(value: dict[str, Any]) -> None:
        value["config"][RATE] = 0.5
        value["from_recipe"].remove(RATE)

    change_predictions(forged, lambda row: other(row) if row.phase < 2 else row)
    recount(forged)
    change_result(forged, change)
    lazy, copied = (shutil.copytree(trained, tmp_path / name) for name in ("lazy", "copied"))
    change_result(lazy, untrained)
    change_result(copied, lambda value: value["config"].update(seeds=[7]))
    for folder in (forged, lazy, copied):
        assert check([folder])[0].level is Level.CONSISTENT
        assert "are the same" in str(again(folder, means, tmp_path))  # the second level does not

    every = (trained, forged, lazy, copied)
    jobs = [RunAgain(folder, None, means, tmp_path) for folder in every]
    honest, *lies = each(run_again, jobs, seconds=900)
    assert honest == "run again on cpu: every prediction, exemplar and loss is the same"
    for lie, words in zip(lies, ("rows of", "phases[0].steps", "rows of"), strict=True):
        assert isinstance(lie, Failed)
        assert words in lie.why, lie
    assert not list(tmp_path.glob("tmp*"))


def test_a_run_that_matches_another_is_repeated_after_it(
    tmp_path: Path, coloured: Path, vilt_folder: Path, means: Means
) -> None:
    reference = ("--match-exemplars-of", "random_patches")
    run_in(tmp_path, coloured, vilt_folder, "--method", "random_patches")
    run_in(tmp_path, coloured, vilt_folder, "--method", "replay", *reference)
    (folder,) = tmp_path.glob("runs/*matching*/replay/*")
    assert "are the same" in str(again(folder, means, tmp_path))
    (answer,) = each(run_again, [RunAgain(folder, None, means, tmp_path)], seconds=900)
    assert answer == "run again on cpu: every prediction, exemplar and loss is the same"


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("kind", lambda r: r.update(kind="bound")),
        ("budget", lambda r: r["budget"].update(unit=1.0)),
        ("config.epochs", lambda r: r["config"].update(epochs=7)),
        ("dataset.train", lambda r: r["dataset"].update(train=7)),
        ("phases[1].outside_memory", lambda r: r["phases"][1].update(outside_memory=None)),
        ("phases[0].trainable_parameters", lambda r: r["phases"][0].pop("trainable_parameters")),
        ("the number of phases", lambda r: r["phases"].pop()),
    ],
)
def test_a_run_has_the_facts_of_the_result(
    tmp_path: Path, synthetic_run: Callable[..., Result], words: str, change: Callable[[Any], Any]
) -> None:
    result = synthetic_run(tmp_path, sizes=(2, 2), test=2)
    there: Any = copy.deepcopy(result)
    there["phases"][0]["seconds"], there["hardware"] = {}, {"device": "cuda"}
    assert list(other_facts(result, there)) == []
    there["phases"][0].setdefault("trainable_parameters", 1)
    change(result)
    result["phases"][0].setdefault("trainable_parameters", None)
    assert any(words in found for found in other_facts(result, there))


def test_noise_is_stated(tmp_path: Path, synthetic_run: Callable[..., Result]) -> None:
    result = synthetic_run(tmp_path, sizes=(2, 2), test=2)
    there: Any = copy.deepcopy(result)
    there["metrics"]["last_accuracy"] -= 0.5
    said = within_noise(result, there, "3 rows", "cuda", 1.0)
    assert said.endswith("last_accuracy -0.50 points, within the stated noise of 1 points")
    with pytest.raises(UserError, match=r"more than the noise of 0\.4 points"):
        within_noise(result, there, "3 rows", "cuda", 0.4)
    with pytest.raises(UserError, match="3 rows differ"):
        within_noise(result, there, "3 rows", "cuda", None)


def grow(key: str) -> Callable[[Any], object]:
    """Five percent more of something in the memory after the first phase."""

    def change(run: Any) -> None:
        run["phases"][0]["memory"][key] *= 1.05

    return change


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("max forgetting +9.00", lambda r: lower(r, "max")),
        ("own after phase 2 on 1 -9.00", lambda r: lower(r, None)),
        ("own forgetting", lambda r: r["metrics"].update(forgetting=99.0)),
        ("the classifiers differ", lambda r: r.update(classifier="mine")),
        ("phases[0].memory.bytes is", grow("bytes")),
        ("phases[0].memory.cost is", grow("cost")),
        ("phases[0].memory.exemplars is", grow("exemplars")),
        ("phases[0].stages[0].items is", lambda r: r["phases"][0]["stages"][0].update(items=9)),
        ("phases[0].stages differ", lambda r: r["phases"][0]["stages"].clear()),
    ],
)
def test_noise_excuses_no_figure(
    tmp_path: Path, synthetic_run: Callable[..., Result], words: str, change: Callable[[Any], Any]
) -> None:
    result = synthetic_run(tmp_path, sizes=(2, 2), test=50, others=("max",))
    there: Any = copy.deepcopy(result)
    there["phases"][0]["memory"]["bytes"] *= 1.01  # some exemplars are others
    within_noise(result, there, "3 rows", "cuda", 1.0)
    change(there)
    with pytest.raises(UserError) as found:
        within_noise(result, there, "3 rows", "cuda", 1.0)
    assert words in str(found.value)


def lower(run: Any, other: str | None) -> None:
    """One cell of a classifier's matrix, its averages left as they are."""
    phase = run["phases"][1]
    row = (phase["other_classifiers"][other] if other else phase["accuracy"])["per_phase"]
    row[0] -= 9.0
    if not other:
        run["accuracy_matrix"][1] = row


def test_a_run_does_not_mend_predictions_that_are_others(tmp_path: Path) -> None:
    found = Verdict(tmp_path, Level.CONSISTENT)
    wrong, same = Failed("3 of 6 predictions are others"), "run again: the same"
    capped = reached(found, wrong, same, whole=True)
    assert (capped.level, capped.reasons[0]) == (Level.CONSISTENT, wrong.why)
    assert reached(found, Failed("no state/"), same, whole=False).level is Level.REPRODUCED
    assert reached(found, None, same, whole=True).level is Level.REPRODUCED
    assert reached(found, "all the same", same, whole=True).level is Level.REPRODUCED
    assert reached(found, "all the same", wrong, whole=True).level is Level.REPREDICTED


def test_an_invented_hash_of_the_state_is_another_digit(
    tmp_path: Path, synthetic_run: Callable[..., Result]
) -> None:
    result = synthetic_run(tmp_path / "a", sizes=(2, 2), test=2)
    there = copy.deepcopy(result)
    there["files"]["state"] = "0b" * 32
    assert list(other_digits(tmp_path / "a", result, tmp_path / "a", there)) == ["files.state"]


def test_no_reason_is_a_command_to_a_workflow(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(trained, tmp_path / "a")
    change_result(folder, lambda value: value.update({"::notice::done": "\x00"}))
    assert main(["verify", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "::notice::done" in out
    assert not any(line.lstrip().startswith("::") for line in out.splitlines())


def test_what_changed_while_it_was_verified_is_not_recorded(
    trained: Path, tmp_path: Path, means: Means, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    root = tmp_path / "results"
    run = shutil.copytree(trained, root / "seed0")

    def slowly(*given: Any, **more: Any) -> Iterator[Any]:
        yield from each(*given, **more)
        change_result(run, lambda value: value["config"].update(learning_rate=0.5))

    monkeypatch.setattr("benchmark.leaderboard.verify.each", lambda *a, **b: list(slowly(*a, **b)))
    given = ["verify", str(root), "--predict", "--record", str(root), "--trust", *means.trusted]
    assert main(given) == 1
    assert "its files changed meanwhile" in capsys.readouterr().out
    assert recorded(root) == {}


def test_a_record_follows_its_result_and_stays_beside_those_of_others(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, long = tmp_path / "results", Path(*["x" * 90] * 5)
    moved, theirs = (shutil.copytree(trained, root / name) for name in ("before", "theirs"))
    change_result(theirs, lambda value: value["hardware"].update(device_name="another"))
    small_form(moved)
    small_form(theirs)
    record = Record(Level.REPRODUCED, "run again", "before")
    write_record(root, {files_of(moved): record})
    shutil.move(moved, root / long)

    def meanwhile(*given: Any) -> Any:
        """A colleague records another result while this one is checked."""
        write_record(root, {**recorded(root), files_of(theirs): record._replace(folder="theirs")})
        return check(*given)

    monkeypatch.setattr("benchmark.leaderboard.verify.check", meanwhile)
    given = ["verify", str(root / long), "--predict", "--record", str(root)]
    for _ in range(2):  # its name is too long to be written in full
        assert main(given) == 0
        found = recorded(root)
        assert found[files_of(root / long)].folder.startswith("x" * 90 + "/")
        assert found[files_of(theirs)].folder == "theirs"
