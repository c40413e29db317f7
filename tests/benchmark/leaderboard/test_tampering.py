"""Results as somebody would submit them who wants to be first, or to break the board.

Each is refused or stays at the level that it shows; whatever it holds, the next one is looked at.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from forging import change_result, finished_run
from tampering import cheat, predicted
from tampering_kinds import FORGERIES, FOURTEEN, HELD, TAMPERED

from benchmark import results, run_files
from benchmark.leaderboard import check as checking
from benchmark.leaderboard.__main__ import COMMANDS, main
from benchmark.leaderboard.bounded import Failed, each
from benchmark.leaderboard.check import Checked, check, check_and_read
from benchmark.leaderboard.levels import Level, Record, files_of, safe


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("honest") / "run")


@pytest.fixture(scope="module")
def looked_at(honest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checked]:
    """What is found of every one by itself, in one go, as of a pull request full of them."""
    top, folders = tmp_path_factory.mktemp("submitted"), {"honest": honest}
    forgers = {name: forge for name, (forge, _) in (FORGERIES | TAMPERED).items()} | HELD
    for number, (name, forge) in enumerate(forgers.items()):
        folders[name] = top / f"{number:03d}"
        shutil.copytree(honest, folders[name])
        forge(folders[name])
    found = checking.by_themselves(list(folders.values()))
    return dict(zip(folders, found, strict=True))


def test_the_run_itself_is_consistent(looked_at: dict[str, Checked]) -> None:
    assert looked_at["honest"].found == []


def test_a_verdict_comes_with_the_result_that_was_checked(honest: Path, tmp_path: Path) -> None:
    shutil.copytree(honest, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / run_files.RESULT).write_text("{}")
    (good, result), (bad, none) = check_and_read([tmp_path])
    assert (good.level, bad.level) == (Level.CONSISTENT, Level.REFUSED)
    assert result == results.read(honest)
    assert none is None


@pytest.mark.parametrize(("name", "words"), [(n, w) for n, (_, w) in FORGERIES.items()])
def test_a_forgery_is_refused(looked_at: dict[str, Checked], name: str, words: str) -> None:
    found = looked_at[name].found
    assert any(words in line for line in found), found


@pytest.mark.parametrize(("name", "words"), [(n, w) for n, (_, w) in TAMPERED.items()])
def test_tampering_is_refused(looked_at: dict[str, Checked], name: str, words: str) -> None:
    found = looked_at[name].found
    assert any(words in line for line in found), found
    assert not any("Traceback" in line for line in found)


@pytest.mark.parametrize("name", HELD)
def test_what_a_folder_cannot_show_is_not_refused(looked_at: dict[str, Checked], name: str) -> None:
    assert looked_at[name].found == []


@pytest.mark.parametrize("name", HELD)
def test_what_is_not_refused_stands_on_the_page_at_its_level(
    honest: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(honest, tmp_path / "results" / "one")
    HELD[name](tmp_path / "results" / "one")
    site = tmp_path / "site"
    assert main(["build", str(tmp_path / "results"), "--out", str(site)]) == 0
    data = json.loads((site / "leaderboard.json").read_text())
    assert {entry["level"] for entry in data["entries"]} == {Level.CONSISTENT}
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert "<script>alert" not in text
        assert not {"\u202e", "\x1b"} & set(text)


@pytest.mark.parametrize("forgery", FOURTEEN)
def test_each_forgery_has_its_tests(forgery: str) -> None:
    """A name of `FORGERIES` or `HELD`, or a test of the file that is named before it."""
    for name in FOURTEEN[forgery]:
        file, _, test = name.partition("::")
        if test:
            assert f"def {test}(" in Path(__file__).with_name(file).read_text(), name
        else:
            assert name in FORGERIES | HELD


def test_there_are_as_many_kinds_as_promised() -> None:
    assert len(FOURTEEN) == 14
    assert len(TAMPERED) >= 40
    assert set(FORGERIES) <= {name for names in FOURTEEN.values() for name in names}


def test_results_beside_each_other(honest: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        shutil.copytree(honest, tmp_path / name)
    change_result(tmp_path / "b", lambda value: value["config"].update(seeds=[7]))
    predicted(cheat)(tmp_path / "d")
    (tmp_path / "e" / "f").mkdir(parents=True)
    (tmp_path / "e" / "f" / run_files.RESULT).write_text("{}")
    (tmp_path / "g").symlink_to(tmp_path / "a")
    shutil.copy(honest / run_files.RESULT, tmp_path / "c" / "source" / run_files.RESULT)

    found = {v.folder.relative_to(tmp_path).as_posix(): v for v in check([tmp_path])}
    levels = {name: verdict.level.name for name, verdict in found.items()}
    assert levels == {
        "a": "CONSISTENT", "b": "REFUSED", "c": "CONSISTENT", "d": "REFUSED", "e/f": "REFUSED",
        "g": "REFUSED", "c/source": "REFUSED",
    }  # fmt: skip
    assert "which has another seed" in found["b"].reasons[0]
    assert any("it counts once" in line for line in found["c"].reasons)
    assert "the same run with different figures" in found["d"].reasons[0]
    assert "is a link" in found["g"].reasons[0]
    assert "inside another result" in found["c/source"].reasons[0]

    # What maintainers verified stays where two results say different things of one run.
    records_ = {files_of(tmp_path / "d"): Record(Level.REPREDICTED, "predicted again", "d")}
    again = {v.folder.name: v for v in check([tmp_path / "a", tmp_path / "d"], records_)}
    assert (again["a"].level, again["d"].level) == (Level.REFUSED, Level.CONSISTENT)


def test_the_command_says_it_of_each(
    honest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad\n::error::\x1b[1m"
    shutil.copytree(honest, good)
    shutil.copytree(honest, bad)
    (bad / run_files.RESULT).write_text("[" * 100_000)
    assert main(["verify", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert f"{good}: consistent" in out
    assert "2 results: 1 refused, 1 consistent" in out
    assert "\x1b" not in out
    assert not any(line.startswith("::") for line in out.splitlines())

    assert main(["verify", str(good), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one == {"folder": str(good), "level": "consistent", "reasons": []}


def test_mistakes_of_the_command_line(
    honest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, words in {
        (): "usage",
        ("verfy",): "did you mean 'verify'",
        ("verify",): "required",
        ("verify", str(tmp_path / "no")): "does not exist",
        ("verify", str(tmp_path)): "has no result.json",
        ("verify", __file__): "is not a folder",
        ("verify", str(honest), "--record", str(tmp_path / "no")): "is not a folder",
        ("verify", str(honest), "--runs", str(honest)): "--runs needs --predict",
        ("verify", str(honest), "--noise", "1"): "--noise needs --run",
        ("verify", str(honest), "--run", "--noise", "nan"): "--noise nan: give points",
        ("verify", str(honest), "--trust", "a"): "--trust needs --predict or --run",
        ("verify", str(honest), "--minutes", "5"): "--minutes needs --predict or --run",
        ("verify", str(honest), "--device", "cpu"): "--device needs --predict or --run",
        ("verify", str(honest), "--data-dir", str(tmp_path)): "--data-dir needs --predict or",
        ("verify", ""): "the path is empty",
        ("build", str(honest), "--out", ""): "the path is empty",
        ("submit", str(honest), "--out", ""): "the path is empty",
        ("submit", str(honest), "--out", str(honest / "x")): "choose a folder outside the runs",
        ("verify", str(honest), "--predict", "--minutes", "0"): "--minutes 0",
        ("verify", str(honest), "--predict", "--device", "gpu"): "did you mean 'cpu'",
        ("verify", str(honest), "--predict", "--record", str(tmp_path)): "is not inside",
    }.items():
        assert main(list(given)) == (2 if given else 0)
        said = capsys.readouterr()
        assert words in said.err + said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_subcommand_has_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"benchmark.leaderboard {name}" in capsys.readouterr().out


def _misbehave(job: str) -> str:
    if job == "hang":
        while True:
            pass
    if job == "fill":
        return str(len(bytearray(2**40)))
    if job == "die":
        os._exit(7)
    return job


def test_a_job_that_hangs_fills_or_dies_ends_alone() -> None:
    jobs = ["one", "hang", "fill", "die", "two"]
    one, hangs, fills, dies, two = each(_misbehave, jobs, seconds=10, memory=2**30)
    assert (one, two) == ("one", "two")
    assert hangs == Failed("took more than 10 seconds")
    assert fills == Failed("took more than 1,073,741,824 bytes of memory")
    assert dies == Failed("ended the process that read it (exit code 7)")


def test_what_others_wrote_is_safe_to_print() -> None:
    assert safe("a\u202eb\x00\udcff") == "a\\u202eb\\x00\\udcff"
    assert len(safe("x" * 10**6)) < 500
