"""Modules that a user names, and packages of ours that another one of the same name hides."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Final

from mm_imagenet_r.errors import UserError

#: Names that other projects use too, for folders at their top.
_OURS: Final = ("benchmark", "baselines")


def find_module(name: str) -> ModuleType:
    """Import a module that a user named; UserError if it, or one that it needs, is not there."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"{name!r} is not a module: write package.module:Class or file.py:Class")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise UserError(needed(name, error)) from error
        refuse_hidden(name)
        raise UserError(
            f"there is no module {name!r}: check the spelling and that it is installed"
        ) from None


def needed(what: str | Path, error: ModuleNotFoundError) -> str:
    """What to say of a module, or a file, that imports one that is not there."""
    if error.name is not None:
        refuse_hidden(error.name)
    return f"{what} needs {error.name}: install it"


def refuse_hidden(name: str) -> None:
    """Raise UserError where a folder that comes first hides the package of a module of ours."""
    package = name.partition(".")[0]
    if package not in _OURS:
        return
    ours = Path(__file__).resolve().parent.with_name(package)
    spec = importlib.util.find_spec(package)
    found = [Path(place).resolve() for place in (spec and spec.submodule_search_locations) or ()]
    if ours not in found:
        there = found[0] if found else spec and spec.origin
        raise UserError(
            f"{there} has the name of the package {package!r} of mm-imagenet-r and hides it "
            f"({ours}): rename it, or run the command from another folder"
        )
