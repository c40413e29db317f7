"""The content of a run's result and of the files beside it, from its finished phases."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import results
from benchmark.budget import CURRENCIES
from benchmark.cells import reference_run
from benchmark.load_method import about_of
from benchmark.paths import last_part
from benchmark.plan import Plan
from benchmark.recipe import RECIPE
from benchmark.results import records
from benchmark.results.schema import BackboneInfo, BudgetInfo, PhaseRecord, ReferenceRun, ResultFile
from benchmark.run_files import (
    EXEMPLARS,
    GALLERY,
    PREDICTIONS,
    SOURCE,
    STATE,
    TUNING,
    seal_of,
)
from benchmark.run_folder import RunFolder
from mm_imagenet_r.hashes import json_sha256


def file_contents(plan: Plan, done: list[PhaseRecord]) -> dict[str, bytes]:
    """The files beside result.json, by name: tables, gallery, recipe, the method's source."""
    rows = [{"phase": one["result"]["index"], **row} for one in done for row in one["stored"]]
    pictures = [
        picture | {"class_name": plan.data.class_names[picture["label"]]}
        for phase in done
        for picture in phase["gallery"]
    ]
    gallery = [picture | {"seal": seal_of(picture)} for picture in pictures]
    found = {
        PREDICTIONS: records.encode(records.Prediction, _predictions(plan, done)),
        EXEMPLARS: records.encode(records.Stored, records.columns(records.Stored, rows)),
        GALLERY: json.dumps(gallery).encode(),
    }
    if plan.tuned is not None:
        found[TUNING] = plan.tuned.data
    return found | {f"{SOURCE}/{name}": source for name, source in plan.sources.items()}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def own_classifier(record: PhaseRecord) -> str:
    """Name of the method's own classifier, "" if it has only one."""
    others = record["result"]["other_classifiers"]
    (own,) = (name for name in record["predictions"] if name not in others)
    return own


def _predictions(plan: Plan, done: list[PhaseRecord]) -> dict[str, list[Any]]:
    """Columns in pieces; the method's own classifier first in every phase."""
    found: dict[str, list[Any]] = {name: [] for name in records.Prediction._fields}
    for record in done:
        phase = record["result"]
        test = plan.data.test.of_classes(range(phase["classes"][-1] + 1))
        for name in (own_classifier(record), *phase["other_classifiers"]):
            rows = (
                np.full(len(test), phase["index"]), test.file_names, test.labels,
                record["predictions"][name], [name] * len(test),
            )  # fmt: skip
            for piece, column in zip(rows, found.values(), strict=True):
                column.append(piece)
    return found


def build_result(plan: Plan, folder: RunFolder, contents: Mapping[str, bytes]) -> ResultFile:
    """The content of result.json; `contents` is that of the files beside it."""
    config, data, method = plan.config, plan.data, plan.method
    files = {STATE: folder.done[-1]["state"]["sha256"]}
    for name, content in contents.items():
        if name in (PREDICTIONS, EXEMPLARS, TUNING):  # the rest has a hash elsewhere
            files[name] = _sha256(content)
    order = list(data.order)
    backbone: BackboneInfo = folder.identity("backbone")
    recipe = {
        name: None if name in method.unused else value
        for name, value in dataclasses.asdict(plan.recipe).items()
    }
    return results.build(
        kind=method.kind,
        sees_all_data=method.sees_all_data,
        shares_allowance=method.shares_allowance,
        about=about_of(method),
        config={**config.identity(), **recipe},
        from_recipe=[name for name in RECIPE if getattr(config, name) is None],
        method_settings=dataclasses.asdict(plan.settings),
        method_sha256=folder.identity("method"),
        harness_sha256=folder.identity("harness"),
        files=files,
        dataset={**data.info(), "name": _shown(config.dataset)},
        class_order={
            "seed": config.class_order_seed if config.class_order is None else None,
            "name": config.class_order,
            "order": order,
            "sha256": json_sha256(order),
            "names": list(data.class_names),
        },
        classifier=own_classifier(folder.done[-1]),
        phases=[record["result"] for record in folder.done],
        budget=_budget(plan),
        match_exemplars_of=_reference(plan),
        backbone={**backbone, "name": _shown(backbone["name"])},
        hardware=folder.done[-1]["hardware"],
        complete=len(folder.done) == plan.num_learnt,
        **({} if plan.tuned is None else {"tuning": plan.tuned.record(plan)}),
    )


def _budget(plan: Plan) -> BudgetInfo:
    config, budget = plan.config, plan.budget
    asked: Any = config.memory
    if config.match_exemplars_of is not None:
        name = last_part(config.match_exemplars_of)
        asked = f"as {name} with memory {config.memory} in {config.currency}"
    return {
        "currency": budget.currency,
        "growth": config.growth,
        "memory": asked,
        "unit": budget.unit,
        "unit_meaning": CURRENCIES[budget.currency].unit,
        "amount": budget.amount if config.match_exemplars_of is None else None,
        "sample_bytes": budget.sample_bytes or None,
    }


def _reference(plan: Plan) -> ReferenceRun | None:
    config, reference = plan.config, plan.reference
    if config.match_exemplars_of is None or reference is None:
        return None
    return {
        "method": last_part(config.match_exemplars_of),
        "method_settings": reference["method_settings"],
        "method_sha256": reference["method_sha256"],
        "seed": reference["seed"],
        "fingerprint": reference_run(config).fingerprint(),
        "counts_sha256": json_sha256(plan.budget.counts),
    }


def _shown(name: str) -> str:
    """Of a place on this machine the last part; a name or a Hub id as it is."""
    place = Path(name.partition(":")[0]).expanduser()
    return last_part(name) if place.exists() else name
