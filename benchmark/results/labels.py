"""What tells the rows of a table apart, and the names of rows and tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmark.config import RunConfig
from benchmark.formatting import method_title, order_words, result_phases_words
from benchmark.results.derive import classifiers
from benchmark.results.schema import BudgetInfo, Result
from benchmark.same_code import oldest
from mm_imagenet_r.errors import pluralize
from mm_imagenet_r.hashes import json_sha256

# Fields of a configuration that other keys of a result hold more exactly (with hashes), or that
# name a seed; like the fields that cannot change results they do not tell two rows apart.
_SAID_ELSEWHERE = {
    "method", "set", "seeds", "dataset", "data_dir", "split_name", "partial", "captions",
    "image_column", "caption_column", "label_column", "phases", "base_classes",
    "class_order_seed", "class_order", "memory", "growth", "currency", "backbone", "evaluate_on",
    "stop_after", "recipe", "tuned_by",
}  # fmt: skip
_LENGTH = {"epochs", "steps", "batch_size"}  # said of the scenario
_DEFAULTS = RunConfig().identity()
_CODE = "code sha256"  # no setting can be called so
_NO_EFFECT = {spec.name for spec in dataclasses.fields(RunConfig)} - _DEFAULTS.keys()


class Key(NamedTuple):
    """Where a run stands: runs with equal keys differ in seed and class order at most.

    `scenario` is a hash of data, split, phases, training steps and backbone (not of the data's name
    nor of the class order); `memory` one of budget, currency and growth, "" for a method that keeps
    no exemplars; `identity` one of everything else that may change its figures.
    """

    scenario: str
    memory: str
    method: str
    identity: str


def key_of(result: Result) -> Key:
    """Where a run stands."""
    memory = "" if keeps_nothing(result) else memory_key(result["budget"])
    return Key(_scenario(result), memory, result["method"], _hash(identity_of(result)))


def memory_key(budget: BudgetInfo) -> str:
    """Hash of what may be kept, how it is counted and how it grows."""
    parts = [budget["currency"], budget["growth"], budget["amount"], budget["unit"]]
    return _hash([*parts, budget["amount"] is None and budget["memory"]])


def keeps_nothing(result: Result) -> bool:
    """Whether the run does not depend on the memory."""
    return result["kind"] != "replay"


def heading(result: Result, orders: Sequence[str]) -> str:
    """What all rows of some tables have in common, in words; `orders` are their class orders."""
    data = result["dataset"]
    words = f"{data['name']}, {result_phases_words(result)}"
    one = f"class order {orders[0]}"
    words += f", {one if len(orders) == 1 else pluralize(len(orders), 'class order')}"
    words += f", {length_words(result)}, backbone {result['backbone']['name']}"
    if data["captions"] not in ("", *data["name"].split(":")):
        words += f", captions {data['captions']}"
    if data["split"] not in ("as given", data["name"]):
        words += f", split {data['split']}"
    if data["left_out"]:
        words += f", {pluralize(data['left_out'], 'image')} left out"
    evaluated = evaluated_on(result)
    return words if evaluated == "test" else f"{words}, evaluated on {evaluated}"


def length_words(result: Result) -> str:
    """How long each phase is trained, which is a part of the scenario."""
    length = _length(result)
    if not length:
        return "steps as each method takes"
    (name, number), (_, batch) = length.items()
    words = f"{pluralize(number, name.removesuffix('s'))} per phase"
    return words + (f" in batches of {batch}" if batch != _DEFAULTS["batch_size"] else "")


def tuned_words(result: Result) -> str:
    """By which recipe the run's settings were chosen, of how many trials; "" if by none."""
    tuning = result.get("tuning")
    if tuning is None:
        return ""
    but = f" except {', '.join(tuning['overridden'])}" if tuning["overridden"] else ""
    return f"{tuning['recipe']} ({tuning['trials']}){but}"


def order_name(result: Result) -> str:
    """The run's class order in a word or its seed."""
    return order_words(result["class_order"]).removeprefix("seed ")


