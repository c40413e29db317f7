"""Result files up to schema 2 in today's names.

`mini` and `tiny` were then the first edition of the embedded data and backbone; epochs counted
passes over everything trained on, and stand in every stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.config import method_name
from benchmark.legacy import RENAMED_VALUES


def convert(value: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a file in today's names; a file of another schema comes as today's already.

    Args:
        value: Of the right shape.
    """
    config = rename_values(value["config"])
    found = {**value, "config": config}
    found["from_recipe"] = [name for name in value["from_recipe"] if name != "epochs"]
    for key, names in RENAMED_VALUES.items():
        part = value[key]
        found[key] = {**part, "name": names.get(part["name"], part["name"])}
    return found


def rename_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with today's names of data set and backbone.

    >>> rename_values({"dataset": "mini", "backbone": "my/vilt"})
    {'dataset': 'mini-1', 'backbone': 'my/vilt'}
    """
    found = dict(config)
    if isinstance(methods := found.get("method"), list):
        found["method"] = [method_name(m) if isinstance(m, str) else m for m in methods]
    for key, names in RENAMED_VALUES.items():
        if isinstance(value := found.get(key), str):
            found[key] = names.get(value, value)
    return found
