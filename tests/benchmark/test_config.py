"""One configuration behind command line, file and result; what is refused and how."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cells import cells, reference_run
from benchmark.config import RunConfig
from benchmark.options import from_mapping, parse, parser, read_file
from benchmark.plan_check import check
from benchmark.results.schema import SCHEMA_VERSION, Result
from mm_imagenet_r.errors import UserError


def given(line: str) -> RunConfig:
    return parse(shlex.split(line))[0]


def test_defaults_are_those_of_the_fields() -> None:
    assert given("") == RunConfig()


def test_every_field_is_an_option_with_help() -> None:
    options = {a.dest: a for a in parser()._actions if not isinstance(a, argparse._HelpAction)}
    own = {"list", "config", "version"}
    assert options.keys() == {f.name for f in dataclasses.fields(RunConfig)} | own
    assert all(action.help for action in options.values())


def test_the_command_gives_the_configuration_again() -> None:
    config = RunConfig(
        method=("replay", "my file.py:M@two"), set=("replay.note=a b'c", "x=1"), seeds=(3, 1),
        dataset="some where/photos", captions=Path("a b.csv"), class_order_seed=None,
        learning_rate=1e-4, phases=7,
    )  # fmt: skip
    command = shlex.split(config.command())
    assert command[:3] == ["python", "-m", "benchmark.run"]
    assert parse(command[3:])[0] == config
    assert RunConfig().command() == "python -m benchmark.run"


def test_json_gives_the_configuration_again() -> None:
    config = RunConfig(method=("replay",), base_classes=4, workers=2, captions=Path("c.csv"))
    read = from_mapping(json.loads(json.dumps(config.to_json())), source="file")
    assert RunConfig(**read) == config


def test_options_override_the_file_which_overrides_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('method = "ssf"\nseeds = [1, 2]\nepochs = 3\ncaptions = "c.csv"\nmemory = 2\n')
    config = given(f"--config {path} --epochs 4")
    assert (config.method, config.seeds, config.epochs) == (("replay",), (1, 2), 4)
    assert (config.captions, config.memory, config.phases) == (Path("c.csv"), "2", 10)


def test_a_result_is_a_configuration(tmp_path: Path, synthetic_run: Callable[..., Result]) -> None:
    asked = RunConfig(method=("replay",), epochs=3, overwrite=True)
    synthetic_run(tmp_path, config=asked.identity())
    config = given(f"--config {tmp_path / 'result.json'}")
    assert config == RunConfig(method=("replay",), epochs=3)
    text = (tmp_path / "result.json").read_text()
    (tmp_path / "new.json").write_text(
        text.replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99', 1)
    )
    with pytest.raises(UserError, match=r"schema version 99.*newer version"):
        given(f"--config {tmp_path / 'new.json'}")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "epochs = ", "is not valid TOML"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", "[1]", "write an object of options"),
        ("a.json", '{"epoch": 3}', r"unknown option 'epoch': did you mean 'epochs'"),
        ("a.toml", "epochs = 1.5", r"epochs: 1.5 is not a whole number"),
        ("a.toml", "epochs = true", r"epochs: True is not a whole number"),
        ("a.toml", 'overwrite = "maybe"', r"overwrite: 'maybe' is not a truth value"),
        ("a.toml", "learning_rate = nan", r"learning_rate: nan is not a number"),
        ("a.json", '{"phases": null}', r"phases: None is not a whole number"),
        ("a.json", "[" * 100_000, "is not valid JSON: it is nested too deeply"),
        ("a.toml", "a = " + "[" * 100_000, "is not valid TOML: it is nested too deeply"),
        ("a.json", '{"phases": ' + "[" * 900 + "]" * 900 + "}", "it is nested too deeply"),
        ("a.json", '{"phases": ' + "[" * 60 + "]" * 60 + "}", "is not a whole number$"),
        ("a.json", '{"learning_rate": ' + "9" * 400 + "}", "learning_rate: 99.*99 is not a numb"),
        ("a.json", '{"phases": 1e999}', "phases: inf is not a whole number"),
        ("a.json", '{"phases": 3, "phases": 4}', "'phases' occurs twice in one object"),
        ("a.json", '{"' + "x" * 10**6 + '": 1}', r"unknown option 'x{1,80}\.\.\.: known"),
        ("a.json", '{"dataset": "\\ud800"}', "is not plain text"),
        ("a.json", '{"like": "a", "match_exemplars_of": "b"}', "unknown option 'like'"),
        ("a.json", '{"dataset": ["a"]}', r"dataset: \['a'\] is not"),
        ("a.toml", "growth = 'fast'", r"--growth fast: known: per-class, total"),
    ],
)
def test_faults_of_a_file_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        given(f"--config {tmp_path / name}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.toml cannot be read .*check the path"):
        read_file(tmp_path / "nowhere.toml")
    with pytest.raises(UserError, match="it is a folder"):
        read_file(tmp_path)
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name, words in (("pipe.toml", "it is a pipe"), ("zero.json", "it is a device")):
        with pytest.raises(UserError, match=words):
            read_file(tmp_path / name)
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not valid TOML"):
        read_file(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--phases 0", "--phases must be at least 1, not 0"),
        ("--phases x", "phases: 'x' is not a whole number"),
        ("--batch-size 0", "--batch-size must be at least 1"),
        ("--micro-batches 0", "--micro-batches must be at least 1"),
        ("--epochs -1", "--epochs must be at least 0"),
        ("--steps -1", "--steps must be at least 0"),
        ("--epochs 3 --steps 5", "--epochs 3 and --steps 5: give one of them"),
        ("--epochs 2 --steps 5", "--epochs 2 and --steps 5: give one of them"),
        ("--workers -1", "--workers must be at least 0"),
        ("--max-text-length 1", "--max-text-length must be at least 2"),
        ("--learning-rate 0", "--learning-rate must be positive"),
        ("--learning-rate nan", "'nan' is not a number"),
        ("--weight-decay -0.1", "--weight-decay must be at least 0"),
        ("--weight-decay inf", "'inf' is not a number"),
        ("--test-fraction 1", "--test-fraction lies between 0 and 1"),
        ("--seeds -1", "--seeds cannot be negative"),
        ("--seeds 0 1 0", "--seeds 0 1 0: give each one once"),
        ("--method replay ssf", "--method replay replay: give each one once"),
        ("--currency euros", "--currency euros: known: bytes, samples"),
        ("--growth totl", "did you mean 'total'"),
        ("--precision fp8", "--precision fp8: did you mean"),
        ("--tuning lora", "--tuning lora: known: full, head, ssf"),
        ("--set tau", "--set tau: write key=value"),
        ("--set =3", "--set =3: write key=value"),
        (
            "--method replay --set joint.a=1",
            "joint is not among the methods that run: known: replay",
        ),
        ("--method replay --set repla.a=1", "did you mean 'replay'"),
        ("--batch-size 1000000000", "--batch-size can be at most 65,536"),
        ("--threads 1000000000", "--threads can be at most 4,096"),
        ("--memory 1 --steps 99999999999999999999", "--steps can be at most 1,000,000,000"),
        (f"--dataset {'a' * 5000}", "is longer than the name of a file can be: shorten it"),
        (f"--dataset {'a/' * 3000}", "is longer than the name"),
        (f"--backbone {'b' * 300}", "--backbone 'b.* is longer than the name"),
        (f"--method {'a/' * 3000}x.py:X", "is longer than the name"),
        ("--captions ~nobody-of-this-name/c.csv", "begins with the name of a user that there"),
        ("--like replay", "--like is now called --match-exemplars-of: write that instead"),
    ],
)
def test_impossible_values_are_refused(line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        given(line)


@pytest.mark.parametrize("line", ["--epoch 3", "--nonsense", "--seeds", "extra"])
def test_unknown_options_are_mistakes_like_others(line: str) -> None:
    with pytest.raises(UserError):
        given(line)


def test_cells_hold_their_own_settings_in_one_writing() -> None:
    config = given("--method replay em@paper --seeds 0 1 --set b=1 a=1 ssf.b=2 em.c=3 em@paper.c=4")
    cells = config.cells()
    assert [(cell.method, cell.seeds) for cell in cells] == [
        (("replay",), (0,)), (("replay",), (1,)), (("em@paper",), (0,)), (("em@paper",), (1,)),
    ]  # fmt: skip
    assert cells[0].set == ("a=1", "b=2")
    assert cells[2].set == ("a=1", "b=1", "c=4")
    alone = given("--method replay --set ssf.a=1 b=2")
    assert (
        alone.folder()
        == cells[0].folder()
        == dataclasses.replace(alone, set=("b=2", "a=1")).folder()
    )


def test_only_what_changes_results_changes_the_folder() -> None:
    base = RunConfig()
    same = RunConfig(device="cpu", workers=3, checkpoint_seconds=0, overwrite=True, tracker="wandb")
    assert same.folder() == base.folder()
    changed: list[dict[str, Any]] = [
        {"epochs": 3}, {"seeds": (1,)}, {"memory": "6"}, {"growth": "total"},
        {"match_exemplars_of": "replay"},
        {"set": ("a=1",)}, {"dataset": "other"}, {"precision": "bf16"}, {"method": ("replay",)},
    ]  # fmt: skip
    folders = {RunConfig(**change).folder() for change in changed}
    assert len(folders | {base.folder()}) == len(changed) + 1
    assert RunConfig(output=Path("x")).folder() == "x" / base.folder().relative_to("runs")


def test_a_place_is_one_experiment_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for place in ("photos", "home/photos", "a/m.py", "m.py"):
        (tmp_path / place).mkdir(parents=True)
    for places in (
        {"photos", "photos/", "./photos", "a/../photos", str(tmp_path / "photos")},
        {"~/photos", "home/photos", str(tmp_path / "home" / "photos")},
    ):
        for option in ("--dataset", "--captions", "--backbone"):
            assert len({given(f"{option} '{place}'").fingerprint() for place in places}) == 1
    one, other = given("--method ./m.py:A --set ./m.py:A.x=1"), given("--method m.py:A --set x=1")
    assert one.folder() == other.folder()
    assert one.set == ("./m.py:A.x=1",)
    liked = given(f"--match-exemplars-of {tmp_path}/a/m.py:A@b --set a/m.py:A.x=1")
    assert liked.match_exemplars_of == "a/m.py:A@b"
    assert liked.reference_run().set == ("x=1",)
    with pytest.raises(UserError, match=r"--method m.py:A m.py:A: give each one once"):
        given("--method m.py:A ./m.py:A")
    assert given("--dataset .").folder().parts[1].startswith(tmp_path.name)


def test_a_split_is_one_experiment_however_its_seed_is_written() -> None:
    def folder(split: str) -> Path:
        return given(f"--dataset mm_imagenet_r --split-name {split}").folder()

    assert folder("seeded:7") == folder("seeded:007") != folder("seeded")
    assert folder("seeded:0") == folder("seeded")
    with pytest.raises(UserError, match="no split 'seedd' of ImageNet-R: did you mean 'seeded'"):
        given("--split-name seedd")


def test_names_are_told_from_folders() -> None:
    assert given("--dataset mm_imagenet_r").dataset == "mm_imagenet_r:instructblip"
    for option, name in (("--dataset", "mini"), ("--backbone", "tiny")):
        folders = {given(f"{option} {text}").fingerprint() for text in (name, f"./{name}")}
        assert len(folders) == 2
    assert given("--dataset org/name:config --backbone ../x").dataset == "org/name:config"


def test_settings_that_mean_the_same_are_one_cell() -> None:
    def cell(line: str) -> RunConfig:
        (found,) = cells(given(line))
        return found

    plain = cell("--method replay")
    assert plain == given("--method replay")
    assert cell("--method replay --set distillation=0.00 selection=herding") == plain
    same = [
        cell(f"--method replay --set distillation={text}") for text in ("1", "1.0", "1e0", "+1.")
    ]
    assert {found.set for found in same} == {("distillation=1",)}
    paper = cell("--method exemplar_masking@figures --set attention=last mask_text=YES")
    assert paper.set == ()
    assert cell("--method exemplar_masking@figures --set attention=mean").set == ("attention=mean",)
    liked = cell(
        "--match-exemplars-of replay --set replay.distillation=2.0 text_swap_prob=0.25 "
        "replay.selection=herding"
    )
    assert liked.set == ("text_swap_prob=0.25", "replay.distillation=2")
    assert reference_run(liked) == cell("--method replay --set distillation=2")
    with pytest.raises(UserError, match="no setting 'a'"):
        cells(given("--method replay --set a=1"))


def test_folders_have_readable_names() -> None:
    config = RunConfig(method=("a b/mine.py:My",), dataset="/x/my photos/", memory="20MB", phases=5)
    setting, method, run = config.folder().parts[1:]
    assert (setting, method) == ("my_photos-5phases-20MB-bytes", "mine-My")
    assert run.startswith("seed0-")
    liked = RunConfig(
        method=("replay",), match_exemplars_of="em@paper", memory="1", currency="samples"
    )
    assert liked.folder().parts[1] == "mini-10phases-1-samples-matching-em@paper"


def test_the_model_of_like_is_the_run_with_its_own_settings() -> None:
    config = given(
        "--method replay --match-exemplars-of em --memory 1 --seeds 4 --set a=1 em.tau=0.5"
    )
    (cell,) = config.cells()
    assert cell.set == ("a=1", "em.tau=0.5")
    assert cell.reference_run() == given("--method em --memory 1 --seeds 4 --set tau=0.5")


def test_two_revisions_of_a_backbone_are_two_experiments(tmp_path: Path) -> None:
    one, other = (
        RunConfig(backbone=f"dandelin/vilt-b32-mlm{revision}", output=tmp_path)
        for revision in ("@v1", "@refs/pr/2")
    )
    for config in (one, other):
        check(config)
    assert one.fingerprint() != other.fingerprint()
    assert "--backbone dandelin/vilt-b32-mlm@v1" in one.command()
