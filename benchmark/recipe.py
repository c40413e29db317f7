"""How a method is trained: defaults of the project, those of the method, and what was given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mm_imagenet_r.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from benchmark.config import RunConfig
    from benchmark.method import Method

#: Goes up whenever a default below or in `benchmark.config.RunConfig` changes; every fingerprint
#: changes with it.
DEFAULTS_VERSION = 3
#: What holds where neither the user nor the method's recipe says otherwise.
DEFAULTS: Mapping[str, Any] = {"tuning": "ssf", "weight_decay": 0.01}
LEARNING_RATES: Mapping[str, float] = {"ssf": 1e-2, "head": 1e-2, "full": 1e-3}


@dataclass(frozen=True)
class Recipe:
    """How a method is trained, after its own defaults and those of the project."""

    tuning: str
    learning_rate: float
    weight_decay: float


#: Options whose default depends on the method.
RECIPE = tuple(spec.name for spec in dataclasses.fields(Recipe))


def resolve_recipe(config: RunConfig, method: type[Method]) -> Recipe:
    """What was given, else the method's recipe, else the project's defaults.

    Raises:
        UserError: The method's `recipe` has other keys than these three, or an unknown tuning.
    """
    if wrong := sorted(set(method.recipe) - set(RECIPE)):
        raise UserError(
            f"{method.__name__}.recipe has {', '.join(map(repr, wrong))}; it may hold "
            f"{', '.join(RECIPE)}"
        )
    if (tuning := method.recipe.get("tuning", "ssf")) not in LEARNING_RATES:
        known = did_you_mean(str(tuning), LEARNING_RATES)
        raise UserError(f"{method.__name__}.recipe has tuning {tuning!r}: {known}")
    chosen = dict(DEFAULTS) | dict(method.recipe)
    given = {name: value for name in RECIPE if (value := getattr(config, name)) is not None}
    chosen |= given
    rate = chosen.get("learning_rate")
    chosen["learning_rate"] = LEARNING_RATES[chosen["tuning"]] if rate is None else rate
    return Recipe(**chosen)
