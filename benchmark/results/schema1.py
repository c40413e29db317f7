"""Result files of schema 1 (version 724ec82): read as results of today, and what they say twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypedDict, cast

from benchmark import metrics
from benchmark.legacy import RATES, RECIPE, RENAMED_FIELDS, RENAMED_METHODS, RENAMED_SETTINGS
from benchmark.results.schema import (
    BackboneInfo,
    BudgetBase,
    ClassOrder,
    DatasetInfo,
    MemoryLedger,
    OutsideMemory,
    ReferenceRun,
    Result,
    ResultBase,
)
from mm_imagenet_r.hashes import json_sha256

_BOUNDS: Final = {"joint", "finetune"}
#: What a file of this schema does not tell, so what cannot be checked.
TOO_OLD: Final = (
    "hashes of predictions, exemplars and state, the harness's code, stages of training, "
    "the length of the state file"
)


class Accuracy1(TypedDict):
    """A row of the matrix."""

    per_phase: list[float]
    sample_weighted: float
    phase_weighted: float


class Phase1(TypedDict):
    """A phase."""

    index: int
    classes: list[int]
    train: int
    test: int
    steps: int
    seconds: dict[str, float]
    resumed: int
    accuracy: Accuracy1
    memory: MemoryLedger


class Outside1(OutsideMemory):
    """Of the last phase."""

    trainable_parameters: int


class Result1(TypedDict):
    """A whole file."""

    schema_version: int
    method: str
    preset: str | None
    method_settings: dict[str, Any]
    method_sha256: str
    sees_all_data: bool
    config: dict[str, Any]
    dataset: DatasetInfo
    class_order: ClassOrder
    phases: list[Phase1]
    accuracy_matrix: list[list[float]]
    test_sizes: list[int]
    metrics: dict[str, float | None]
    budget: BudgetBase
    like: ReferenceRun | None
    outside_memory: Outside1
    backbone: BackboneInfo
    seed: int
    hardware: dict[str, Any]
    versions: dict[str, str]
    complete: bool


def convert(old: Result1) -> tuple[ResultBase, list[dict[str, Any]]]:
    """The parts of a file of schema 1 in today's names and places.

    Returns:
        Everything but the phases, and the phases.

    Raises:
        ValueError: The configuration lacks what every one of that version has.
    """
    config, like = convert_config(old["config"]), old["like"]
    if like is not None:
        like = cast(ReferenceRun, {**like, "method": _method(like["method"])})
        like["method_settings"] = _settings(like["method_settings"])
    budget = old["budget"]
    if budget["memory"].startswith("as "):
        name, _, rest = budget["memory"].removeprefix("as ").partition(" with ")
        budget = {**budget, "memory": f"as {_method(name)} with {rest}"}
    kept = {
        key: cast(Any, old)[key]
        for key in (
            "schema_version", "method_sha256", "sees_all_data", "dataset", "class_order",
            "backbone", "hardware", "versions", "complete",
        )
    }  # fmt: skip
    bound = old["sees_all_data"] or old["method"] in _BOUNDS
    found: dict[str, Any] = {
        **kept,
        "kind": "bound" if bound else "replay",
        "shares_allowance": False,
        "about": {},
        "config": config,
        "from_recipe": [name for name in RECIPE if old["config"].get(name) == RECIPE[name]],
        "method_settings": _settings(old["method_settings"]),
        "harness_sha256": "",
        "files": {},
        "classifier": "",
        "budget": {**budget, "sample_bytes": None},
        "match_exemplars_of": like,
    }
    return cast(ResultBase, found), _phases(old)


def convert_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of that version in today's names, its learning rate resolved."""
    found = {RENAMED_FIELDS.get(key, key): value for key, value in config.items()}
    if isinstance(names := found.get("method"), list):
        found["method"] = [_method(name) for name in names]
    if isinstance(name := found.get("match_exemplars_of"), str):
        found["match_exemplars_of"] = _method(name)
    if isinstance(items := found.get("set"), list):
        found["set"] = [_item(item) for item in items]
    if found.get("learning_rate") is None:
        found["learning_rate"] = RATES.get(str(found.get("tuning")))
    return found


def repetitions(old: Result1, result: Result) -> Iterator[str]:
    """Say where a file of schema 1 says one thing twice and differently."""
    name, _, preset = str(old["config"]["method"][0]).rpartition("/")[2].partition("@")
    yield from _differ("method", old["method"], name)
    yield from _differ("preset", old["preset"], preset or None)
    yield from _differ("seed", [old["seed"]], old["config"]["seeds"])
    yield from _differ("test_sizes", old["test_sizes"], result["test_sizes"])
    yield from _differ("accuracy_matrix", old["accuracy_matrix"], result["accuracy_matrix"])
    outside = old["outside_memory"]
    yield from _differ("outside_memory.bytes", outside["bytes"], sum(outside["what"].values()))
    for t, (one, other) in enumerate(zip(old["phases"], result["phases"], strict=True)):
        for key in ("sample_weighted", "phase_weighted"):
            said, follows = cast(Any, one["accuracy"])[key], cast(Any, other["accuracy"])[key]
            yield from _differ(f"{key} after phase {t}", said, follows)
    for key in metrics.METRICS:
        if key in old["metrics"]:  # a later version may know more metrics
            yield from _differ(f"metrics.{key}", old["metrics"][key], result["metrics"][key])
    if old["like"] is not None and isinstance(config := old["config"], dict):
        like = config.get("like")
        own = [
            item.partition(".")[2]
            for item in config.get("set", ())
            if item.partition(".")[0] in (like, str(like).partition("@")[0])
        ]
        reference = {**config, "method": [like], "like": None, "set": own}
        yield from _differ("like.fingerprint", old["like"]["fingerprint"], json_sha256(reference))


def _phases(old: Result1) -> list[dict[str, Any]]:
    """The phases; that version had one stage, on new samples and exemplars alike."""
    found: list[dict[str, Any]] = []
    exemplars, trained, epochs = 0, 0, old["config"].get("epochs")
    if type(epochs) is not int:
        raise ValueError("config.epochs is not an integer")
    for phase in old["phases"]:
        trained += phase["train"]
        items = trained if old["sees_all_data"] else phase["train"] + exemplars
        exemplars = phase["memory"]["exemplars"]
        stage = {"name": "train", "items": items, "epochs": epochs, "steps": phase["steps"]}
        extra: dict[str, Any] = {
            "stages": [stage],
            "loss": [],
            "other_classifiers": {},
            "invariance": None,
            "outside_memory": None,
            "trainable_parameters": None,
        }
        found.append({**phase, **extra})
    if found:
        outside = old["outside_memory"]
        found[-1]["outside_memory"] = {"bytes": outside["bytes"], "what": outside["what"]}
        found[-1]["trainable_parameters"] = outside["trainable_parameters"]
    return found


def _method(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    address, at, preset = name.partition("@")
    return RENAMED_METHODS.get(address, address) + at + preset


def _item(item: Any) -> Any:
    if not isinstance(item, str):
        return item
    name, equals, value = item.partition("=")
    owner, dot, key = name.rpartition(".")
    return f"{_method(owner)}{dot}{RENAMED_SETTINGS.get(key, key)}{equals}{value}"


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED_SETTINGS.get(key, key): value for key, value in values.items()}


def _differ(name: str, said: Any, follows: Any) -> Iterator[str]:
    if not _same(said, follows):
        yield f"{name} is {said}, but {follows} follows from the rest"


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
    return bool(one == other)
