"""What a result.json says more than once, or what follows from its configuration, must agree."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any, cast

from benchmark.budget import Budget, make_budget
from benchmark.config import RunConfig
from benchmark.formatting import order_words
from benchmark.method import Kind
from benchmark.options import as_text, from_mapping
from benchmark.paths import last_part
from benchmark.recipe import RECIPE
from benchmark.results.derive import given_config
from benchmark.results.schema import Result
from benchmark.run_files import TUNING
from benchmark.search import RATE
from mm_imagenet_r.errors import UserError, few
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.phases import phase_sizes

_SHORTEST = 8  # bytes: what begins every state file


def contradictions(result: Result) -> Iterator[str]:
    """Say in words what cannot all be true of one run."""
    if unknown := sorted(set(result["from_recipe"]) - set(RECIPE)):
        yield f"from_recipe names {', '.join(unknown)}"
        return
    try:
        config = RunConfig(**from_mapping(given_config(result), source="config"))
    except UserError as error:
        yield f"config is not of this version: {error}"
        return
    if len(config.method) != 1 or len(config.seeds) != 1:
        yield "config is not of one method and one seed"
    elif result["dataset"]["num_classes"] != len(result["class_order"]["order"]):
        yield "dataset.num_classes is not that of class_order.order"
    else:
        yield from _identity(result, config)
        yield from _tuning(result)
        yield from _hashes(result)
        yield from _data(result)
        try:
            yield from _phases(result, config)
            yield from _budget(result, config)
        except UserError as error:
            yield f"config does not fit the data: {error}"


def _identity(result: Result, config: RunConfig) -> Iterator[str]:
    """Settings, kind, what was left to the recipe; the run whose exemplars are matched."""
    for key, text in config.settings_of(config.method[0]).items():
        said = result["method_settings"].get(key)
        yield from _differ(f"method_settings.{key}", as_text(said), text)
    if result["kind"] not in typing.get_args(Kind):
        yield f"kind is {result['kind']!r}"
    if result["sees_all_data"] and result["kind"] != "bound":
        yield f"sees_all_data, but kind is {result['kind']}"
    reference = result["match_exemplars_of"]
    name = config.match_exemplars_of and last_part(config.match_exemplars_of)
    yield from _differ("match_exemplars_of.method", reference and reference["method"], name)
    if reference and config.match_exemplars_of:
        yield from _differ("match_exemplars_of.seed", reference["seed"], result["seed"])
        if result["schema_version"] > 2 and set(result["from_recipe"]) == set(RECIPE):
            follows = config.reference_run().fingerprint()
            said = reference["fingerprint"]
            yield from _differ("match_exemplars_of.fingerprint", said, follows)


def _tuning(result: Result) -> Iterator[str]:
    """What a recipe chose is what the run used, but for what the user gave otherwise."""
    tuning = result.get("tuning")
    if tuning is None:
        return
    used = {**result["method_settings"], RATE: result["config"].get(RATE)}
    overridden = sorted(name for name, v in tuning["chosen"].items() if used.get(name) != v)
    yield from _differ("tuning.overridden", tuning["overridden"], overridden)
    yield from _differ("tuning.chosen", sorted(tuning["chosen"]), sorted(tuning["searched"]))
    for name, value in tuning["chosen"].items():
        if value not in tuning["searched"].get(name, ()):
            yield f"tuning.chosen.{name} is {few(value)}, which was not tried"
    yield from _differ("files.tuning.json", result["files"].get(TUNING), tuning["sha256"])


def _hashes(result: Result) -> Iterator[str]:
    data, order, reference = result["dataset"], result["class_order"], result["match_exemplars_of"]
    hashes = {
        "method_sha256": result["method_sha256"],
        "dataset.data_sha256": data["data_sha256"],
        "dataset.split_sha256": data["split_sha256"],
        "class_order.sha256": order["sha256"],
        **{f"files.{name}": value for name, value in result["files"].items()},
    }
    if result["schema_version"] > 1:
        hashes["harness_sha256"] = result["harness_sha256"]
    if reference:
        hashes["match_exemplars_of.method_sha256"] = reference["method_sha256"]
        hashes["match_exemplars_of.counts_sha256"] = reference["counts_sha256"]
    if result["backbone"]["sha256"]:  # a method without a pretrained network has none
        hashes["backbone.sha256"] = result["backbone"]["sha256"]
    for name, value in hashes.items():
        if not re.fullmatch("[0-9a-f]{64}", value):
            yield f"{name} {value!r} is not a valid hash"
    yield from _differ("class_order.sha256", order["sha256"], json_sha256(order["order"]))


def _data(result: Result) -> Iterator[str]:
    for key in ("dataset", "backbone"):
        said, name = cast(Any, result)[key]["name"], result["config"].get(key)
        if isinstance(name, str) and said not in (name, last_part(name)):
            yield f"{key}.name is {said!r}, but config.{key} {name!r}"
    for phase in result["phases"]:
        where, outside = f"phases[{phase['index']}]", phase["outside_memory"]
        if outside and outside["bytes"] < sum(outside["what"].values()):
            yield f"{where}.outside_memory.bytes is {outside['bytes']}, less than its parts"
        elif outside and outside["bytes"] < _SHORTEST and result["schema_version"] > 1:
            yield f"{where}.outside_memory.bytes is {outside['bytes']}, no length of a state file"
        if negative := next(_negative({**phase, "loss": []}, where), None):
            yield f"{negative} is negative"
        if phase["memory"]["exemplars"] and (result["sees_all_data"] or result["kind"] != "replay"):
            what = "sees_all_data" if result["sees_all_data"] else f"kind is {result['kind']}"
            yield f"{what}, but there are exemplars after phase {phase['index']}"
        if checked := phase["invariance"]:
            words = f"{where}.invariance: {checked['differing']} of {checked['checked']} samples"
            if not 0 <= checked["differing"] <= checked["checked"]:
                yield f"{words} differ"
            elif checked["differing"]:
                yield f"{words} were predicted differently among others"


def _negative(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _negative(item, f"{where}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _negative(item, f"{where}[{index}]")
    elif isinstance(value, (int, float)) and value < 0:
        yield where


def _phases(result: Result, config: RunConfig) -> Iterator[str]:
    """Class order, classes of each phase, numbers of samples and of steps."""
    data, order, phases = result["dataset"], result["class_order"], result["phases"]
    count, version = data["num_classes"], result["schema_version"]
    seed = config.class_order_seed if config.class_order is None else None
    yield from _differ("class_order.seed", order["seed"], seed)
    yield from _differ("class_order.name", order["name"], config.class_order)
    if order["order"] != config.label_order(count):
        yield f"class_order.order is not that of {order_words(order)}"
    sizes = phase_sizes(count, config.phases, config.base_classes)
    wanted = len(sizes) if config.stop_after is None else config.stop_after
    yield from _differ("complete", result["complete"], len(phases) == wanted)
    start, trained, most = 0, 0, 0
    for t, (phase, size) in enumerate(zip(phases, sizes, strict=False)):
        where, steps = f"phases[{t}]", phase["steps"]
        yield from _differ(f"{where}.classes", phase["classes"], [*range(start, start + size)])
        start, trained = start + size, trained + phase["train"]
        most = config.phase_steps(phase["train"]) + (most if result["sees_all_data"] else 0)
        if version > 2 and steps > most:
            yield f"{where} took {steps} training steps of {most}"
        if version == 1 and not steps:
            if phases[-1]["trainable_parameters"] and config.epochs:
                yield f"{where}.steps is 0, but there is something to train"
            continue
        for number, stage in enumerate(phase["stages"] if version < 3 else ()):
            follows = stage.get("epochs", 0) * math.ceil(stage["items"] / config.batch_size)
            yield from _differ(f"{where}.stages[{number}].steps", stage["steps"], follows)
        if phase["loss"] and not 1 <= phase["loss"][-1][0] <= steps:
            yield f"{where}.loss ends at step {phase['loss'][-1][0]:g} of {steps}"
    if result["complete"] and config.stop_after is None:
        yield from _differ("dataset.train", data["train"], trained)
        yield from _differ("dataset.test", data["test"], sum(result["test_sizes"]))


def _budget(result: Result, config: RunConfig) -> Iterator[str]:
    """The budget against the command, and each ledger's allowance against the budget."""
    said = result["budget"]
    unit = said["unit"] or 0.0
    budget = make_budget(
        config.memory,
        currency=config.currency,
        growth=config.growth,
        num_classes=result["dataset"]["num_classes"],
        mean_sample_bytes=unit or 1.0,
    )
    asked, amount = config.memory, budget.amount if config.match_exemplars_of is None else None
    if config.match_exemplars_of is not None:
        reference = last_part(config.match_exemplars_of)
        asked = f"as {reference} with memory {config.memory} in {config.currency}"
        budget = Budget(0, "exemplars", config.growth, 1.0)
    yield from _differ("budget.currency", said["currency"], budget.currency)
    yield from _differ("budget.growth", said["growth"], config.growth)
    yield from _differ("budget.memory", said["memory"], asked)
    yield from _differ("budget.unit", said["unit"], budget.unit)
    yield from _differ("budget.amount", said["amount"], amount)
    if amount is None or (result["schema_version"] > 1 and result["kind"] != "replay"):
        return  # the allowance of a class is what another run kept, or there is no memory
    seen = 0
    for t, phase in enumerate(result["phases"]):
        seen += len(phase["classes"])
        allowances = [budget.allowance(label, t, seen) for label in range(seen)]
        where = f"phases[{t}].memory"
        yield from _differ(f"{where}.budget", phase["memory"]["budget"], math.fsum(allowances))
        own = None if result["shares_allowance"] else allowances[0]
        for label, ledger in phase["memory"]["per_class"].items():
            yield from _differ(f"{where}.per_class.{label}.budget", ledger["budget"], own)


def _differ(name: str, said: Any, follows: Any) -> Iterator[str]:
    same = said == follows
    if isinstance(said, float) and isinstance(follows, (int, float)):
        same = math.isclose(said, follows, rel_tol=1e-9)
    if not same:
        yield f"{name} is {few(said)}, but {few(follows)} follows from the rest"
