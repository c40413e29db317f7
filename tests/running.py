"""Looking at runs that tests have made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmark import results, run_files
from benchmark.memory_store import MemoryStore
from benchmark.results import records

#: Runs the command line: (exit code, standard output, standard error).
Call = Callable[..., tuple[int, str, str]]


def folders(tmp_path: Path) -> list[Path]:
    """Folders of all runs begun."""
    return sorted(path.parent for path in tmp_path.glob("runs/*/*/*/run.json"))


def outcome(folder: Path) -> tuple[list[list[float]], bytes, bytes]:
    """Accuracy matrix, predictions, exemplars."""
    predictions, exemplars = (
        (folder / name).read_bytes() for name in (run_files.PREDICTIONS, run_files.EXEMPLARS)
    )
    return results.read(folder)["accuracy_matrix"], predictions, exemplars


def fail_in_phase(monkeypatch: pytest.MonkeyPatch, index: int, error: BaseException) -> None:
    """Raise where a phase has been trained and is about to choose its exemplars."""
    open_phase = MemoryStore.open_phase

    def broken(memory: Any, phase: int, *rest: Any, **options: Any) -> None:
        if phase == index:
            raise error
        open_phase(memory, phase, *rest, **options)

    monkeypatch.setattr(MemoryStore, "open_phase", broken)


def write_predictions(path: Path, rows: Iterable[records.Prediction]) -> str:
    """Write the table of predictions; return its hash."""
    return _write(path, records.Prediction, rows)


def write_exemplars(path: Path, rows: Iterable[records.Stored]) -> str:
    """Write the table of exemplars; return its hash."""
    return _write(path, records.Stored, rows)


def _write(path: Path, kind: type, rows: Iterable[Any]) -> str:
    path.write_bytes(records.encode(kind, records.columns(kind, (row._asdict() for row in rows))))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_result(path: Path, value: dict[str, Any]) -> None:
    """Write a result that was changed as one who knows of its seal does."""
    if "seal" in value:
        value = {**value, "seal": run_files.seal_of(value)}
    path.write_text(json.dumps(value))
