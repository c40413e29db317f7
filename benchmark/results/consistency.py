"""What a result.json says more than once, or what follows from its configuration, must agree."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from benchmark.budget import Budget, make_budget
from benchmark.cells import as_text
from benchmark.class_order import class_order
from benchmark.config import RunConfig
from benchmark.options import from_mapping
from benchmark.paths import last_part
from benchmark.results.schema import Result
from benchmark.wording import order_words
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.phases import phase_sizes


def contradictions(result: Result) -> Iterator[str]:
    """Say in words what cannot all be true of one run."""
    try:
        config = RunConfig(**from_mapping(result["config"], source="config"))
    except UserError as error:
        yield f"config is none of this version: {error}"
        return
    yield from _identity(result, config)
    yield from _hashes(result)
    yield from _data(result)
    try:
        yield from _phases(result, config)
        yield from _budget(result, config)
    except UserError as error:
        yield f"config does not fit the data: {error}"


def _identity(result: Result, config: RunConfig) -> Iterator[str]:
    """Method, preset, settings and seed; the run that is copied."""
    name, _, preset = last_part(config.method[0]).partition("@")
    yield from _differ("method", result["method"], name)
    yield from _differ("preset", result["preset"], preset or None)
    yield from _differ("seed", [result["seed"]], list(config.seeds))
    for key, text in config.settings_of(config.method[0]).items():
        said = result["method_settings"].get(key)
        yield from _differ(f"method_settings.{key}", as_text(said), text)
    like = result["match_exemplars_of"]
    model = config.match_exemplars_of and last_part(config.match_exemplars_of)
    yield from _differ("like.method", like and like["method"], model)
    if like and config.match_exemplars_of:
        yield from _differ("like.seed", like["seed"], result["seed"])
        yield from _differ("like.fingerprint", like["fingerprint"], config.reference_run().fingerprint())


def _hashes(result: Result) -> Iterator[str]:
    data, order, like = result["dataset"], result["class_order"], result["match_exemplars_of"]
    hashes = {
        "method_sha256": result["method_sha256"],
        "dataset.data_sha256": data["data_sha256"],
        "dataset.split_sha256": data["split_sha256"],
        "class_order.sha256": order["sha256"],
    }
    if like:
        hashes["like.method_sha256"] = like["method_sha256"]
        hashes["like.counts_sha256"] = like["counts_sha256"]
    if result["backbone"]["sha256"]:  # a method without a pretrained network has none
        hashes["backbone.sha256"] = result["backbone"]["sha256"]
    for name, value in hashes.items():
        if not re.fullmatch("[0-9a-f]{64}", value):
            yield f"{name} {value!r} is no hash"
    yield from _differ("class_order.sha256", order["sha256"], json_sha256(order["order"]))


def _data(result: Result) -> Iterator[str]:
    data, outside = result["dataset"], result["outside_memory"]
    name = result["config"].get("dataset")
    if isinstance(name, str) and data["name"] not in (name, last_part(name)):
        yield f"dataset.name is {data['name']!r}, but config.dataset {name!r}"
    yield from _differ("outside_memory.bytes", outside["bytes"], sum(outside["what"].values()))
    if result["sees_all_data"] and any(p["memory"]["exemplars"] for p in result["phases"]):
        yield "sees_all_data, but there are exemplars"


def _phases(result: Result, config: RunConfig) -> Iterator[str]:
    """Class order, classes of each phase, numbers of samples and of steps."""
    data, order, phases = result["dataset"], result["class_order"], result["phases"]
    count = data["num_classes"]
    seed = config.class_order_seed if config.class_order is None else None
    yield from _differ("class_order.seed", order["seed"], seed)
    yield from _differ("class_order.name", order["name"], config.class_order)
    if order["order"] != class_order(count, seed, config.class_order):
        yield f"class_order.order is not that of {order_words(order)}"
    sizes = phase_sizes(count, config.phases, config.base_classes)
    yield from _differ("complete", result["complete"], len(phases) == len(sizes))
    start, exemplars, trained = 0, 0, 0
    for t, (phase, size) in enumerate(zip(phases, sizes, strict=False)):
        where = f"phases[{t}]"
        yield from _differ(f"{where}.index", phase["index"], t)
        yield from _differ(f"{where}.classes", phase["classes"], [*range(start, start + size)])
        yield from _differ(f"{where}.test", phase["test"], result["test_sizes"][t])
        start, trained = start + size, trained + phase["train"]
        samples = trained if result["sees_all_data"] else phase["train"] + exemplars
        steps = config.epochs * math.ceil(samples / config.batch_size)
        if phase["steps"]:  # none where nothing can be trained
            yield from _differ(f"{where}.steps", phase["steps"], steps)
        exemplars = phase["memory"]["exemplars"]
    if result["complete"]:
        yield from _differ("dataset.train", data["train"], trained)
        yield from _differ("dataset.test", data["test"], sum(result["test_sizes"]))


def _budget(result: Result, config: RunConfig) -> Iterator[str]:
    """The budget against the command, and each ledger's room against the budget."""
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
        asked = f"as {last_part(config.match_exemplars_of)} with memory {config.memory} in {config.currency}"
        budget = Budget(0, "exemplars", config.growth, 1.0)
    yield from _differ("budget.currency", said["currency"], budget.currency)
    yield from _differ("budget.growth", said["growth"], config.growth)
    yield from _differ("budget.memory", said["memory"], asked)
    yield from _differ("budget.unit", said["unit"], budget.unit)
    yield from _differ("budget.amount", said["amount"], amount)
    if amount is None:
        return  # the room of each class is what another run kept
    seen = 0
    for t, phase in enumerate(result["phases"]):
        seen += len(phase["classes"])
        rooms = [budget.allowance(label, t, seen) for label in range(seen)]
        where = f"phases[{t}].memory"
        yield from _differ(f"{where}.budget", phase["memory"]["budget"], math.fsum(rooms))
        for label, ledger in phase["memory"]["per_class"].items():
            yield from _differ(f"{where}.per_class.{label}.budget", ledger["budget"], rooms[0])


def _differ(name: str, said: Any, follows: Any) -> Iterator[str]:
    same = said == follows
    if isinstance(said, float) and isinstance(follows, (int, float)):
        same = math.isclose(said, follows, rel_tol=1e-9)
    if not same:
        yield f"{name} is {_few(said)}, but {_few(follows)} follows from the rest"


def _few(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
