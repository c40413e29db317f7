"""From a run's finished phases to the files that others read."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import results
from benchmark.budget import CURRENCIES
from benchmark.cells import reference_run
from benchmark.errors import Damaged, damaged
from benchmark.load_method import about_of
from benchmark.paths import last_part
from benchmark.plan import Plan
from benchmark.recipe import RECIPE
from benchmark.results import records
from benchmark.results.file_check import changed_files, missing_files
from benchmark.results.schema import BackboneInfo, BudgetInfo, PhaseRecord, ReferenceRun, ResultFile
from benchmark.run_files import (
    EXEMPLARS,
    GALLERY,
    PREDICTIONS,
    RESULT,
    SOURCE,
    STATE,
    TUNING,
    is_whole,
    seal_of,
)
from benchmark.run_folder import RunFolder
from benchmark.source_hash import sources_sha256
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.hashes import json_sha256


def write_results(plan: Plan, folder: RunFolder) -> None:
    """Write predictions, exemplars, gallery, the method's source and, last, result.json."""
    with _of_whole_phases(folder):
        contents = _contents(plan, folder.done)
        result = _result(plan, folder, contents)
    for name, data in contents.items():
        write_atomic(folder.path / name, data)
    results.write(folder.path / RESULT, result)


@contextlib.contextmanager
def _of_whole_phases(folder: RunFolder) -> Iterator[None]:
    """Records of a version without seals may have been changed into what makes no result."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if folder.sealed:
            raise
        raise UserError(damaged(folder.path / STATE)) from error


def restore(plan: Plan, folder: RunFolder) -> list[str]:
    """Look at a finished run, and write again what was changed or removed; say what that was.

    Predictions, exemplars, gallery, recipe and result follow from the finished phases in `state/`.

    Raises:
        UserError: Something was changed that does not follow from what is there.
    """
    path, notes = folder.path, []
    try:
        done = folder.read_done()
    except UserError as error:
        done, notes = [], [str(error)]
    with _of_whole_phases(folder):
        contents = _contents(plan, done) if len(done) == plan.num_learnt else {}
    try:
        result = results.read(path)
    except Damaged:
        if not contents:
            raise
        with _of_whole_phases(folder):
            results.write(path / RESULT, _result(plan, folder, contents))
        result = results.read(path)
        notes.append(_restored(RESULT))
    wrong = changed_files(path, result)
    for missing in missing_files(path, result) if done else ():
        if missing == SOURCE:
            wrong.append(SOURCE)
        else:
            notes.append(f"{path / missing} is missing: the model cannot be used without it")
    if contents and not is_whole(path / GALLERY, _sha256(contents[GALLERY])):
        wrong.append(GALLERY)
    for name in wrong:
        own = {at: data for at, data in contents.items() if Path(at).parts[0] == name}
        sha256 = sources_sha256(own.values()) if name == SOURCE else _sha256(own.get(name, b""))
        said = {GALLERY: sha256, SOURCE: result["method_sha256"], **result["files"]}
        if not own or said.get(name) != sha256:
            raise UserError(damaged(path / name, "was changed or removed"))
        for at, data in own.items():
            write_atomic(path / at, data)
        notes.append(_restored(name))
    return notes


def _restored(name: str) -> str:
    return f"{name} was changed or removed: it is written again from {STATE}/"


def _contents(plan: Plan, done: list[PhaseRecord]) -> dict[str, bytes]:
    """The files beside result.json, by name."""
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


def _result(plan: Plan, folder: RunFolder, contents: Mapping[str, bytes]) -> ResultFile:
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
