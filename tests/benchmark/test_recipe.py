"""Defaults that depend on the method, options without effect on it, and former names."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from benchmark.cells import cells, reference_run
from benchmark.config import RunConfig
from benchmark.list_methods import list_methods
from benchmark.load_method import load_method, make_settings
from benchmark.method import Method
from benchmark.options import parse
from benchmark.recipe import DEFAULTS_VERSION, Recipe, resolve_recipe
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import json_sha256

OWN = """
from dataclasses import dataclass
from benchmark.method import Method

@dataclass(frozen=True)
class S:
    strength: float = 1.0

class Slow(Method):
    '''Learns slowly.'''
    Settings = S
    renamed_settings = {"power": "strength"}
    recipe = {"weight_decay": 0.1, "tuning": "full"}
    about = {"paper": "A paper", "licence": "MIT"}

class Frozen(Method):
    '''Trains nothing.'''
    kind = "memory-free"
    recipe = {"tuning": "head"}
    unused = frozenset({"epochs", "steps", "learning_rate", "precision"})

class Wrong(Method):
    recipe = {"momentum": 0.9}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


def cell(line: str) -> RunConfig:
    (found,) = cells(parse(shlex.split(line))[0])
    return found


def recipe(line: str) -> Recipe:
    one = cell(line)
    return resolve_recipe(one, load_method(one.method[0])[0])


@pytest.mark.usefixtures("own")
def test_what_is_given_comes_before_the_recipe_and_that_before_the_defaults() -> None:
    class Plain(Method):
        pass

    assert resolve_recipe(RunConfig(), Plain) == Recipe("ssf", 1e-2, 0.01)
    assert recipe("--method own.py:Slow") == Recipe("full", 1e-3, 0.1)
    given = "--method own.py:Slow --weight-decay 0.2 --tuning head"
    assert recipe(given) == Recipe("head", 1e-2, 0.2)
    given = "--method own.py:Slow --weight-decay 0 --learning-rate 0.5"
    assert recipe(given) == Recipe("full", 0.5, 0.0)


@pytest.mark.usefixtures("own")
def test_the_default_given_is_the_default_left_out() -> None:
    for method, line in (
        (
            "own.py:Slow",
            f"--epochs {RunConfig.epochs} --tuning full --learning-rate 1e-3 --weight-decay .1",
        ),
        ("own.py:Frozen", "--tuning head --weight-decay 0.01"),
    ):
        plain = cell(f"--method {method}")
        assert cell(f"--method {method} {line}") == plain
        assert (plain.weight_decay, plain.tuning, plain.learning_rate) == (None, None, None)
    assert cell("--method own.py:Slow --weight-decay .01").weight_decay == 0.01


@pytest.mark.usefixtures("own")
def test_options_without_effect_are_refused() -> None:
    for option in ("--epochs 4", "--steps 9", "--learning-rate 0.1", "--precision bf16"):
        name = option.partition(" ")[0]
        with pytest.raises(UserError, match=f"{name} has no effect on own.py:Frozen: leave it out"):
            cell(f"--method own.py:Frozen {option}")
    one, two = cells(parse(shlex.split("--method own.py:Frozen own.py:Slow --tuning ssf"))[0])
    assert (one.tuning, two.tuning) == ("ssf", "ssf")


@pytest.mark.usefixtures("own")
def test_the_reference_run_has_its_own_recipe() -> None:
    one = cell("--method own.py:Slow --match-exemplars-of own.py:Frozen --weight-decay .1")
    assert one.weight_decay == 0.1  # not the default of both
    assert reference_run(one) == cell("--method own.py:Frozen --weight-decay .1")
    longer = cell("--method own.py:Slow --match-exemplars-of own.py:Frozen --epochs 20")
    assert reference_run(longer) == cell("--method own.py:Frozen")  # it is without effect there
    other = cell("--method own.py:Frozen --match-exemplars-of own.py:Slow")
    assert reference_run(other) == cell("--method own.py:Slow")


@pytest.mark.usefixtures("own")
def test_a_recipe_of_other_options_is_refused() -> None:
    with pytest.raises(UserError, match=r"Wrong.recipe has 'momentum'; it may hold tuning, lear"):
        recipe("--method own.py:Wrong")


@pytest.mark.usefixtures("own")
def test_former_names_of_settings_are_understood() -> None:
    assert cell("--method own.py:Slow --set power=2").set == ("strength=2",)
    assert cell("--method own.py:Slow --set power=2") == cell(
        "--method own.py:Slow --set strength=2.0"
    )
    with pytest.raises(UserError, match="--set strength and power are the same setting"):
        cell("--method own.py:Slow --set power=2 strength=3")
    masked = cell("--method exemplar_masking --set swap=0.25 masked_training=0")
    assert masked.set == ("mask_prob=0", "text_swap_prob=0.25")
    method, _ = load_method("exemplar_masking")
    assert make_settings(method, "", {"swap": "0.25"}).text_swap_prob == 0.25


def test_former_names_of_methods_are_understood() -> None:
    assert cell("--method ssf") == cell("--method replay")
    line = "--method ssf exemplar_masking --set ssf.selection=random"
    one, other = cells(parse(shlex.split(line))[0])
    assert (one.method, one.set, other.set) == (("replay",), ("selection=random",), ())
    assert cell("--match-exemplars-of ssf").match_exemplars_of == "replay"
    assert load_method("ssf") == load_method("replay")


@pytest.mark.usefixtures("own")
def test_a_method_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    list_methods("own.py:Slow")
    slow = capsys.readouterr().out
    assert slow.startswith("own.py:Slow (replay): Learns slowly.\n")
    assert "its own defaults: weight_decay=0.1, tuning=full" in slow
    assert "MIT" in slow
    assert re.search(r"^strength +1\.0", slow, re.M)
    assert "without effect" not in slow
    list_methods("own.py:Frozen")
    unused = "options without effect: --epochs, --learning-rate, --precision, --steps"
    assert unused in capsys.readouterr().out
    list_methods("exemplar_masking@figures")
    assert re.search(r"^mask_text +True", capsys.readouterr().out, re.M)


def test_only_what_differs_from_the_defaults_makes_the_fingerprint() -> None:
    assert RunConfig().fingerprint() == json_sha256({"defaults": DEFAULTS_VERSION})
    changed: dict[str, Any] = {"phases": 5, "memory": "1"}
    wanted = json_sha256({"defaults": DEFAULTS_VERSION, **changed})
    assert RunConfig(**changed).fingerprint() == wanted
    assert dataclasses.replace(RunConfig(**changed), workers=3).fingerprint() == wanted
