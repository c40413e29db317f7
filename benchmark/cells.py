"""The cells of a grid with their settings in one way of writing, so that equal runs are one run.

`--set text_swap_prob=0.50`, `--set text_swap_prob=.5` and, where that is the default, no `--set` at all mean the same
experiment; a folder and a row of a table belong to what is meant.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmark.config import RunConfig
from benchmark.find_method import find, make_settings


def cells(config: RunConfig) -> list[RunConfig]:
    """One configuration per method and seed whose `set` holds only what differs from the default.

    Raises:
        UserError: An unknown method or setting, or a value that does not convert.
    """
    return [_in_one_writing(cell) for cell in config.cells()]


def as_text(value: Any) -> str:
    """A setting's value as it is written after `key=`; `options.convert` reads it back.

    >>> [as_text(value) for value in (True, None, 1.0, 0.25, 1e-4, 3, "webp", ("a",))]
    ['true', 'none', '1', '0.25', '0.0001', '3', 'webp', 'a']
    """
    if isinstance(value, (tuple, list)):
        return " ".join(map(as_text, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _in_one_writing(cell: RunConfig) -> RunConfig:
    (name,), like = cell.method, cell.match_exemplars_of
    own = _changed(name, cell.settings_of(name))
    if like is None:
        return dataclasses.replace(cell, set=tuple(own))
    (model_set,) = (cell.reference_run().set,)
    given = dict(item.split("=", 1) for item in model_set)
    return dataclasses.replace(
        cell, set=(*own, *(f"{like}.{item}" for item in _changed(like, given)))
    )


def _changed(name: str, given: dict[str, str]) -> list[str]:
    """The settings in which a method differs from what its name alone stands for."""
    method, preset = find(name)
    chosen, default = (make_settings(method, preset, some, name) for some in (given, {}))
    return [
        f"{key}={as_text(getattr(chosen, key))}"
        for key in sorted(spec.name for spec in dataclasses.fields(chosen))
        if getattr(chosen, key) != getattr(default, key)
    ]
