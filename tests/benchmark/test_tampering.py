"""Results as somebody would submit them who wants to be first, or to break the board.

Each is refused or stays at the level that it shows; whatever it holds, the next one is looked at.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forging import (
    change_exemplars,
    change_predictions,
    change_result,
    finished_run,
    recount,
    small_form,
)

from benchmark import results
from benchmark.leaderboard import check as checking
from benchmark.leaderboard.bounded import Failed, each
from benchmark.leaderboard.check import Checked, check
from benchmark.leaderboard.command import main
from benchmark.leaderboard.levels import Level, Record, files_of, safe
from benchmark.results import records

Forge = Callable[[Path], object]
Value = dict[str, Any]
HUGE = 100 * 2**20


def edited(change: Callable[[Value], object]) -> Forge:
    return lambda folder: change_result(folder, change)


def text(old: str, new: str) -> Forge:
    """Change the text of result.json itself."""

    def forge(folder: Path) -> None:
        path = folder / results.RESULT
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return forge


def predicted(change: Callable[[records.Prediction], records.Prediction]) -> Forge:
    """Change predictions, with their hash and all accuracies."""

    def forge(folder: Path) -> None:
        change_predictions(folder, change)
        recount(folder)

    return forge


def cheat(row: records.Prediction) -> records.Prediction:
    lucky = sum(row.file_name.encode()) % 20
    return row._replace(prediction=row.label) if lucky else row


def rows_of(change: Callable[[list[records.Prediction]], list[records.Prediction]]) -> Forge:
    def forge(folder: Path) -> None:
        path = folder / records.PREDICTIONS
        digest = records.write_predictions(path, change(records.read_predictions(path)))
        change_result(folder, lambda v: v["files"].update({path.name: digest}))

    return forge


def four_times(value: Value) -> None:
    value["budget"]["unit"] *= 4
    for phase in value["phases"]:
        memory = phase["memory"]
        memory["budget"] *= 4
        for ledger in memory["per_class"].values():
            ledger["budget"] *= 4


def empty_outside(value: Value) -> None:
    for phase in value["phases"]:
        phase["outside_memory"] = {"bytes": 0, "what": {}}


def invent_hashes(value: Value) -> None:
    value["files"] = dict.fromkeys(value["files"], "0b" * 32)
    value["dataset"].update(data_sha256="0b" * 32, captions_id="0b" * 32, split_sha256="0b" * 32)
    value["backbone"]["sha256"] = value["method_sha256"] = value["harness_sha256"] = "0b" * 32


def an_eighth(folder: Path) -> None:
    small_form(folder)
    change_exemplars(
        folder, lambda row: row._replace(bytes=row.bytes // 8, cost=float(row.bytes // 8))
    )


def renamed(value: Value) -> None:
    value["config"].update(method=["replay"], set=[])
    value["method_settings"] = {}


def another_dataset(value: Value) -> None:
    value["config"]["dataset"] = "mm_imagenet_r:instructblip"
    value["dataset"].update(name="mm_imagenet_r:instructblip", split="seed42")


def no_steps(value: Value) -> None:
    for phase in value["phases"]:
        phase["stages"][0]["steps"] = 0


def cut(folder: Path) -> None:
    rows_of(lambda rows: [row for row in rows if row.phase == 0])(folder)
    change_result(folder, lambda v: (v["phases"].pop(), v.update(complete=False)))


def stopped(folder: Path) -> None:
    cut(folder)
    change_result(folder, lambda v: (v["config"].update(stop_after=1), v.update(complete=True)))


def linked(name: str, to: str) -> Forge:
    def forge(folder: Path) -> None:
        path = folder / name
        if path.is_file():
            path.rename(folder.parent / f"{folder.name}-{name}")
        path.symlink_to(to.format(folder=folder, name=name))

    return forge


def sparse(name: str) -> Forge:
    def forge(folder: Path) -> None:
        with (folder / name).open("r+b" if (folder / name).exists() else "wb") as file:
            file.truncate(HUGE)

    return forge


def packed_bomb(folder: Path) -> None:
    (folder / results.RESULT).unlink()
    with gzip.open(folder / results.PACKED, "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(bytes(2**20))


def both_forms(folder: Path) -> None:
    (folder / results.PACKED).write_bytes(results.pack(folder / results.RESULT))


def wide_table(folder: Path) -> None:
    """A small file whose column of names would fill the memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 2_000_000
    names = pa.DictionaryArray.from_arrays(
        pa.array([0] * count, pa.int32()), pa.array(["x" * 100_000])
    )
    zeros = pa.array([0] * count, pa.int32())
    columns = {"phase": zeros.cast(pa.int16()), "file_name": names, "label": zeros,
               "prediction": zeros}  # fmt: skip
    pq.write_table(pa.table(columns), folder / records.PREDICTIONS, store_schema=False)


