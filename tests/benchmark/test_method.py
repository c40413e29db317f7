"""Finding methods by name, their settings, and the contract itself."""

from __future__ import annotations

import ast
import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.leaderboard.declared import declared
from benchmark.load_method import about_of, load_method, make_settings
from benchmark.method import Method, MethodContext, NoSettings
from benchmark.registry import REGISTRY
from benchmark.source_hash import method_sha256
from mm_imagenet_r.errors import UserError


@dataclass(frozen=True)
class Some:
    rate: float = field(default=0.5, metadata={"help": "a share"})
    name: str = "plain"
    steps: int | None = None
    flag: bool = False

    def __post_init__(self) -> None:
        if self.rate > 1:
            raise ValueError(f"rate={self.rate}: at most 1")


class Adjustable(Method):
    Settings = Some
    presets = {"fast": {"rate": 0.1, "flag": True}}  # noqa: RUF012


@pytest.mark.parametrize("name", REGISTRY)
def test_registered_methods_are_found_and_described(name: str) -> None:
    method, preset = load_method(name)
    assert issubclass(method, Method)
    assert preset == ""
    assert method.__doc__
    entry = REGISTRY[name]
    assert (entry.kind, entry.paper) == (method.kind, method.about.get("paper", ""))
    said = declared(name)  # without an import of it
    assert (said.about, said.presets) == (method.about, frozenset(method.presets))
    assert {setting.name for setting in dataclasses.fields(method.Settings)} <= said.settings
    assert dataclasses.is_dataclass(make_settings(method, "", {}))
    assert all(spec.metadata["help"] for spec in dataclasses.fields(method.Settings))
    for key in method.presets:
        assert load_method(f"{name}@{key}") == (method, key)
        make_settings(method, key, {})


def test_a_derived_class_does_not_bear_the_name_of_a_registered_one() -> None:
    base, _ = load_method("replay")
    derived = type("Derived", (base,), {})
    entitled = type("Entitled", (derived,), {"about": {"name": "Mine"}})
    assert about_of(base)["name"] == "Replay (SSF)"
    assert about_of(derived) == {}
    assert about_of(entitled) == {"name": "Mine"}
    assert about_of(type("Further", (entitled,), {})) == {"name": "Mine"}


def test_a_class_of_a_file_or_a_module(
    tmp_path: Path, mean_colour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_file, _ = load_method(f"{mean_colour}:MeanColour")
    assert load_method(f"{mean_colour}:MeanColour")[0] is by_file
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "own.py").write_text(mean_colour.read_text())
    monkeypatch.syspath_prepend(tmp_path)
    by_module, preset = load_method("my_package.own:MeanColour")
    assert (by_module.__name__, preset) == ("MeanColour", "")
    assert by_module is not by_file
    assert method_sha256(by_module) == method_sha256(by_file)


def test_a_file_may_be_called_like_a_module(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(
        "from dataclasses import dataclass\nfrom benchmark.method import Method\n"
        "@dataclass(frozen=True)\nclass S:\n    a: int = 1\nclass M(Method):\n    Settings = S\n"
    )
    import json

    method, _ = load_method(f"{tmp_path / 'json.py'}:M")
    assert sys.modules["json"] is json
    assert make_settings(method, "", {"a": "4"}).a == 4


BROKEN = {
    "syntax.py": "class M(:\n",
    "needs.py": "import no_such_package\n",
    "other.py": "class M:\n    pass\nN = 3\n",
    "derived.py": "from benchmark.method import Method\nclass Mines(Method):\n    pass\n",
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exemplar_maskin", r"unknown method 'exemplar_maskin': did you mean 'exemplar_masking'"),
        ("zzz", r"unknown method 'zzz': known: .*exemplar_masking"),
        ("replay@paper", r"replay has no preset 'paper': it has none"),
        ("exemplar_masking@figurs", r"no preset 'figurs': did you mean 'figures'"),
        ("nowhere.py:M", r"nowhere.py cannot be read .No such file.*: give the path"),
        ("mine.py", r"name its class too, mine.py:MyMethod"),
        ("syntax.py:M", r"syntax.py line 1: .*Fix it"),
        ("needs.py:M", r"needs.py needs no_such_package: install it"),
        ("other.py:M", r"other.py:M is not a method: .*derives from benchmark.method.Method"),
        ("other.py:N", r"is not a method"),
        ("other.py:m", r"has no 'm': write a class in it that derives from"),
        ("derived.py:Mine", r"has no 'Mine': did you mean 'Mines'\? Known: Mines$"),
        ("baselines.replay:Reply", r"did you mean 'Replay'\? Known: Replay$"),
        ("no_such.module:M", r"there is no module 'no_such.module': check the spelling"),
        ("benchmark.nothing:M", r"there is no module 'benchmark.nothing'"),
        ("..a:M", r"'..a' is not a module: write package.module:Class"),
        (":M", r"'' is not a module"),
    ],
)
def test_what_is_not_found_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    for file, text in BROKEN.items():
        (tmp_path / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        load_method(name)
    assert not [m for m in sys.modules if m.endswith(("_syntax", "_needs"))]


def test_a_module_that_lacks_a_package_is_told_from_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking_one.py").write_text("import lacking\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="lacking_one needs lacking: install it"):
        load_method("lacking_one:M")


