"""The cells of a grid with their options in one way of writing, so that equal runs are one run.

`--set text_swap_prob=0.50` is `.5`, and where that is the default, as no `--set` at all; so is an
option that says what the method's recipe or the project says anyway.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmark.config import RunConfig
from benchmark.load_method import load_method, make_settings
from benchmark.method import Method
from benchmark.option_names import dashed
from benchmark.options import as_text
from benchmark.recipe import RECIPE, resolve_recipe
from mm_imagenet_r.errors import UserError


def cells(config: RunConfig) -> list[RunConfig]:
    """One configuration per method and seed that holds only what differs from the defaults.

    Raises:
        UserError: An unknown method or setting, a value that does not convert, an option that has
            no effect on the method, or a recipe that is not there.
    """
    found = config.cells()
    if config.recipe is not None:
        from benchmark.tuned_recipe import filled_in

        found = [filled_in(cell) for cell in found]
    for cell in found:
        (name,) = cell.method
        for option in sorted(load_method(name)[0].unused):
            if getattr(cell, option) != getattr(RunConfig, option):
                raise UserError(
                    f"--{dashed(option)} has no effect on {name}: leave it out, or run it in a "
                    "command of its own"
                )
    return [_in_one_writing(cell) for cell in found]


def reference_run(cell: RunConfig) -> RunConfig:
    """The cell whose numbers of exemplars `match_exemplars_of` asks for, written as by `cells`.

    Options without effect on its method are left out: they are meant for the other one.
    """
    reference = cell.reference_run()
    unused = load_method(reference.method[0])[0].unused
    changes: dict[str, Any] = {option: getattr(RunConfig, option) for option in unused}
    (found,) = cells(dataclasses.replace(reference, **changes))
    return found


def _in_one_writing(cell: RunConfig) -> RunConfig:
    (name,), reference = cell.method, cell.match_exemplars_of
    changed = _changed(name, cell.settings_of(name))
    methods = [load_method(name)[0]]
    if reference is not None:
        # A recipe holds for both runs: what one of them would do by default, the other may not.
        methods.append(load_method(reference)[0])
        given = dict(item.split("=", 1) for item in cell.reference_run().set)
        changed += [f"{reference}.{item}" for item in _changed(reference, given)]
    return _without_defaults(dataclasses.replace(cell, set=tuple(changed)), methods)


def _without_defaults(cell: RunConfig, methods: list[type[Method]]) -> RunConfig:
    """Leave open what every one of the methods would do anyway."""
    for name in RECIPE:
        left_open: dict[str, Any] = {name: None}
        without = dataclasses.replace(cell, **left_open)
        value = getattr(cell, name)
        if all(getattr(resolve_recipe(without, method), name) == value for method in methods):
            cell = without
    return cell


def _changed(name: str, given: dict[str, str]) -> list[str]:
    """The settings in which a method differs from what its name alone stands for."""
    method, preset = load_method(name)
    return differing(*(make_settings(method, preset, some, name) for some in (given, {})))


def differing(chosen: Any, default: Any) -> list[str]:
    """The settings in which two instances of a class differ, as `--set` would give the first."""
    return [
        f"{key}={as_text(getattr(chosen, key))}"
        for key in sorted(spec.name for spec in dataclasses.fields(chosen))
        if getattr(chosen, key) != getattr(default, key)
    ]
