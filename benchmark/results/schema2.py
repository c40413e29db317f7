"""Result files up to schema 2 in today's names.

`mini` and `tiny` were then the first edition of the embedded data and backbone; epochs counted
passes over everything trained on, and stand in every stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.option_names import method_name
from benchmark.legacy import RENAMED_VALUES
from benchmark.registry import RENAMED_PRESETS


def convert(value: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a file in today's names; a file of another schema comes as today's already.

    Args:
        value: Of the right shape.
    """
    found = {**value, "config": rename_values(value["config"])}
    found["from_recipe"] = [name for name in value["from_recipe"] if name != "epochs"]
    for key, names in RENAMED_VALUES.items():
        part = value[key]
        found[key] = {**part, "name": names.get(part["name"], part["name"])}
    if reference := value["match_exemplars_of"]:
        said = reference["method"]
        name = RENAMED_PRESETS.get(said, said)
        words = value["budget"]["memory"].replace(f"as {said} with", f"as {name} with")
        found["match_exemplars_of"] = {**reference, "method": name}
        found["budget"] = {**value["budget"], "memory": words}
    return found


def rename_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with today's names of methods, data set and backbone.

    >>> rename_values({"dataset": "mini", "backbone": "my/vilt"})
    {'dataset': 'mini-1', 'backbone': 'my/vilt'}
    """
    found = dict(config)
    if isinstance(methods := found.get("method"), list):
        found["method"] = [method_name(m) if isinstance(m, str) else m for m in methods]
    for key, names in RENAMED_VALUES.items():
        if isinstance(value := found.get(key), str):
            found[key] = names.get(value, value)
    if found.get("epochs", 0) is None:  # they had no effect on the method
        del found["epochs"]
    return found
