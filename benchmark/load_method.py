"""From the name of a method to its class, and from `--set` to its settings."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.legacy import RENAMED_SETTINGS
from benchmark.method import Kind, Method
from benchmark.option_names import method_name
from benchmark.options import convert
from benchmark.registry import REGISTRY
from mm_imagenet_r.errors import UserError, did_you_mean
from mm_imagenet_r.plugins import find_module, needed
from mm_imagenet_r.reading import SETTINGS, read_bytes

_DERIVE = "write a class in it that derives from benchmark.method.Method"


def load_method(name: str) -> tuple[type[Method], str]:
    """Import a method by registry name, `package.module:Class` or `file.py:Class`, with its preset.

    Raises:
        UserError: There is no such method, module, class or preset.
    """
    address, _, preset = method_name(name).partition("@")
    if ":" not in address:
        if address.endswith(".py"):
            raise UserError(f"--method {address}: name its class too, {address}:MyMethod")
        if address not in REGISTRY:
            raise UserError(f"unknown method {address!r}: {did_you_mean(address, REGISTRY)}")
        address = REGISTRY[address].address
    module_name, _, class_name = address.rpartition(":")
    module = (
        _load_file(Path(module_name)) if module_name.endswith(".py") else find_module(module_name)
    )
    found = getattr(module, class_name, None)
    if found is None:
        raise UserError(
            f"{module_name} has no {class_name!r}: "
            + (did_you_mean(class_name, own) if (own := _own_methods(module)) else _DERIVE)
        )
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(f"{address} is not a method: {_DERIVE}")
    _check_declarations(found)
    if preset and preset not in found.presets:
        raise UserError(
            f"{name.partition('@')[0]} has no preset {preset!r}: "
            + (did_you_mean(preset, found.presets) if found.presets else "it has none")
        )
    return found, preset


def about_of(method: type[Method]) -> dict[str, str]:
    """What a method says about itself; a class derived from a registered one needs its own."""
    for kind in method.__mro__:
        if "about" in vars(kind):
            theirs = kind is not method and is_registered(kind)
            return {} if theirs else dict(vars(kind)["about"])
    return {}


def is_registered(kind: type) -> bool:
    """Whether a class is that of a registered method."""
    address = f"{kind.__module__}:{kind.__name__}"
    return any(entry.address == address for entry in REGISTRY.values())


def _check_declarations(method: type[Method]) -> None:
    """Refuse declarations that mean nothing."""
    kinds = typing.get_args(Kind)
    if method.kind not in kinds:
        raise UserError(
            f"{method.__name__}.kind is {method.kind!r}: {did_you_mean(str(method.kind), kinds)}"
        )
    options = [spec.name for spec in dataclasses.fields(RunConfig)]
    for name in sorted(method.unused - set(options)):
        raise UserError(f"{method.__name__}.unused has {name!r}: {did_you_mean(name, options)}")


def make_settings(
    method: type[Method], preset: str, given: Mapping[str, str], name: str = ""
) -> Any:
    """Defaults, over them the preset, over that what was given as strings.

    Raises:
        UserError: An unknown setting, or a value that does not convert or that the method refuses.
    """
    hints = typing.get_type_hints(method.Settings)
    values: dict[str, Any] = dict(method.presets[preset]) if preset else {}
    written: dict[str, str] = {}
    for former, text in given.items():
        key = setting_name(method, former)
        if key not in hints:
            known = did_you_mean(key, hints) if hints else "it has none"
            raise UserError(
                f"{name or method.__name__} has no setting {key!r}: {known}. Where several methods "
                f"run, --set METHOD.{key}=... sets it for one"
            )
        if key in written:
            raise UserError(f"--set {former} and {written[key]} are the same setting: give it once")
        written[key] = former
        values[key] = convert(text, hints[key], f"--set {former}")
    try:
        return method.Settings(**values)
    except ValueError as error:
        raise UserError(f"{name or method.__name__}: {error}") from None


def setting_name(method: type[Method], key: str) -> str:
    """The name today of a setting of a method."""
    hints = typing.get_type_hints(method.Settings)
    today = {**RENAMED_SETTINGS, **method.renamed_settings}.get(key, key)
    return today if key not in hints and today in hints else key


def _own_methods(module: Any) -> list[str]:
    """Methods that a module defines; those it imports to derive from are not meant."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
    ]


def _load_file(path: Path) -> Any:
    """Run a file as a module of a name of its own, once."""
    try:
        compile(read_bytes(path, SETTINGS), path, "exec")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): give the path of the method's .py "
            "file"
        ) from error
    except SyntaxError as error:
        raise _not_python(path, error) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} is not Python ({error}): fix it") from error
    name = f"method_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and type hints look their module up
    if (beside := str(path.resolve().parent)) not in sys.path:
        sys.path.append(beside)  # as for a script, modules beside the file are found
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, SyntaxError):  # of a module that it imports
            raise _not_python(path, error) from None
        if isinstance(error, ModuleNotFoundError):
            raise UserError(needed(path, error)) from error
        raise
    return module


def _not_python(path: Path, error: SyntaxError) -> UserError:
    return UserError(f"{error.filename or path} line {error.lineno}: {error.msg}. Fix it")