def labels(rows: Mapping[Key, Result]) -> dict[Key, str]:
    """Name each row: method and preset, and the settings that tell namesakes in one table apart.

    A setting that differs only between tables is left out (each memory may have been tuned for),
    or only between a tuned row and an untuned one (which is said). How runs were asked to be
    trained is stated for all rows of a scenario where it differs between two of a table.
    """
    own = {key: identity_of(result) for key, result in rows.items()}
    tuned = {key: tuned_words(result) for key, result in rows.items()}
    asked = {key: _asked(result) for key, result in rows.items() if not tuned[key]}
    names = {key: row_name(result) for key, result in rows.items()}
    of_all = {scenario: _differing(asked, _within(asked, scenario)) for scenario, *_ in rows}
    found: dict[Key, str] = {}
    for key in rows:
        namesakes = [
            other
            for other in _within(rows, key.scenario)
            if other.method == key.method and names[other] == names[key]
        ]
        shown = _differing(own, [other for other in namesakes if tuned[other] == tuned[key]])
        shown |= of_all[key.scenario] & asked.get(key, {}).keys()
        extra = [f"{k}={v}" for k, v in own[key].items() if k in shown and v is not None]
        beside = {
            tuned[other]
            for other in namesakes
            if "" in (key.memory, other.memory) or other.memory == key.memory
        } - {tuned[key]}
        if beside and not tuned[key]:
            extra = ["not tuned", *extra]
        elif beside - {""}:
            extra = [f"recipe {tuned[key]}", *extra]
        found[key] = f"{names[key]} ({', '.join(extra)})" if extra else names[key]
    return found


def row_name(result: Result) -> str:
    """Method and preset, before settings tell namesakes apart."""
    return method_title(result) + (f" @{result['preset']}" if result["preset"] else "")


def _within(keys: Iterable[Key], scenario: str) -> list[Key]:
    return [key for key in keys if key.scenario == scenario]


def _differing(values: Mapping[Key, Mapping[str, Any]], keys: Sequence[Key]) -> set[str]:
    """Names of what differs between two rows that stand in one table."""
    found: set[str] = set()
    for memory in {key.memory for key in keys}:
        table = [values[key] for key in keys if key.memory in ("", memory)]
        names = {name for row in table for name in row}
        found |= {n for n in names if any(row.get(n) != table[0].get(n) for row in table)}
    return found


def _scenario(result: Result) -> str:
    data = result["dataset"]
    parts = [data["data_sha256"], data["split_sha256"], evaluated_on(result)]
    parts.append(result["backbone"]["sha256"] or result["backbone"]["name"])
    if result["config"].get("stop_after"):  # the first phases of a run compare with no whole run
        parts.append(f"{len(result['phases'])} of {result['config']['phases']} phases")
    return _hash([*parts, _length(result), [len(phase["classes"]) for phase in result["phases"]]])


def _length(result: Result) -> dict[str, Any]:
    """What decides how many steps each phase has; up to schema 2 that was each method's own."""
    if result["schema_version"] < 3:
        return {}
    config = {**_DEFAULTS, **result["config"]}
    name = "epochs" if config["steps"] is None else "steps"
    return {name: config[name], "batch_size": config["batch_size"]}


def evaluated_on(result: Result) -> str:
    """Which part of the data the accuracies are of."""
    return str(result["config"].get("evaluate_on", "test"))


def _training(result: Result) -> dict[str, Any]:
    hidden = _SAID_ELSEWHERE | _NO_EFFECT | (_LENGTH if _length(result) else set())
    config = {**_DEFAULTS, **result["config"]}  # a result may be older than an option
    return {key: value for key, value in config.items() if key not in hidden}


def _asked(result: Result) -> dict[str, Any]:
    """How a run was asked to be trained: without what was left to the method's recipe."""
    left = result["from_recipe"]
    return {key: value for key, value in _training(result).items() if key not in left}


def identity_of(result: Result) -> dict[str, Any]:
    """What makes a method's row besides its name: settings, training, code, classifiers."""
    own = _training(result) | result["method_settings"]
    own |= {_CODE: oldest(result["method_sha256"])[:8]}
    own |= {f"classifier {name}": True for name in classifiers(result)[1:]}
    if result["classifier"] != own.get("classifier", ""):
        own["own classifier"] = result["classifier"]
    if reference := result["match_exemplars_of"]:
        copied = {**reference["method_settings"], _CODE: oldest(reference["method_sha256"])[:8]}
        own |= {f"{reference['method']}.{key}": value for key, value in copied.items()}
    return own


def _hash(value: Any) -> str:
    return json_sha256(value)[:12]
