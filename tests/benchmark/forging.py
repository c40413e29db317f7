"""A finished run to forge, and ways to forge it as a careful person would."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from running import write_exemplars, write_predictions, write_result

from benchmark import results, run_files
from benchmark.results import records
from benchmark.results.prediction_check import matrix_of
from benchmark.results.schema import PhaseResult
from benchmark.source_hash import method_sha256, method_sources

OLD = Path(__file__).parent.parent / "fixtures" / "schema1" / "mini-2phases-0.5-bytes"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def finished_run(folder: Path) -> Path:
    """A finished run of version 724ec82 as today's version writes it, with the steps of today."""
    from baselines.exemplar_masking import ExemplarMasking

    old = OLD / "exemplar_masking" / "seed0-da17521b"
    shutil.copytree(old, folder)
    loaded, state = results.read(old), folder / "state" / "phase-01.pt"
    predictions = records.read_predictions(folder / run_files.PREDICTIONS)
    write_predictions(folder / run_files.PREDICTIONS, predictions)
    files = {name: sha256(folder / name) for name in (run_files.PREDICTIONS, run_files.EXEMPLARS)}
    for name, source in method_sources(ExemplarMasking).items():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "source" / name).write_bytes(source)
    phases: list[Any] = [
        {
            **{key: phase[key] for key in PhaseResult.__annotations__},  # type: ignore[literal-required]
            "accuracy": {"per_phase": phase["accuracy"]["per_phase"]},
            "outside_memory": {"bytes": state.stat().st_size, "what": {"head": 15520}},
            "trainable_parameters": 12712,
            "invariance": {"checked": 64, "differing": 0},
            "stages": [{"name": "train", "items": 1000, "steps": 32}],
            "loss": [[1, 3.0], [32, 1.0]],
        }
        for phase in loaded["phases"]
    ]
    made = results.build(
        kind="replay",
        sees_all_data=False,
        shares_allowance=False,
        about={},
        config=loaded["config"],
        from_recipe=["tuning", "learning_rate", "weight_decay"],
        method_settings=loaded["method_settings"],
        method_sha256=method_sha256(ExemplarMasking),
        harness_sha256="4f" * 32,
        files={**files, "state": sha256(state)},
        dataset=loaded["dataset"],
        class_order=loaded["class_order"],
        classifier="",
        phases=phases,
        budget=loaded["budget"],
        match_exemplars_of=None,
        hardware=loaded["hardware"],
        backbone=loaded["backbone"],
        complete=True,
    )
    results.write(folder / run_files.RESULT, made)
    return folder


def change_result(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / run_files.RESULT
    value = json.loads(path.read_text())
    change(value)
    write_result(path, value)


def change_predictions(
    folder: Path, change: Callable[[records.Prediction], records.Prediction]
) -> None:
    path = folder / run_files.PREDICTIONS
    rows = [change(row) for row in records.read_predictions(path)]
    written = write_predictions(path, rows)
    change_result(folder, lambda value: value["files"].update({path.name: written}))


def recount(folder: Path) -> None:
    """Make every accuracy follow from the predictions again."""
    matrix, _ = matrix_of(
        results.read(folder), records.read_predictions(folder / run_files.PREDICTIONS)
    )

    def change(value: dict[str, Any]) -> None:
        for phase, row in zip(value["phases"], matrix, strict=True):
            phase["accuracy"]["per_phase"] = row

    change_result(folder, change)


def change_exemplars(
    folder: Path,
    change: Callable[[records.Stored], records.Stored],
    *,
    ledger: bool = True,
) -> None:
    """Change every exemplar, and make hash and ledger follow; memory then only grows by classes."""
    path = folder / run_files.EXEMPLARS
    rows = [change(row) for row in records.read_exemplars(path)]
    written = write_exemplars(path, rows)

    def follow(value: dict[str, Any]) -> None:
        value["files"][path.name] = written
        for phase in value["phases"] if ledger else ():
            memory = phase["memory"]
            for key, entry in memory["per_class"].items():
                own = [row for row in rows if row.label == int(key)][: entry["exemplars"]]
                entry.update(bytes=sum(r.bytes for r in own), cost=sum(r.cost for r in own))
            for name in ("bytes", "cost"):
                memory[name] = sum(entry[name] for entry in memory["per_class"].values())

    change_result(folder, follow)


def small_form(folder: Path) -> None:
    """Leave what is committed of a run: neither state nor memory nor source."""
    for name in ("state", "memory", "source"):
        shutil.rmtree(folder / name, ignore_errors=True)
