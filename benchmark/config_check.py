"""What of a configuration is wrong whatever the data are."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.option_names import DEFAULT_SEED, dashed, names_of
from benchmark.paths import safe_name
from mm_imagenet_r.errors import UserError, did_you_mean, few
from mm_imagenet_r.folders import expanded
from mm_imagenet_r.orders import named_order

if TYPE_CHECKING:
    from benchmark.config import RunConfig

_LEAST = {
    **dict.fromkeys(("phases", "stop_after", "batch_size", "micro_batches", "jobs", "threads"), 1),
    **dict.fromkeys(("epochs", "steps", "weight_decay", "split_seed", "workers"), 0),
    "checkpoint_seconds": 0,
    "max_text_length": 2,
}


#: More than any machine or run has: larger numbers would overflow, or never come to an end.
_MOST = {
    **dict.fromkeys(("jobs", "threads", "workers"), 2**12),
    **dict.fromkeys(("batch_size", "micro_batches"), 2**16),
    **dict.fromkeys(("epochs", "steps", "checkpoint_seconds"), 10**9),
}
#: Options that may name a file or folder.
_PATHS = {
    "method", "dataset", "data_dir", "captions", "backbone", "output", "recipe", "recipes",
    "tuned_by",
}  # fmt: skip


def check_texts(config: RunConfig) -> None:
    """Raise UserError for texts that no system takes as the name of a file, or as text at all."""
    for spec in dataclasses.fields(config):
        value = getattr(config, spec.name)
        for text in value if isinstance(value, tuple) else (value,):
            if not isinstance(text, (str, Path)):
                continue
            data = str(text).encode(errors="replace")
            if "\0" in str(text) or data.decode() != str(text):
                wrong = "is not plain text: write it in UTF-8"
            elif spec.name in _PATHS and max(len(data) / 16, *map(len, data.split(b"/"))) > 255:
                wrong = "is longer than the name of a file can be: shorten it"
            elif spec.name in _PATHS and str(text)[:1] == "~" == str(expanded(text))[:1]:
                wrong = "begins with the name of a user that there is not: write the whole path"
            else:
                continue
            raise UserError(f"--{dashed(spec.name)} {few(repr(str(text)))} {wrong}")


def check(config: RunConfig) -> None:
    """Raise UserError for values that no run can have and options that contradict each other."""
    for spec in dataclasses.fields(config):
        choices = spec.metadata.get("choices")
        value = getattr(config, spec.name)
        if choices and value is not None and value not in choices:
            raise UserError(f"--{dashed(spec.name)} {value}: {did_you_mean(str(value), choices)}")
    for name in ("method", "seeds"):
        values = getattr(config, name)
        if not values:
            raise UserError(f"--{name} needs at least one value")
        if len(set(values)) < len(values):
            raise UserError(f"--{name} {' '.join(map(str, values))}: give each one once")
    for name, smallest in _LEAST.items():
        value = getattr(config, name)
        if value is not None and not smallest <= value < math.inf:
            raise UserError(f"--{dashed(name)} must be at least {smallest}, not {value}")
    for name, largest in _MOST.items():
        if (getattr(config, name) or 0) > largest:
            raise UserError(f"--{dashed(name)} can be at most {largest:,}: give less")
    if config.stop_after is not None and config.stop_after > config.phases:
        raise UserError(
            f"--stop-after {config.stop_after}: there are {config.phases} phases; leave the option "
            "out for all of them"
        )
    if config.steps is not None and config.epochs != type(config).epochs:
        raise UserError(f"--epochs {config.epochs} and --steps {config.steps}: give one of them")
    if min(config.seeds) < 0:
        raise UserError(f"--seeds cannot be negative: {min(config.seeds)}")
    if config.learning_rate is not None and not 0 < config.learning_rate < math.inf:
        raise UserError(f"--learning-rate must be positive, not {config.learning_rate}")
    if not 0 < config.test_fraction < 1:
        raise UserError(f"--test-fraction lies between 0 and 1, not {config.test_fraction}")
    if config.recipe is not None:
        if safe_name(config.recipe) != config.recipe or config.recipe.startswith("."):
            raise UserError(f"--recipe {config.recipe}: give a plain name, such as 'mine'")
        if config.match_exemplars_of is not None:
            raise UserError(
                f"--recipe {config.recipe} and --match-exemplars-of {config.match_exemplars_of}: "
                "one recipe would have to hold for two runs; give the settings themselves"
            )
    if config.class_order is not None:
        _check_order(config.class_order, config.class_order_seed, config.dataset)
    first: dict[tuple[str, str], str] = {}
    for (owner, key, _), item in zip(config.set_items(), config.set, strict=True):
        if other := first.get((owner, key)):
            raise UserError(
                f"--set {other} {item}: a run has one value of each setting; for runs with "
                f'each of them, write set = [["{other}"], ["{item}"]] into the --config file '
                "of python -m benchmark.sweep"
            )
        first[owner, key] = item
        if owner and owner not in names_of(*config.method, config.match_exemplars_of):
            raise UserError(
                f"--set {owner}.{key}: {owner} is not among the methods that run: "
                + did_you_mean(owner, config.method)
            )


def _check_order(name: str, seed: int | None, dataset: str) -> None:
    """Refuse a published order that is meant for other data, or given in two ways."""
    rule, _, number = name.partition(":")
    if rule in ("pilot", "natural"):
        same = "none" if rule == "natural" else number or DEFAULT_SEED
        raise UserError(f"--class-order {name} is --class-order-seed {same}: give that")
    if not dataset.startswith("mm_imagenet_r:"):
        raise UserError(
            f"--class-order {name} is for --dataset mm_imagenet_r only: give --class-order-seed"
        )
    if seed != DEFAULT_SEED:
        raise UserError(
            f"--class-order {name} and --class-order-seed {seed} are two orders: give one of them"
        )
    named_order(name)
