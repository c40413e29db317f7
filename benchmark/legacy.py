"""What earlier versions called things. Nothing here follows later versions: names are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Names of fields, methods and settings in version 724ec82 (result files of schema 1).
RENAMED_FIELDS: Final = {"like": "match_exemplars_of"}
RENAMED_SETTINGS: Final = {"swap": "text_swap_prob", "masked_training": "mask_prob"}
#: What a field said up to schema 2 -> what it is called today.
RENAMED_VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "dataset": {"mini": "mini-1"},
    "backbone": {"tiny": "tiny-1"},
}
#: How 724ec82 trained where nothing was given; its learning rate by what was trained.
RECIPE: Final[Mapping[str, Any]] = {"tuning": "ssf", "learning_rate": None, "weight_decay": 0.01}
RATES: Final[Mapping[str, float]] = {"ssf": 1e-2, "head": 1e-2, "full": 1e-3}
