"""Finished runs of older versions of this program, which need not be repeated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import RunConfig, resolve_recipe
from benchmark.find_method import find
from benchmark.legacy import legacy_folders
from benchmark.results.io import RESULT, read
from benchmark.source_hash import harness_sha256, sources_sha256
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from benchmark.plan import Plan


def finished_elsewhere(cell: RunConfig, data_sha256: str | None = None) -> Path | None:
    """The folder in which an older version finished the same experiment.

    Args:
        cell: As `benchmark.cells.cells` writes it.
        data_sha256: Of today's data; a run of other data is none. None: it is not compared.

    Returns:
        None if there is no complete and readable result. The code of method and harness is another
        one in any case; `changed_settings` tells which defaults are.
    """
    method, _ = find(cell.method[0])
    for folder in legacy_folders(cell, resolve_recipe(cell, method)):
        if not (folder / RESULT).is_file():
            continue
        try:
            result = read(folder)
            same = data_sha256 in (None, result["dataset"]["data_sha256"])
            if result["complete"] and same:
                return folder
        except UserError:
            continue
    return None


def changed_settings(stored: Mapping[str, Any], settings: Any) -> list[str]:
    """The settings in which a finished run differs from what today's defaults resolve to.

    Args:
        stored: `method_settings` of its result.
        settings: Today's, resolved: an instance of the method's `Settings`.

    Returns:
        A few words for each setting that both have and that differs.
    """
    today = dataclasses.asdict(settings)
    return [
        f"the default of {name} was {stored[name]} then and is {value} now"
        for name, value in today.items()
        if name in stored and stored[name] != (list(value) if isinstance(value, tuple) else value)
    ]


def age(folder: Path, plan: Plan) -> str:
    """How a finished run differs from what today's code would make; "" if it does not.

    Args:
        folder: The run's.
        plan: What was asked for today.
    """
    result = read(folder)
    own = result["method_sha256"] != sources_sha256(plan.sources.values())
    harness = result["harness_sha256"] != harness_sha256()
    if not own and not harness:
        return ""
    which = "" if own and harness else f" of the {'method' if own else 'harness'}'s code"
    changed = changed_settings(result["method_settings"], plan.settings)
    return "; ".join([f"by an older version{which}, with the figures of then", *changed])
