"""Result files of schema 1 and 2 in today's names and places.

Until then `mini` and `tiny` were the first edition of data and backbone, and epochs counted passes
over everything trained on. Schema 1 also repeats itself, which `repetitions` compares.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchmark.legacy import RATES, RECIPE, RENAMED_FIELDS, RENAMED_SETTINGS, RENAMED_VALUES
from benchmark.metrics import METRICS
from benchmark.option_names import method_name
from benchmark.results.schema import OutsideMemory, PhaseBase, Result, ResultBase, RowAccuracy
from mm_imagenet_r.hashes import json_sha256

#: What a file of schema 1 does not hold, so that it cannot be checked.
TOO_OLD: Final = (
    "hashes of predictions, exemplars and state, the harness's code, stages of training, "
    "the length of the state file"
)
_NEVER_TRAINED: Final = {"joint", "finetune"}


class Phase1(PhaseBase):
    """A phase of schema 1; what is carried on was known of the last one alone."""

    accuracy: RowAccuracy
    other_classifiers: dict[str, RowAccuracy]
    outside_memory: OutsideMemory | None
    trainable_parameters: int | None


class Result1(ResultBase):
    """A file of schema 1 after `modernize`."""

    phases: list[Phase1]


def modernize(old: Mapping[str, Any]) -> dict[str, Any]:
    """A file of schema 1 or 2 as one of today, but for `schema_version` and what it lacks.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: It is not what these versions wrote.
    """
    found = _from_schema1(old) if old["schema_version"] == 1 else dict(old)
    config = dict(found["config"])
    config["method"] = [_today(name) for name in config["method"]]
    if config.get("match_exemplars_of") is not None:
        config["match_exemplars_of"] = _today(config["match_exemplars_of"])
    if config.get("epochs", 0) is None:  # they had no effect on the method
        del config["epochs"]
    for key, names in RENAMED_VALUES.items():
        if key in config:
            config[key] = names.get(config[key], config[key])
        found[key] = {**found[key], "name": names.get(found[key]["name"], found[key]["name"])}
    found["config"] = config
    found["from_recipe"] = [name for name in found["from_recipe"] if name != "epochs"]
    if reference := found["match_exemplars_of"]:
        name, _, rest = found["budget"]["memory"].removeprefix("as ").partition(" with ")
        found["match_exemplars_of"] = {**reference, "method": _today(reference["method"])}
        found["budget"] = {**found["budget"], "memory": f"as {_today(name)} with {rest}"}
    return found


def _from_schema1(old: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a file of schema 1 in the places that schema 2 has for them."""
    kept = (
        "schema_version", "method_sha256", "sees_all_data", "dataset", "class_order", "backbone",
        "hardware", "versions", "complete",
    )  # fmt: skip
    config = {RENAMED_FIELDS.get(key, key): value for key, value in old["config"].items()}
    config["set"] = [_item(item) for item in config["set"]]
    if config["learning_rate"] is None:
        config["learning_rate"] = RATES.get(config["tuning"])
    if reference := old["like"]:
        reference = {**reference, "method_settings": _settings(reference["method_settings"])}
    bound = old["sees_all_data"] or old["method"] in _NEVER_TRAINED
    outside, stages = dict(old["outside_memory"]), []
    parameters, exemplars, trained = outside.pop("trainable_parameters"), 0, 0
    for phase in old["phases"]:  # one stage, on new samples and exemplars alike
        trained += phase["train"]
        items = trained if old["sees_all_data"] else phase["train"] + exemplars
        exemplars = phase["memory"]["exemplars"]
        epochs, steps = config["epochs"], phase["steps"]
        stages.append([{"name": "train", "items": items, "epochs": epochs, "steps": steps}])
    last = len(stages) - 1
    return {
        **{key: old[key] for key in kept},
        "metrics": dict(old["metrics"]),
        "kind": "bound" if bound else "replay",
        "shares_allowance": False,
        "about": {},
        "config": config,
        "from_recipe": [name for name in RECIPE if old["config"].get(name) == RECIPE[name]],
        "method_settings": _settings(old["method_settings"]),
        "harness_sha256": "",
        "files": {},
        "classifier": "",
        "budget": {**old["budget"], "sample_bytes": None},
        "match_exemplars_of": reference,
        "phases": [
            {
                **phase,
                "stages": stages[t],
                "loss": [],
                "other_classifiers": {},
                "invariance": None,
                "outside_memory": outside if t == last else None,
                "trainable_parameters": parameters if t == last else None,
            }
            for t, phase in enumerate(old["phases"])
        ],
    }


def repetitions(old: Mapping[str, Any], result: Result) -> Iterator[str]:
    """Say where a file of schema 1 says one thing twice and differently."""
    config, outside = old["config"], old["outside_memory"]
    name, _, preset = str(config["method"][0]).rpartition("/")[2].partition("@")
    pairs = {
        "method": (old.get("method"), name),
        "preset": (old.get("preset"), preset or None),
        "outside_memory.bytes": (outside["bytes"], sum(outside["what"].values())),
        **{key: (old.get(key), result[key]) for key in ("seed", "test_sizes", "accuracy_matrix")},
    }
    for t, phase in enumerate(result["phases"]):
        said = old["phases"][t]["accuracy"]
        for key in ("sample_weighted", "phase_weighted"):
            pairs[f"{key} after phase {t}"] = (said.get(key), phase["accuracy"][key])
    for key in METRICS:
        if key in old["metrics"]:  # a later version may know more metrics
            pairs[f"metrics.{key}"] = (old["metrics"][key], result["metrics"][key])
    if old["like"]:
        like = config.get("like")
        owners = (like, str(like).partition("@")[0])
        items = [item.partition(".") for item in config["set"]]
        own = [rest for owner, _, rest in items if owner in owners]
        reference = {**config, "method": [like], "like": None, "set": own}
        pairs["like.fingerprint"] = (old["like"]["fingerprint"], json_sha256(reference))
    for key, (one, other) in pairs.items():
        if not _same(one, other):
            yield f"{key} is {one}, but {other} follows from the rest"


def _today(name: str) -> str:
    return name if ".py:" in name else method_name(name)


def _item(item: str) -> str:
    name, equals, value = item.partition("=")
    owner, dot, key = name.rpartition(".")
    return f"{_today(owner)}{dot}{RENAMED_SETTINGS.get(key, key)}{equals}{value}"


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED_SETTINGS.get(key, key): value for key, value in values.items()}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
    return bool(one == other)
