"""Metrics for the library `evaluate`: loaded offline from their folders, equal to the formulas."""

from __future__ import annotations

import importlib.util
import math
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.metrics import METRICS

if importlib.util.find_spec("evaluate") is None:
    pytest.skip("needs the extra `evaluate`", allow_module_level=True)

FOLDER = Path(__file__).parents[3] / "benchmark" / "metrics"
NAMES = sorted(path.name for path in FOLDER.iterdir() if (path / f"{path.name}.py").is_file())
#: Of the golden matrix, with 100, 50 and 50 test samples.
MATRIX = [[60], [80, 70], [50, 76, 90]]
SIZES = [100, 50, 50]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where copies of the modules go; they are imported from there, so one place for all tests."""
    import evaluate

    folder = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", folder / "modules")
        yield folder


@pytest.fixture
def load(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`evaluate.load` of a metric by name, without a network."""
    import evaluate

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a metric reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return lambda name: evaluate.load(str(FOLDER / name), cache_dir=str(tmp_path))


def stream() -> dict[str, list[int]]:
    """Predictions after each phase with the accuracies of the matrix, one class a phase."""
    found: dict[str, list[int]] = {"predictions": [], "references": [], "steps": []}
    for t, row in enumerate(MATRIX):
        for i, accuracy in enumerate(row):
            right = round(accuracy * SIZES[i] / 100)
            wrong = (i + 1) % 3
            found["predictions"] += [i] * right + [wrong] * (SIZES[i] - right)
            found["references"] += [i] * SIZES[i]
            found["steps"] += [t] * SIZES[i]
    return found


def test_there_are_four() -> None:
    assert NAMES == [
        "average_incremental_accuracy", "backward_transfer", "forgetting", "last_accuracy",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_formula(name: str, load: Any) -> None:
    metric = load(name)
    found = metric.compute(**stream(), phase_of_class=[0, 1, 2])
    assert found == {name: pytest.approx(METRICS[name].compute(MATRIX, SIZES))}
    assert METRICS[name].definition in metric.description


@pytest.mark.parametrize("name", NAMES)
def test_in_batches(name: str, load: Any) -> None:
    metric, whole = load(name), stream()
    for start in range(0, len(whole["steps"]), 64):
        metric.add_batch(**{key: values[start : start + 64] for key, values in whole.items()})
    found = metric.compute(phase_of_class=[0, 1, 2])
    assert found[name] == pytest.approx(METRICS[name].compute(MATRIX, SIZES))


def test_one_phase_forgets_nothing(load: Any) -> None:
    one = {"predictions": [0], "references": [0], "steps": [0], "phase_of_class": [0]}
    assert math.isnan(load("forgetting").compute(**one)["forgetting"])
    assert load("last_accuracy").compute(**one) == {"last_accuracy": 100.0}


@pytest.mark.parametrize(
    ("predictions", "references", "steps", "phase_of_class", "words"),
    [
        ([0], [1], [0], [0], "references name class 1; phase_of_class has 1 classes, 0 to 0"),
        ([5], [0], [0], [0], "predictions name class 5"),
        ([0], [0], [1], [0, 1], "steps run from 0 to 1, but none is 0"),
        ([0, 0], [0, 0], [0, -1], [0], "none is negative"),
        ([0], [0], [0], None, "give compute.. phase_of_class"),
        ([0.5], [0], [0], [0], "predictions holds 0.5, which is not an integer"),
        ([0], [0], [0], [1], "counts phases from 0, but begins with 1"),
        ([0], [0], [0], {0: 0}, "phase_of_class is not a list of integers"),
        ([0], [0], [0], 1, "phase_of_class is not a list of integers"),
    ],
)
def test_what_cannot_be_is_refused(
    load: Any,
    predictions: list[float],
    references: list[int],
    steps: list[int],
    phase_of_class: Any,
    words: str,
) -> None:
    more = {} if phase_of_class is None else {"phase_of_class": phase_of_class}
    with pytest.raises(ValueError, match=words):
        load("last_accuracy").compute(
            predictions=predictions, references=references, steps=steps, **more
        )


@pytest.mark.parametrize("name", NAMES)
def test_cards(name: str) -> None:
    card = (FOLDER / name / "README.md").read_text()
    assert card.startswith("---\ntitle: ")
    assert "$$" in card


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_card(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import evaluate

    card = (FOLDER / name / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    (printed,) = re.findall("prints `(.*)`", card)
    load = evaluate.load
    monkeypatch.chdir(FOLDER.parents[1])
    monkeypatch.setattr(evaluate, "load", lambda path: load(path, cache_dir=str(tmp_path)))
    exec(code, {})
    assert capsys.readouterr().out.strip() == printed
