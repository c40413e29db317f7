"""Options from a command line or a file, checked and turned into a `RunConfig`."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import reprlib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.legacy import RENAMED_FIELDS
from benchmark.option_names import dashed
from mm_imagenet_r import __version__
from mm_imagenet_r.command_line import Parser
from mm_imagenet_r.errors import UserError, did_you_mean, few
from mm_imagenet_r.reading import parse_json, read_text

_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

#: Values in messages: however long or nested, in a few letters.
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = 60

#: Headings of `--help`, by the field that comes first under each.
_GROUPS = {
    "method": "methods",
    "dataset": "data",
    "phases": "phases and memory",
    "backbone": "model and training",
    "device": "where and how it runs (changes no result)",
}


def from_mapping(values: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Check and convert the fields of a configuration file; raise UserError for what is not one."""
    hints = typing.get_type_hints(RunConfig)
    converted: dict[str, Any] = {}
    for former, value in values.items():
        name = RENAMED_FIELDS.get(former, former)
        if name not in hints or (name != former and name in values):
            known = did_you_mean(few(former), hints)
            raise UserError(f"{source}: unknown option {few(repr(former))}: {known}")
        converted[name] = convert(value, hints[name], f"{source}: {former}")
    return converted


def read_file(path: Path) -> dict[str, Any]:
    """Read a TOML or JSON configuration; a result.json serves too (its `config` is taken)."""
    return from_mapping(read_values(path), source=str(path))


def read_values(path: Path) -> dict[str, Any]:
    """What a TOML or JSON file says, not yet converted; raise UserError if it is not an object."""
    try:
        text = read_text(path)
        values = parse_json(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UserError(
            f"--config {path} cannot be read ({error.strerror or error}): check the path"
        ) from error
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"--config {path} is not valid {kind}: {why}. Fix it") from error
    if isinstance(values, dict) and "schema_version" in values:
        from benchmark.results import read  # only here: it refuses what is damaged or newer

        values = read(path)["config"]
    if not isinstance(values, dict):
        raise UserError(f'--config {path}: write an object of options, such as {{"phases": 5}}')
    return values


class Command(Parser):
    """A command line of options of runs; what is not given is left out."""

    def __init__(self, name: str, *, description: str, epilog: str, needs: str = "") -> None:
        """`needs` names the options that must be given."""
        super().__init__(
            prog=f"python -m benchmark.{name}",
            usage=f"%(prog)s {needs}[OPTION ...]",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )

    def read(self, arguments: Sequence[str] | None) -> dict[str, Any]:
        """What is given; raise UserError for words that belong to no option."""
        found = argparse.Namespace()
        _, rest = self.parse_known_args(arguments, found)
        if rest:
            raise UserError(_unknown_words(rest, self._option_string_actions))
        return vars(found)


def parser() -> Command:
    """The command line of `python -m benchmark.run`, made from the fields of `RunConfig`."""
    command = Command(
        "run",
        description="Run class-incremental methods under one memory budget.",
        epilog=(
            "examples:\n"
            "  python -m benchmark.run --method exemplar_masking\n"
            "  python -m benchmark.run --method replay exemplar_masking --memory 1 --seeds 0 1 2\n"
            "  python -m benchmark.run --method exemplar_masking@figures --currency samples\n"
            "  python -m benchmark.run --method mine.py:MyMethod --dataset photos/ --phases 5\n"
            "A run that was stopped resumes when the same command is given again."
        ),
    )
    command.add_argument("--list", nargs="?", const="", metavar="METHOD",
                         help="list methods, or the settings of one or all, and stop")  # fmt: skip
    command.add_argument("--version", action="version", version=__version__)
    command.add_argument(
        "--config", type=Path, help="TOML or JSON file (or a result.json); options override it"
    )
    add_options(command)
    return command


