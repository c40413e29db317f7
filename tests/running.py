"""Looking at runs that tests have made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import results
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
        (folder / name).read_bytes() for name in (records.PREDICTIONS, records.EXEMPLARS)
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
