"""What version 724ec82 (result files of schema 1) called things, so that its runs are found again.

Nothing here follows later versions: fields, defaults and names are frozen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmark.config import Recipe, RunConfig, names_of
from benchmark.paths import last_part, safe_name
from benchmark.registry import RENAMED_PRESETS
from mm_imagenet_r.hashes import json_sha256

#: Every field of that version that could change a result, and its default.
FIELDS: Final[Mapping[str, Any]] = {
    "method": ["exemplar_masking"], "set": [], "seeds": [0], "dataset": "mini", "data_dir": None,
    "split_name": None, "partial": False, "captions": None, "image_column": None,
    "caption_column": None, "label_column": None, "bad_images": "error", "test_fraction": 0.2,
    "split_seed": 0, "evaluate_on": "test", "phases": 10, "base_classes": None,
    "class_order_seed": 1993, "class_order": None, "memory": "5", "growth": "per-class",
    "currency": "bytes", "like": None, "backbone": "tiny", "tuning": "ssf",
    "max_text_length": None, "epochs": 4, "batch_size": 32, "micro_batches": 2,
    "learning_rate": None, "weight_decay": 0.01, "precision": "no",
}  # fmt: skip
#: Names of its fields, methods and settings that changed afterwards.
RENAMED_FIELDS: Final = {"like": "match_exemplars_of"}
RENAMED_METHODS: Final = {"ssf": "replay"}
RENAMED_SETTINGS: Final = {"swap": "text_swap_prob", "masked_training": "mask_prob"}
#: What a field said then, and up to schema 2, -> what it is called today.
RENAMED_VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "dataset": {"mini": "mini-1"},
    "backbone": {"tiny": "tiny-1"},
}
#: Its learning rate where none was given, by what was trained.
RATES: Final[Mapping[str, float]] = {"ssf": 1e-2, "head": 1e-2, "full": 1e-3}
#: Its registered methods; a newer one has no run of that version.
METHODS: Final = {"exemplar_masking", "ssf", "random_patches", "finetune", "joint"}


def legacy_configs(cell: RunConfig, recipe: Recipe) -> list[dict[str, Any]]:
    """The `config`s that 724ec82 may have written for the same experiment.

    There are two where the learning rate is the default one: it could be left out or given.

    Args:
        cell: As `benchmark.cells.cells` writes it.
        recipe: Its own, resolved.

    Returns:
        None at all where the configuration uses something which that version did not have.
    """
    known = {RENAMED_FIELDS.get(name, name): name for name in FIELDS}
    default = RunConfig().identity()
    found = dict(FIELDS)
    if any(getattr(cell, key) in values for key, values in RENAMED_VALUES.items()):
        return []  # that name meant another edition then
    for name, value in cell.identity().items():
        if name in known:
            found[known[name]] = value
        elif value != default[name]:
            return []
    names = [_former_method(name) for name in cell.method]
    like = cell.match_exemplars_of and _former_method(cell.match_exemplars_of)
    addresses = [name.partition("@")[0] for name in (*names, like) if name]
    if any(":" not in address and address not in METHODS for address in addresses):
        return []
    former = {key: {new: old for old, new in v.items()} for key, v in RENAMED_VALUES.items()}
    found |= {key: names.get(found[key], found[key]) for key, names in former.items()}
    found |= dataclasses.asdict(recipe)
    found |= {"method": names, "like": like, "set": _former_settings(cell)}
    if recipe.learning_rate == RATES[recipe.tuning]:
        return [found | {"learning_rate": None}, found]
    return [found]


def legacy_folders(cell: RunConfig, recipe: Recipe) -> list[Path]:
    """The folders in which 724ec82 may have put the same experiment."""
    folders = []
    for config in legacy_configs(cell, recipe):
        like = f"-like-{config['like']}" if config["like"] else ""
        budget = safe_name(f"{cell.memory}-{cell.currency}{like}")
        setting = f"{safe_name(last_part(config['dataset']))}-{cell.phases}phases-{budget}"
        method = safe_name(last_part(config["method"][0]).replace(".py:", "-").replace(":", "-"))
        name = f"seed{cell.seeds[0]}-{json_sha256(config)[:8]}"
        folders.append(cell.output / setting / method / name)
    return folders


def _former_method(name: str) -> str:
    presets = {today: old for old, today in RENAMED_PRESETS.items()}
    address, at, preset = presets.get(name, name).partition("@")
    former = {today: old for old, today in RENAMED_METHODS.items()}
    return former.get(address, address) + at + preset


def _former_settings(cell: RunConfig) -> list[str]:
    """The `set` of a cell in former names, in that version's order."""
    former = {today: old for old, today in RENAMED_SETTINGS.items()}
    own = cell.settings_of(cell.method[0])
    found = sorted(f"{former.get(key, key)}={value}" for key, value in own.items())
    for item in cell.set:
        name, _, value = item.partition("=")
        owner, _, key = name.rpartition(".")
        if owner and owner not in names_of(cell.method[0]):
            found.append(f"{_former_method(owner)}.{former.get(key, key)}={value}")
    return found