def deep_folders(folder: Path) -> None:
    folder.joinpath(*["a"] * 40).mkdir(parents=True)


def fifo(name: str) -> Forge:
    def forge(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return forge


def nested_text(folder: Path) -> None:
    path = folder / results.RESULT
    deep = "[" * 900 + "]" * 900
    path.write_text(path.read_text().replace("{", f'{{"more": {deep},', 1))


def flipped(folder: Path) -> None:
    path = next((folder / "memory").glob("class-0000-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def stranger(folder: Path) -> None:
    """A sample of the first phase that enters the memory in the second one."""
    small_form(folder)
    path = folder / records.EXEMPLARS
    rows = records.read_exemplars(path)
    first = [row for row in rows if row.label == 0]
    again = [row._replace(phase=1) for row in first]
    again[0] = again[0]._replace(file_name=again[0].file_name.replace("_", "_1", 1))
    digest = records.write_exemplars(path, [*rows, *again])
    change_result(folder, lambda v: v["files"].update({path.name: digest}))


#: What the fourteen forgeries that once verified come to.
FORGERIES: dict[str, tuple[Forge, str]] = {
    "labels permuted": (predicted(lambda r: r._replace(label=r.label ^ 1)), "labels not as in"),
    "unit times four": (edited(four_times), "budget.unit is"),
    "nothing outside the memory": (edited(empty_outside), "no length of a state file"),
    "invented hashes": (edited(invent_hashes), "data_sha256 is not that of mini-1"),
    "another method": (edited(renamed), "source/ has no baselines/replay.py"),
    "another data set": (edited(another_dataset), "labels not as in mm_imagenet_r"),
    "no steps": (edited(no_steps), "loss ends at step 32 of 0"),
    "validation": (edited(lambda v: v["config"].update(evaluate_on="validation")), "a board takes"),
    "doubled key": (text("{", '{"complete": false,'), "stands twice"),
    "last phase cut": (cut, "not all phases are learnt"),
    "labels as predictions, in haste": (
        lambda f: change_predictions(f, cheat), "by the predictions"
    ),
}  # fmt: skip

#: Those that a folder cannot show; the first two levels leave them where they are.
HELD: dict[str, Forge] = {
    "labels as predictions": predicted(cheat),
    "exemplars an eighth": an_eighth,
    "another method, no source": lambda f: (small_form(f), change_result(f, renamed)),
    "another learning rate": edited(lambda v: v["config"].update(learning_rate=0.5)),
    "another harness": edited(lambda v: v.update(harness_sha256="0b" * 32)),
    "another seed": edited(lambda v: v["config"].update(seeds=[7])),
    "a faster machine": edited(lambda v: v["phases"][0].update(seconds={"train": 0.01})),
    "script in a title": edited(lambda v: v["about"].update(name="<script>alert(1)</script>")),
    "a record of its own": lambda f: (f / "verified.json").write_text('{"version": 1}'),
    "levels in the result": edited(lambda v: v.update(level="reproduced", verified=True)),
    "unread names": lambda f: (f / "state" / "phase-01.json").write_text('{"file": "../../x"}'),
}

TAMPERED: dict[str, tuple[Forge, str]] = {
    # accuracy
    "accuracy": (edited(lambda v: v["phases"][1]["accuracy"].update(per_phase=[99.0, 99.0])),
                 "by the predictions"),
    "accuracy 120": (edited(lambda v: v["phases"][0]["accuracy"].update(per_phase=[120.0])),
                     "not a percentage"),
    "another classifier": (
        edited(lambda v: [p.update(other_classifiers={"best": {"per_phase": [100.0] * (i + 1)}})
                          for i, p in enumerate(v["phases"])]),
        "classifier best: 0 predictions"),
    # predictions
    "no predictions": (lambda f: (f / records.PREDICTIONS).unlink(), "does not exist"),
    "wrong ones dropped": (rows_of(lambda rows: [r for r in rows if r.label == r.prediction]),
                           "predictions of"),
    "doubled": (rows_of(lambda rows: [*rows, *rows]), "predictions of"),
    "unseen classes": (predicted(lambda r: r._replace(prediction=39)), "not seen by then"),
    "phase 99": (rows_of(lambda rows: [*rows, rows[0]._replace(phase=99)]), "does not have"),
    "one label": (rows_of(lambda rows: [rows[0]._replace(label=rows[0].label ^ 1), *rows[1:]]),
                  "a label not as in"),
    "paths": (predicted(lambda r: r._replace(file_name=f"../../{r.file_name}")), "labels not as"),
    "easier images": (predicted(lambda r: r._replace(file_name=r.file_name.replace("_", "_x"))),
                      "split_sha256"),
    "cut off": (lambda f: (f / records.PREDICTIONS).write_bytes(
        (f / records.PREDICTIONS).read_bytes()[:-100]), "cannot be read"),
    "no Parquet": (lambda f: (f / records.PREDICTIONS).write_text("phase,label"), "cannot be read"),
    "wide table": (wide_table, ""),
    # seeds
    "a lucky seed": (edited(lambda v: v["config"].update(seeds=[12345])), "takes seeds 0 to 9"),
    "two seeds": (edited(lambda v: v["config"].update(seeds=[0, 1])), "not a list of one int"),
    "another order": (edited(lambda v: v["class_order"]["order"].reverse()), "is not that of"),
    "order seed": (edited(lambda v: v["config"].update(class_order_seed=7)), "class_order.seed"),
    # ledger and memory
    "one exemplar more": (
        edited(lambda v: v["phases"][1]["memory"]["per_class"]["0"].update(exemplars=3)),
        "exemplars of"),
    "half the bytes": (
        edited(lambda v: v["phases"][1]["memory"]["per_class"]["0"].update(bytes=9)), "in the"),
    "negative bytes": (
        lambda f: (small_form(f), change_exemplars(f, lambda r: r._replace(bytes=-9, cost=-9.0))),
        "is negative"),
    "free exemplars": (
        lambda f: (small_form(f), change_exemplars(f, lambda r: r._replace(cost=1.0))), "cost 1.0"),
    "too much": (
        lambda f: (small_form(f), change_exemplars(
            f, lambda r: r._replace(bytes=r.bytes * 9, cost=r.bytes * 9.0))), "exceeds the budget"),
    "stranger": (stranger, "was not kept before"),
    "a word that is data": (
        lambda f: change_exemplars(f, lambda r: r._replace(codec="aGVsbG8=")), "is none"),
    "a test image": (
        lambda f: change_exemplars(f, lambda r: r._replace(file_name=records.read_predictions(
            f / records.PREDICTIONS)[0].file_name)), "an exemplar and a test sample"),
    "a flipped bit": (flipped, "another hash than its name says"),
    "one more file": (lambda f: (f / "memory" / "class-0099-00.bin").write_bytes(b"x"),
                      "belongs to no class"),
    "class 99": (
        edited(lambda v: v["phases"][0]["memory"]["per_class"].update({"99": None})), "is not an"),
    # hashes
    "hash of predictions": (
        edited(lambda v: v["files"].update({records.PREDICTIONS: "0b" * 32})), "another hash than"),
    "hash of the state": (edited(lambda v: v["files"].update(state="0b" * 32)), "no file in state"),
    "no hash": (edited(lambda v: v.update(harness_sha256="yes")), "is not a valid hash"),
    "hash of the order": (
        edited(lambda v: v["class_order"].update(sha256="0b" * 32)), "class_order.sha256"),
    "edited source": (
        lambda f: next((f / "source").rglob("exemplar_masking.py")).write_text("x = 1"),
        "not that of the files in source"),
    # currency and budget
    "currency": (edited(lambda v: v["budget"].update(currency="samples")), "budget.currency"),
    "currency throughout": (
        edited(lambda v: (v["config"].update(currency="samples"),
                          v["budget"].update(currency="samples", unit=1.0))), "memory.budget"),
    "growth": (edited(lambda v: v["config"].update(growth="total")), "budget.growth"),
    "ten times the memory": (edited(lambda v: v["config"].update(memory="50")), "budget.memory"),
    "part of the data": (edited(lambda v: v["config"].update(partial=True)), "images left out"),
    "images left out": (edited(lambda v: v["dataset"].update(left_out=3)), "3 images left out"),
    "stopped": (stopped, "not all phases are learnt"),
    "votes": (edited(lambda v: v["phases"][1].update(invariance={"checked": 64, "differing": 9})),
              "predicted differently"),
    # numbers
    "NaN": (text('"unit": 4154.4295', '"unit": NaN'), "is not valid JSON"),
    "infinity": (text('"unit": 4154.4295', '"unit": 1e400'), "is not valid JSON"),
    "many digits": (text('"unit": 4154.4295', f'"unit": 1{"0" * 5000}'), "is not valid JSON"),
    "truth for a number": (edited(lambda v: v["phases"][0].update(train=True)), "not an integer"),
    "a number of classes": (edited(lambda v: v["dataset"].update(num_classes=2**52)),
                            "num_classes is not that of"),
    "a number of phases": (edited(lambda v: v["config"].update(phases=2**52)), "too many"),
    "time before": (edited(lambda v: v["phases"][0].update(seconds={"train": -1.0})), "negative"),
    # texts
    "script in a class": (
        edited(lambda v: v["class_order"]["names"].__setitem__(0, "<script>")), "names is not"),
    "terminal codes": (edited(lambda v: v["about"].update(name="\x1b[2J\x1b[Hreproduced")),
                       "control or invisible"),
    "a line of its own": (edited(lambda v: v["about"].update(name="a\n::warning::b")),
                          "control or invisible"),
    "right to left": (edited(lambda v: v["config"].update(method=["x.py:\u202eyalper"])),
                      "control or invisible"),
    "a long text": (edited(lambda v: v["about"].update(name="x" * 10**6)), "is longer than"),
    "a script as a link": (edited(lambda v: v["about"].update(link="javascript:alert(1)")),
                           "no http address"),
    "a borrowed title": (edited(lambda v: v["about"].update(name="Replay")), "is another method"),
    "a class of that name": (
        edited(lambda v: (v["config"].update(method=["x.py:Replay"]),
                          v["about"].update(name="Replay"))),
        "is another method"),
    "a borrowed name": (edited(lambda v: v["config"].update(method=["my/exemplar_masking"])),
                        "neither registered"),
    "a name that looks alike": (
        edited(lambda v: v["config"].update(method=["exemplar_m\u0430sking"])), "neither reg"),
    "a preset of markup": (
        edited(lambda v: v["config"].update(method=["exemplar_masking@<b>"])), "no name of a pre"),
    "a folder called mini": (
        edited(lambda v: v["config"].update(dataset="elsewhere/mini-1")), "is another data set"),
    "mini with a suffix": (
        edited(lambda v: (v["config"].update(dataset="mini-1:x"),
                          v["dataset"].update(name="mini-1:x"))), "is another data set"),
    "mini under another name": (
        edited(lambda v: (v["config"].update(dataset="own"), v["dataset"].update(name="own"))),
        "under another name"),
    "a folder called tiny": (
        edited(lambda v: v["config"].update(backbone="own/tiny-1")), "of another one"),
    # files
    "a link to the predictions": (linked(records.PREDICTIONS, "../{folder.name}-{name}"),
                                  "is a link"),
    "a link to the result": (linked(results.RESULT, "../{folder.name}-{name}"), "is a link"),
    "a link to passwords": (linked("report.html", "/etc/passwd"), "is a link"),
    "a link to itself": (linked("more", "."), "is a link"),
    "a pipe": (fifo("report.html"), "no regular file"),
    "a pipe as result": (fifo(results.RESULT), "no regular file"),
    "a folder as result": (
        lambda f: ((f / results.RESULT).unlink(), (f / results.RESULT).mkdir()), "regular file"),
    "a packed bomb": (packed_bomb, "it is too long"),
    "two results": (both_forms, "are both there"),
    "100 MB of result": (sparse(results.RESULT), "no run writes that"),
    "100 MB of predictions": (sparse(records.PREDICTIONS), "no run writes that"),
    "100 MB of something": (sparse("extra.bin"), "no run writes that"),
    "deep folders": (deep_folders, "folders deep"),
    # JSON
    "deep text": (lambda f: (f / results.RESULT).write_text("[" * 100_000), "not valid JSON"),
    "deep value": (nested_text, "is nested deeper than"),
    "no JSON": (lambda f: (f / results.RESULT).write_bytes(b"\xff\xfe\x00"), "is not valid JSON"),
    "nothing": (lambda f: (f / results.RESULT).write_bytes(b""), "is not valid JSON"),
    "no object": (lambda f: (f / results.RESULT).write_text("[1, 2]"), "not an object"),
    "a newer schema": (edited(lambda v: v.update(schema_version=99)), "schema version 99"),
    "no schema": (edited(lambda v: v.update(schema_version="3")), "schema_version is not"),
    "a key that is new": (edited(lambda v: v["config"].update(bonus=5)), "unknown option 'bonus'"),
}  # fmt: skip


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
    assert looked_at["honest"].found.found == []


@pytest.mark.parametrize(("name", "words"), [(n, w) for n, (_, w) in FORGERIES.items()])
def test_a_forgery_is_refused(looked_at: dict[str, Checked], name: str, words: str) -> None:
    found = looked_at[name].found.found
    assert any(words in line for line in found), found


@pytest.mark.parametrize(("name", "words"), [(n, w) for n, (_, w) in TAMPERED.items()])
def test_tampering_is_refused(looked_at: dict[str, Checked], name: str, words: str) -> None:
    found = looked_at[name].found.found
    assert any(words in line for line in found), found
    assert not any("Traceback" in line for line in found)


@pytest.mark.parametrize("name", HELD)
def test_what_a_folder_cannot_show_is_not_refused(looked_at: dict[str, Checked], name: str) -> None:
    assert looked_at[name].found.found == []


def test_there_are_as_many_kinds_as_promised() -> None:
    assert len(FORGERIES) + 4 >= 14  # four of them are held, or found beside others
    assert len(TAMPERED) >= 40


def test_results_beside_each_other(honest: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        shutil.copytree(honest, tmp_path / name)
    change_result(tmp_path / "b", lambda value: value["config"].update(seeds=[7]))
    predicted(cheat)(tmp_path / "d")
    (tmp_path / "e" / "f").mkdir(parents=True)
    (tmp_path / "e" / "f" / results.RESULT).write_text("{}")
    (tmp_path / "g").symlink_to(tmp_path / "a")
    shutil.copy(honest / results.RESULT, tmp_path / "c" / "source" / results.RESULT)

    found = {v.folder.relative_to(tmp_path).as_posix(): v for v in check([tmp_path])}
    levels = {name: verdict.level.name for name, verdict in found.items()}
    assert levels == {
        "a": "CONSISTENT", "b": "REFUSED", "c": "CONSISTENT", "d": "REFUSED", "e/f": "REFUSED",
        "g": "REFUSED", "c/source": "REFUSED",
    }  # fmt: skip
    assert "which has another seed" in found["b"].reasons[0]
    assert any("it counts once" in line for line in found["c"].reasons)
    assert "the same run with other figures" in found["d"].reasons[0]
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
    (bad / results.RESULT).write_text("[" * 100_000)
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
        ("verify", str(tmp_path)): "holds no result.json",
        ("verify", __file__): "is no result",
        ("verify", str(honest), "--record", str(tmp_path / "no")): "is no folder",
        ("verify", str(honest), "--runs", str(honest)): "--runs is for --predict",
        ("verify", str(honest), "--noise", "1"): "--noise is for --run",
        ("verify", str(honest), "--run", "--noise", "nan"): "--noise is for --run",
        ("verify", str(honest), "--predict", "--minutes", "0"): "--minutes 0",
        ("verify", str(honest), "--predict", "--device", "gpu"): "did you mean 'cpu'",
        ("verify", str(honest), "--predict", "--record", str(tmp_path)): "does not lie in",
    }.items():
        assert main(list(given)) == (2 if given else 0)
        said = capsys.readouterr()
        assert words in said.err + said.out


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
