"""From a run's finished phases to the files that others read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark import results
from benchmark.budget import CURRENCIES
from benchmark.cells import reference_run
from benchmark.load_method import about_of
from benchmark.paths import last_part
from benchmark.plan import Plan
from benchmark.recipe import RECIPE
from benchmark.results import records
from benchmark.results.file_check import SOURCE, STATE, TUNING
from benchmark.results.schema import BackboneInfo, BudgetInfo, PhaseRecord, ReferenceRun, ResultFile
from benchmark.run_folder import RunFolder
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.hashes import json_sha256


def write_results(plan: Plan, folder: RunFolder) -> None:
    """Write predictions, exemplars, gallery, the method's source and, last, result.json."""
    done: list[PhaseRecord] = folder.done
    stored = (
        records.Stored(phase=phase["result"]["index"], **row)
        for phase in done
        for row in phase["stored"]
    )
    files = {
        records.PREDICTIONS: records.write_predictions(
            folder.path / records.PREDICTIONS, _predictions(plan, done)
        ),
        records.EXEMPLARS: records.write_exemplars(folder.path / records.EXEMPLARS, stored),
        STATE: done[-1]["state"]["sha256"],
    }
    if plan.tuned is not None:
        write_atomic(folder.path / TUNING, plan.tuned.data)
        files[TUNING] = plan.tuned.record(plan)["sha256"]
    gallery = [
        picture | {"class_name": plan.data.class_names[picture["label"]]}
        for phase in done
        for picture in phase["gallery"]
    ]
    write_atomic(folder.path / "gallery.json", json.dumps(gallery).encode())
    for name, source in plan.sources.items():
        path = folder.path / SOURCE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, source)
    results.write(folder.path / results.RESULT, _result(plan, folder, files))


def own_classifier(record: PhaseRecord) -> str:
    """Name of the method's own classifier, "" if it has only one."""
    others = record["result"]["other_classifiers"]
    (own,) = (name for name in record["predictions"] if name not in others)
    return own


def _predictions(plan: Plan, done: list[PhaseRecord]) -> Iterator[records.Prediction]:
    """The method's own classifier first in every phase."""
    for record in done:
        phase = record["result"]
        test = plan.data.test.of_classes(range(phase["classes"][-1] + 1))
        for name in (own_classifier(record), *phase["other_classifiers"]):
            guesses = record["predictions"][name]
            for file_name, label, guess in zip(test.file_names, test.labels, guesses, strict=True):
                yield records.Prediction(phase["index"], file_name, int(label), guess, name)


def _result(plan: Plan, folder: RunFolder, files: dict[str, str]) -> ResultFile:
    config, data, method = plan.config, plan.data, plan.method
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
