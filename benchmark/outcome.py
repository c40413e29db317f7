"""From a run's finished phases to the files that others read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from benchmark import results
from benchmark.paths import last_part
from benchmark.plan import Plan
from benchmark.results import records
from benchmark.results.schema import BackboneInfo, BudgetInfo, Like, Result
from benchmark.run_folder import RunFolder
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.hashes import json_sha256

_UNITS = {
    "bytes": "mean bytes of an untouched training sample",
    "samples": "one untouched sample",
    "exemplars": "one exemplar, whatever it costs",
}


def write_outcome(plan: Plan, folder: RunFolder) -> None:
    """Write predictions, exemplars, gallery and, last, result.json."""
    data, done = plan.data, folder.done
    predictions = []
    for phase in done:
        seen = phase["result"]["classes"][-1] + 1
        test = data.test.of_classes(range(seen))
        predictions += [
            records.Prediction(phase["result"]["index"], file_name, int(label), guess)
            for file_name, label, guess in zip(
                test.file_names, test.labels, phase["predictions"], strict=True
            )
        ]
    records.write_predictions(folder.path / records.PREDICTIONS, predictions)
    records.write_exemplars(
        folder.path / records.EXEMPLARS,
        (
            records.Stored(phase=phase["result"]["index"], **row)
            for phase in done
            for row in phase["stored"]
        ),
    )
    gallery = [
        picture | {"class_name": data.class_names[picture["label"]]}
        for phase in done
        for picture in phase["gallery"]
    ]
    write_atomic(folder.path / "gallery.json", json.dumps(gallery).encode())
    results.write(folder.path / results.RESULT, _result(plan, folder))


def _result(plan: Plan, folder: RunFolder) -> Result:
    config, data, last = plan.config, plan.data, folder.done[-1]
    order = list(data.order)
    backbone: BackboneInfo = folder.begun_with("backbone")
    carried: dict[str, int] = {}
    for name, size in last["outside_memory"].items():
        part = name.partition(".")[0]
        carried[part] = carried.get(part, 0) + size
    return results.build(
        method=last_part(config.method[0]).partition("@")[0],
        preset=plan.preset or None,
        method_settings=dataclasses.asdict(plan.settings),
        method_sha256=folder.begun_with("method"),
        sees_all_data=plan.method.sees_all_data,
        config=config.identity(),
        dataset={**data.info(), "name": _shown(config.dataset)},
        class_order={
            "seed": config.class_order_seed if config.class_order is None else None,
            "name": config.class_order,
            "order": order,
            "sha256": json_sha256(order),
            "names": list(data.class_names),
        },
        phases=[phase["result"] for phase in folder.done],
        budget=_budget(plan),
        like=_like(plan),
        outside_memory={
            "trainable_parameters": last["trainable_parameters"],
            "bytes": sum(carried.values()),
            "what": carried,
        },
        backbone={**backbone, "name": _shown(backbone["name"])},
        seed=config.seeds[0],
        complete=True,
    )


def _budget(plan: Plan) -> BudgetInfo:
    config, budget = plan.config, plan.budget
    asked = config.memory
    if config.match_exemplars_of is not None:
        asked = f"as {last_part(config.match_exemplars_of)} with memory {config.memory} in {config.currency}"
    return {
        "currency": budget.currency,
        "growth": config.growth,
        "memory": asked,
        "unit": budget.unit,
        "unit_meaning": _UNITS[budget.currency],
        "amount": budget.amount if config.match_exemplars_of is None else None,
    }


def _like(plan: Plan) -> Like | None:
    config, model = plan.config, plan.model
    if config.match_exemplars_of is None or model is None:
        return None
    return {
        "method": last_part(config.match_exemplars_of),
        "method_settings": model["method_settings"],
        "method_sha256": model["method_sha256"],
        "seed": model["seed"],
        "fingerprint": config.reference_run().fingerprint(),
        "counts_sha256": json_sha256(plan.budget.counts),
    }


def _shown(name: str) -> str:
    """Of a place on this machine the last part; a name or a Hub id as it is."""
    place = Path(name.partition(":")[0]).expanduser()
    return last_part(name) if place.exists() else name
