"""Finished runs of older versions of this program, which need not be repeated."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.cells import cells
from benchmark.config import RunConfig
from benchmark.paths import safe_name
from benchmark.result_of import asked_for
from benchmark.results.io import read
from benchmark.results.schema import SCHEMA_VERSION, Result
from benchmark.run_files import RESULT
from benchmark.same_code import same_code
from benchmark.source_hash import harness_sha256, sources_sha256
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.reading import open_regular

if TYPE_CHECKING:
    from benchmark.plan import Plan


def finished_elsewhere(cell: RunConfig, data_sha256: str | None = None) -> Path | None:
    """The folder in which an older version finished the same experiment, None without any.

    Older versions counted epochs over new samples and exemplars alike. A run of theirs is the same
    experiment only if all else was asked for alike and every phase took the steps it takes today;
    `data_sha256`, if given, must be that of its data. Its code differs in any case.
    """
    for folder in _of_older_versions(cell):
        try:
            result = read(folder)
            same = data_sha256 in (None, result["dataset"]["data_sha256"])
            if result["complete"] and same and _is_alike(result, cell):
                return folder
        except UserError:
            continue
    return None


def _of_older_versions(cell: RunConfig) -> Iterator[Path]:
    """Folders of older versions' results with the cell's phases, budget and seed."""
    budget = safe_name(f"{cell.memory}-{cell.currency}")
    pattern = f"*-{cell.phases}phases-{budget}*/*/seed{cell.seeds[0]}-*/{RESULT}"
    for path in sorted(cell.output.glob(pattern)):
        try:
            with open_regular(path) as file:
                begin = re.match(rb'\s*{\s*"schema_version": (\d+)', file.read(100))
        except OSError:  # whoever uses the folder says so
            continue
        if begin is not None and int(begin[1]) != SCHEMA_VERSION:
            yield path.parent


def _is_alike(result: Result, cell: RunConfig) -> bool:
    """Whether a finished run was asked for as a cell is, but for the steps, and took as many."""
    then = asked_for(result)
    # First by name: the code of a method is never run because a file that lies there names it.
    if (then.method, then.match_exemplars_of) != (cell.method, cell.match_exemplars_of):
        return False
    (then,) = cells(then)
    counted: dict[str, Any] = {"epochs": RunConfig.epochs, "steps": None}
    asked, said = (dataclasses.replace(one, **counted).changed() for one in (cell, then))
    return asked == said and all(
        phase["steps"] == cell.phase_steps(phase["train"]) for phase in result["phases"]
    )


def changed_settings(stored: Mapping[str, Any], settings: Any) -> list[str]:
    """A few words for each setting whose value in a finished run differs from today's."""
    today = dataclasses.asdict(settings)
    return [
        f"the default of {name} was {stored[name]} then and is {value} now"
        for name, value in today.items()
        if name in stored and stored[name] != (list(value) if isinstance(value, tuple) else value)
    ]


def age(folder: Path, plan: Plan) -> str:
    """How a finished run differs from what today's code would make; "" if it does not."""
    result = read(folder)
    own = not same_code(result["method_sha256"], sources_sha256(plan.sources.values()))
    harness = not same_code(result["harness_sha256"], harness_sha256())
    if not own and not harness:
        return ""
    which = "" if own and harness else f" of the {'method' if own else 'harness'}'s code"
    changed = changed_settings(result["method_settings"], plan.settings)
    return "; ".join([f"by an older version{which}, with its figures", *changed])
