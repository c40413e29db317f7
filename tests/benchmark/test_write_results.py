"""From finished phases to files: what the run loop hands over is what is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from running import write_predictions, write_result
from safetensors.numpy import save

from benchmark import metrics, results, run_files
from benchmark.budget import Budget
from benchmark.cells import cells
from benchmark.config import RunConfig
from benchmark.data import open_data
from benchmark.load_method import load_method, make_settings
from benchmark.recipe import resolve_recipe
from benchmark.results import records
from benchmark.results.derive import classifiers, given_config
from benchmark.results.schema import PhaseRecord
from benchmark.results.tables import table
from benchmark.results.verify import verify
from benchmark.source_hash import harness_sha256, method_sha256, method_sources
from benchmark.write_results import write_results

NAMES = ("nearest mean", "linear")


def hand_over(folder: Path, data_folder: Path, method: str, names: tuple[str, ...]) -> None:
    """Two phases of three classes, nothing kept, guesses at random."""
    config = RunConfig(method=(method,), dataset=str(data_folder), phases=2, memory="0", epochs=2)
    (cell,) = cells(config)
    found, preset = load_method(method)
    data, state = open_data(cell.dataset), save({"model": np.zeros(1, np.float32)})
    random, done = np.random.default_rng(0), []
    for index, start in enumerate((0, 3)):
        test = data.test.of_classes(range(start + 3))
        guesses = {name: random.integers(start + 3, size=len(test)).tolist() for name in names}
        rows: Any = {
            name: {
                "per_phase": metrics.phase_accuracies(
                    test.labels, guess, [0, 0, 0, 1, 1, 1], index + 1
                )
            }
            for name, guess in guesses.items()
        }
        new = range(start, start + 3)
        train = len(data.train.of_classes(new))
        ledger = {
            str(c): {"exemplars": 0, "bytes": 0, "cost": 0.0, "budget": 0.0}
            for c in range(start + 3)
        }
        record: dict[str, Any] = {
            "result": {
                "index": index,
                "classes": list(new),
                "train": train,
                "test": len(data.test.of_classes(new)),
                "stages": [{"name": "train", "items": train, "steps": 2}],
                "loss": [[1, 2.0], [2, 1.5]],
                "seconds": {"train": 1.0},
                "resumed": 0,
                "accuracy": rows.pop(names[0]),
                "other_classifiers": rows,
                "memory": {
                    "exemplars": 0, "per_class": ledger, "bytes": 0, "cost": 0.0, "budget": 0.0,
                },
                "outside_memory": {"bytes": len(state), "what": {"model": 4}},
                "trainable_parameters": 1,
                "invariance": {"checked": 8, "differing": 0},
            },
            # The order of the classifiers must not matter: the file of a phase may be sorted.
            "predictions": dict(reversed(guesses.items())),
            "stored": [],
            "memory": {},
            "gallery": [],
            "hardware": results.hardware("cpu", 1),
            "state": {"sha256": hashlib.sha256(state).hexdigest(), "bytes": len(state)},
        }  # fmt: skip
        done.append(cast(PhaseRecord, record))
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "phase-01.pt").write_bytes(state)
    plan = SimpleNamespace(
        config=cell,
        recipe=resolve_recipe(cell, found),
        method=found,
        preset=preset,
        settings=make_settings(found, preset, {}),
        data=data.in_order(tuple(range(6))),
        sizes=(3, 3),
        budget=Budget(0.0, "bytes", "per-class", 100.0),
        sources=method_sources(found),
        reference=None,
        tuned=None,
        num_learnt=2,
    )
    identity = {
        "method": method_sha256(found),
        "harness": harness_sha256(),
        "backbone": {"name": "tiny", "sha256": "", "parameters": 3},
    }
    run = SimpleNamespace(path=folder, done=done, identity=identity.__getitem__)
    write_results(cast(Any, plan), cast(Any, run))


@pytest.mark.parametrize("names", [("",), NAMES], ids=["one classifier", "two"])
def test_what_is_handed_over_is_verified_and_tabled(
    tmp_path: Path, coloured: Path, mean_colour: Path, names: tuple[str, ...]
) -> None:
    hand_over(tmp_path / "run", coloured, f"{mean_colour}:MeanColour", names)
    result = results.read(tmp_path / "run")
    assert [line for line in verify(tmp_path / "run") if "class_order" not in line] == []
    assert classifiers(result) == list(names)
    assert result["config"]["learning_rate"] == 1e-2
    assert given_config(result)["learning_rate"] is None
    assert result["config"]["epochs"] == given_config(result)["epochs"] == 2
    assert result["dataset"]["name"] == coloured.name
    copies = sorted(path.name for path in (tmp_path / "run" / "source").rglob("*.py"))
    assert copies == ["mean_colour.py"]
    rows = records.read_predictions(tmp_path / "run" / run_files.PREDICTIONS)
    assert {row.classifier for row in rows} == set(names)
    shown = [(row.label, row.classifier) for row in table([result])]
    label = table([result])[0].label.partition(" · ")[0]
    wanted = [(label, names[0]), *((f"{label} · {name}", name) for name in names[1:])]
    assert sorted(shown) == sorted(wanted)


def test_every_classifier_is_verified(tmp_path: Path, coloured: Path, mean_colour: Path) -> None:
    folder = tmp_path / "run"
    hand_over(folder, coloured, f"{mean_colour}:MeanColour", NAMES)
    path = folder / run_files.RESULT
    value = json.loads(path.read_text())
    value["phases"][1]["other_classifiers"]["linear"]["per_phase"][0] = 99.0
    write_result(path, value)
    assert any("of classifier linear after phase 1 on phase 0" in one for one in verify(folder))
    rows = records.read_predictions(folder / run_files.PREDICTIONS)
    write_predictions(
        folder / run_files.PREDICTIONS, [row for row in rows if row.classifier != "linear"]
    )
    assert any("classifier linear: 0 predictions of 0" in line for line in verify(folder))
    (folder / "source" / "mean_colour.py").write_text("x = (")
    assert "source/ cannot be read as Python" in verify(folder)
