"""Putting a result together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.results.derive import faults
from benchmark.results.provenance import versions
from benchmark.results.schema import (
    SCHEMA_VERSION,
    BackboneInfo,
    BudgetInfo,
    ClassOrder,
    DatasetInfo,
    PhaseResult,
    ReferenceRun,
    ResultFile,
    TuningInfo,
)
from benchmark.results.shape import mismatches


def build(
    *,
    kind: str,
    sees_all_data: bool,
    shares_allowance: bool,
    about: Mapping[str, str],
    config: Mapping[str, Any],
    from_recipe: Sequence[str],
    method_settings: Mapping[str, Any],
    method_sha256: str,
    harness_sha256: str,
    files: Mapping[str, str],
    dataset: DatasetInfo,
    class_order: ClassOrder,
    classifier: str,
    phases: Sequence[PhaseResult],
    budget: BudgetInfo,
    match_exemplars_of: ReferenceRun | None,
    backbone: BackboneInfo,
    hardware: Mapping[str, Any],
    complete: bool,
    tuning: TuningInfo | None = None,
) -> ResultFile:
    """Put a result together and say what it was computed with.

    Raises:
        ValueError: The parts do not make a valid result (a fault of the caller).
    """
    result = ResultFile(
        schema_version=SCHEMA_VERSION,
        kind=kind,
        sees_all_data=sees_all_data,
        shares_allowance=shares_allowance,
        about=dict(about),
        config=dict(config),
        from_recipe=list(from_recipe),
        method_settings=dict(method_settings),
        method_sha256=method_sha256,
        harness_sha256=harness_sha256,
        files=dict(files),
        dataset=dataset,
        class_order=class_order,
        classifier=classifier,
        budget=budget,
        match_exemplars_of=match_exemplars_of,
        backbone=backbone,
        hardware=dict(hardware),
        versions=versions(),
        complete=complete,
        phases=list(phases),
    )
    if tuning is not None:
        result["tuning"] = tuning
    found = list(mismatches(result, ResultFile, "")) or list(faults(result, phases))
    if found:
        raise ValueError("; ".join(found))
    return result