def test_settings_are_defaults_then_preset_then_what_is_given() -> None:
    assert make_settings(Adjustable, "", {}) == Some()
    assert make_settings(Adjustable, "fast", {}) == Some(rate=0.1, flag=True)
    given = {"rate": "0.2", "flag": "no", "steps": "3", "name": "none"}
    assert make_settings(Adjustable, "fast", given) == Some(0.2, "none", 3, False)
    assert make_settings(Adjustable, "", {"steps": "none"}) == Some()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rat": "1"}, r"Adjustable has no setting 'rat': did you mean 'rate'.*METHOD.rat=..."),
        ({"rate": "much"}, r"--set rate: 'much' is not a number"),
        ({"rate": "nan"}, r"'nan' is not a number"),
        ({"rate": "2"}, r"Adjustable: rate=2.0: at most 1"),
        ({"flag": "perhaps"}, r"'perhaps' is not a truth value"),
        ({"steps": "1.5"}, r"'1.5' is not a whole number"),
    ],
)
def test_impossible_settings_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_settings(Adjustable, "", given)


def test_settings_are_refused_in_the_name_of_the_method_as_it_was_given() -> None:
    for given in ({"rat": "1"}, {"rate": "2"}):
        with pytest.raises(UserError, match=r"^mine\.py:A"):
            make_settings(Adjustable, "", given, "mine.py:A")


def test_a_method_without_settings_takes_none() -> None:
    assert make_settings(Method, "", {}) == NoSettings()
    with pytest.raises(UserError, match="has no setting 'a': it has none"):
        make_settings(Method, "", {"a": "1"})


def make_context(**changes: Any) -> MethodContext:
    options: dict[str, Any] = {
        "num_classes": 3, "phase_sizes": (2, 1), "backbone": "tiny", "tuning": "ssf",
        "max_text_length": None, "batch_size": 4, "seed": 0, "device": torch.device("cpu"),
    }  # fmt: skip
    return MethodContext(**options | changes)


def test_every_purpose_has_a_random_stream_of_its_own() -> None:
    numbers = [(), (0,), (0, 0), (0, 0, 0), (1,), (1, 0), (0, 1), (0, 0, 0, 0, 0)]
    streams = [(purpose, *rest) for purpose in ("a", "b") for rest in numbers]
    drawn = {
        int(make_context(seed=s).rng(*stream).integers(2**63)) for s in (0, 1) for stream in streams
    }
    assert len(drawn) == 2 * len(streams)
    first, again = (make_context(rank=rank, world=2).rng("a", 3).random(4) for rank in (0, 1))
    assert np.array_equal(first, again)


class Small(Method):
    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self.model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 3))
        self.model[0].requires_grad_(False)


def test_defaults_of_the_contract() -> None:
    method = Small(make_context(), NoSettings())
    assert method.state().keys() == {"1.weight", "1.bias"}
    decayed, other = method.parameter_groups(0.3)
    assert [p.shape for p in decayed["params"]] == [(3, 2)]
    assert [p.shape for p in other["params"]] == [(3,)]
    assert (decayed["weight_decay"], other["weight_decay"]) == (0.3, 0)
    another = Small(make_context(), NoSettings())
    another.load_state(method.state())
    assert torch.equal(another.model[1].weight, method.model[1].weight)
    assert method.provenance()["parameters"] == 6 + 9
    kept = method.state()["1.bias"]
    with torch.no_grad():
        method.model[1].bias.add_(1)
    assert not torch.equal(kept, method.state()["1.bias"])
    for hook in (method.collate, method.loss, method.predict):
        with pytest.raises(NotImplementedError):
            hook(*[None] * (2 if hook == method.collate else 1))  # type: ignore[arg-type, call-arg]


def test_the_example_is_short_and_complete(mean_colour: Path) -> None:
    code = mean_colour.read_text()
    assert len(code.splitlines()) < 100
    (defined,) = [n for n in ast.parse(code).body if isinstance(n, ast.ClassDef)]
    assert defined.name == "MeanColour"


def test_the_hash_of_a_method_covers_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_methods"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("FACTOR = 1\n")
    (package / "unrelated.py").write_text("")
    (package / "mine.py").write_text(
        "from benchmark.method import Method\nfrom some_methods.helper import FACTOR\n"
        "class Mine(Method):\n    factor = FACTOR\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    method, _ = load_method("some_methods.mine:Mine")
    before = method_sha256(method)
    (package / "unrelated.py").write_text("# changed\n")
    assert method_sha256(method) == before
    (package / "helper.py").write_text("FACTOR = 2\n")
    assert method_sha256(method) != before