def add_options(
    command: argparse.ArgumentParser, *, axes: bool = False, texts: Mapping[str, str] | None = None
) -> None:
    """Add an option for each field of `RunConfig`.

    With `axes`, those that may change a result take several values, cells of a grid; `texts` holds
    help texts by name of the field that replace the field's own.
    """
    hints = typing.get_type_hints(RunConfig)
    group: Any = command
    for spec in dataclasses.fields(RunConfig):
        if spec.name in _GROUPS:
            group = command.add_argument_group(_GROUPS[spec.name])
        if f"--{dashed(spec.name)}" in command._option_string_actions:
            continue  # the command has one of its own by that name
        text = (texts or {}).get(spec.name, spec.metadata["help"]).replace("%", "%%")
        listed = typing.get_origin(hints[spec.name]) is tuple
        many = listed or (axes and spec.metadata.get("affects_result", True))
        default: Any = spec.default
        shown = " ".join(map(str, default)) if listed else default
        if default not in (None, ()) and default is not False and "default: " not in text:
            text += f" (default: {shown})"
        kind: dict[str, Any]
        if hints[spec.name] is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        else:
            kind = {"nargs": "+" if many else None, "metavar": _metavar(spec, hints[spec.name])}
        group.add_argument(f"--{dashed(spec.name)}", help=text, **kind)


def parse(arguments: Sequence[str] | None = None) -> tuple[RunConfig, dict[str, Any]]:
    """Command line over configuration file over defaults; raise UserError if they are not valid."""
    hints = typing.get_type_hints(RunConfig)
    given = parser().read(arguments)
    values = read_file(given["config"]) if "config" in given else {}
    for name, value in given.items():
        if name in hints:
            values[name] = convert(value, hints[name], f"--{dashed(name)}")
    if {"epochs", "steps"} <= given.keys():
        both = f"--epochs {given['epochs']} and --steps {given['steps']}"
        raise UserError(f"{both}: give one of them")
    return RunConfig(**values), given


def _unknown_words(rest: Sequence[str], options: Iterable[str]) -> str:
    """What to say of words of a command line that belong to no option."""
    word = next((word for word in rest if word.startswith("-")), rest[0]).partition("=")[0]
    if not word.startswith("-"):
        return f"{word!r} follows no option: write --method {word} if it is a method's name"
    today = {f"--{dashed(old)}": dashed(new) for old, new in RENAMED_FIELDS.items()}
    if word in today:
        return f"{word} is now called --{today[word]}: write that instead"
    close = difflib.get_close_matches(word, options, n=2, cutoff=0.7)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"unknown option {word}: {meant}--help shows all options"


def as_text(value: Any) -> str:
    """A setting's value as it is written after `key=`; `convert` reads it back.

    >>> [as_text(value) for value in (True, None, 1.0, 0.25, 1e-4, 3, "webp", ("a",))]
    ['true', 'none', '1', '0.25', '0.0001', '3', 'webp', 'a']
    """
    if isinstance(value, (tuple, list)):
        return " ".join(map(as_text, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def convert(value: Any, hint: Any, where: str) -> Any:
    """Turn a string or a JSON value into the type a field has.

    Raises:
        UserError: It is not of that type; the message begins with `where`.

    >>> convert("1e-3", float | None, "rate"), convert("none", float | None, "rate")
    (0.001, None)
    >>> convert("yes", bool, "flag"), convert(["a"], tuple[str, ...], "names")
    (True, ('a',))
    >>> convert(range(2), tuple[int, ...], "seeds"), convert({"tau": 2}, tuple[str, ...], "set")
    ((0, 1), ('tau=2',))
    """
    if typing.get_origin(hint) is tuple:
        if isinstance(value, Mapping):
            value = [f"{key}={as_text(one)}" for key, one in value.items()]
        items = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
        return tuple(convert(item, typing.get_args(hint)[0], where) for item in items)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    try:
        if hint is bool:
            return value if isinstance(value, bool) else _WORDS[value.lower()]
        if isinstance(value, Integral) and not isinstance(value, bool):
            value = int(value)  # also one of NumPy
        if isinstance(value, bool) or not isinstance(value, (str, int, float, Path)):
            raise TypeError
        if hint is int and isinstance(value, float):
            raise TypeError
        converted = hint(value)
        if hint is float and not math.isfinite(converted):
            raise ValueError
        return converted
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        wanted = {
            int: "a whole number", float: "a number", bool: "a truth value", Path: "a path",
            str: "text",
        }  # fmt: skip
        what = wanted.get(hint, f"a {hint.__name__}")
        raise UserError(f"{where}: {_SHOWN.repr(value)} is not {what}") from None


def _metavar(spec: dataclasses.Field[Any], hint: Any) -> str:
    if spec.metadata.get("choices"):
        return "{" + ",".join(spec.metadata["choices"]) + "}"
    kinds = [kind for kind in typing.get_args(hint) if kind not in (type(None), Ellipsis)]
    kind = kinds[0] if kinds else hint
    return {"int": "N", "float": "X", "Path": "PATH"}.get(kind.__name__, "TEXT")
