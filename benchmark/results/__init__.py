"""Result files: build, write, read, check; and `python -m benchmark.results runs/`, their table.

A run's folder holds result.json (see `schema`) and, as Parquet, the prediction of every test sample
and a row for every exemplar (see `records`). Tables, pages and leaderboards are views of these
files; `verify` recomputes the one from the other.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmark import metrics
from benchmark.results.schema import (
    SCHEMA_VERSION,
    BackboneInfo,
    BudgetInfo,
    ClassOrder,
    DatasetInfo,
    Like,
    OutsideMemory,
    PhaseResult,
    Result,
    problems,
)
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic

if TYPE_CHECKING:
    from rich.console import Console

RESULT = "result.json"
_PACKAGES = (
    "mm-imagenet-r", "torch", "transformers", "tokenizers", "datasets", "accelerate", "numpy",
    "pillow", "pyarrow", "safetensors",
)  # fmt: skip


def build(
    *,
    method: str,
    preset: str | None,
    method_settings: Mapping[str, Any],
    method_sha256: str,
    sees_all_data: bool,
    config: Mapping[str, Any],
    dataset: DatasetInfo,
    class_order: ClassOrder,
    phases: Sequence[PhaseResult],
    budget: BudgetInfo,
    match_exemplars_of: Like | None,
    outside_memory: OutsideMemory,
    backbone: BackboneInfo,
    seed: int,
    complete: bool,
) -> Result:
    """Put a result together; matrix, test sizes and metrics follow from the phases.

    Raises:
        ValueError: The parts do not make a valid result (a fault of the caller).
    """
    matrix = [list(phase["accuracy"]["per_phase"]) for phase in phases]
    sizes = [phase["test"] for phase in phases]
    result = Result(
        schema_version=SCHEMA_VERSION,
        method=method,
        preset=preset,
        method_settings=dict(method_settings),
        method_sha256=method_sha256,
        sees_all_data=sees_all_data,
        config=dict(config),
        dataset=dataset,
        class_order=class_order,
        phases=list(phases),
        accuracy_matrix=matrix,
        test_sizes=sizes,
        metrics=metrics.summary(matrix, sizes),
        budget=budget,
        like=like,
        outside_memory=outside_memory,
        backbone=backbone,
        seed=seed,
        hardware=hardware(),
        versions=versions(),
        complete=complete,
    )
    if found := problems(result):
        raise ValueError("; ".join(found))
    return result


def write(path: Path, result: Result) -> None:
    """Write a result.json atomically; flat lists stand on one line, NaN becomes null."""
    text = json.dumps(_finite(result), indent=1, ensure_ascii=False, allow_nan=False)
    # Raw line breaks occur only between values, never inside a JSON string.
    text = re.sub(r"\[\n[^\[\]{}]*\n\s*\]", lambda flat: re.sub(r"\n\s*", " ", flat[0]), text)
    write_atomic(path, (text + "\n").encode())


def read(path: Path) -> Result:
    """Read and check a result.json (or the one in a run's folder).

    Raises:
        UserError: It is absent, broken, incomplete in its keys or of a newer schema.
    """
    if path.is_dir():
        path = path / RESULT
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name a run's folder or its {RESULT}"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path} is not valid JSON ({error}): copy it again, or repeat the run"
        ) from error
    version = value.get("schema_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {version}; this program knows up to {SCHEMA_VERSION}: "
            "upgrade it with `git pull` in its folder"
        )
    if found := problems(value):
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise UserError(
            f"{path} is no valid result file: {'; '.join(found[:3])}{more}. "
            "Was it edited? Copy it again, or repeat the run"
        )
    return cast(Result, value)


def find(paths: Iterable[Path]) -> list[Path]:
    """Return the folders of all runs at or below `paths`, sorted, each once.

    Raises:
        UserError: A path does not exist, or holds no result.
    """
    found: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist: name a run's folder or a folder of runs")
        files = [path] if path.is_file() else list(path.rglob(RESULT))
        if not files:
            raise UserError(
                f"{path} holds no {RESULT}: first run something with "
                "`python -m benchmark.run`, or name another folder"
            )
        found.update(file.parent for file in files)
    return sorted(found)


def versions() -> dict[str, str]:
    """Versions of Python and the packages that touch results, without importing any of them."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """What the run was computed on; nothing that names the machine, its user or its folders."""
    found: dict[str, Any] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    torch = sys.modules.get("torch")  # asking must not cost the import
    accelerate = sys.modules.get("accelerate")
    if accelerate is not None and accelerate.PartialState._shared_state:
        device = accelerate.PartialState().device
        found["device"] = device.type
        if torch is not None and device.type == "cuda":
            found["accelerator"] = torch.cuda.get_device_name(device)
    if (
        torch is not None
        and torch.distributed.is_available()
        and torch.distributed.is_initialized()
    ):
        found["processes"] = torch.distributed.get_world_size()
    return found


def print_table(folders: Sequence[Path], console: Console | None = None) -> None:
    """Print mean and deviation over seeds of all finished runs, one table per setting.

    Raises:
        UserError: A result cannot be read, or one is there twice with other figures.
    """
    from benchmark.display import make_console
    from benchmark.results import formats as table_formats
    from benchmark.results import tables as result_tables

    found = [read(folder) for folder in folders]
    _say_left_out(found)
    table_formats.print_terminal(result_tables.table(found), console or make_console())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of all runs below some folders, or check them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.results",
        description="Mean and deviation over seeds of all finished runs, one table per setting.",
        epilog="example: python -m benchmark.results runs/ --format markdown > table.md",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or result.json files")
    parser.add_argument(
        "--format", choices=("terminal", "markdown", "latex", "csv"), default="terminal"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="instead recompute what follows from configuration, predictions and exemplars; "
        "exit 1 on a difference",
    )
    given = parser.parse_args(arguments)
    try:
        folders = find(given.runs)
        return _verify(folders) if given.verify else _tabulate(folders, given.format)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _verify(folders: Sequence[Path]) -> int:
    from benchmark.results.memory_check import memory_is_missing
    from benchmark.results.verify import UNCHECKED, verify

    failed = 0
    for folder in folders:
        found = verify(folder)
        failed += bool(found)
        many = "discrepancy" if len(found) == 1 else "discrepancies"
        words = f"{len(found)} {many}" if found else "verified"
        if memory_is_missing(folder, read(folder)):
            words += ", the files of the memory not being there"
        print(f"{folder}: {words}")
        for line in found:
            print(f"  {line}")
    print(UNCHECKED)
    return 1 if failed else 0


def _tabulate(folders: Sequence[Path], style: str) -> int:
    if style == "terminal":
        print_table(folders)
        return 0
    from benchmark.results import formats as table_formats
    from benchmark.results import tables as result_tables

    found = [read(folder) for folder in folders]
    _say_left_out(found)
    renderers = {
        "markdown": table_formats.markdown,
        "latex": table_formats.latex,
        "csv": table_formats.csv_text,
    }
    print(renderers[style](result_tables.table(found)), end="")
    return 0


def _say_left_out(found: Sequence[Result]) -> None:
    from benchmark.results.tables import copies

    for count, kind in (
        (sum(not result["complete"] for result in found), "unfinished"),
        (copies(found), "repeated with equal figures"),
    ):
        if count:
            print(f"left out: {count} {kind} of {len(found)} runs", file=sys.stderr)


def _finite(value: Any) -> Any:
    """The same JSON value with null for every NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
