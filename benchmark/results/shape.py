"""Whether a JSON value has the shape that a type says: TypedDicts, lists, dicts, unions, scalars."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, NotRequired

_SCALARS: typing.Final = (float, int, str, bool)


def mismatches(value: object, hint: Any, where: str) -> typing.Iterator[str]:
    """Compare a JSON value with a type.

    Args:
        value: What `json.loads` returned.
        hint: The type it should have.
        where: Path of the value in its file, for the messages.

    Yields:
        One sentence per mismatch.

    >>> list(mismatches([1, "a"], list[int], "numbers"))
    ['numbers[1] is not an integer']
    """
    if hint is Any:
        return
    if isinstance(hint, type) and hint in _SCALARS:  # most of what there is
        if not _is_a(value, hint):
            yield f"{where} is not {_name(hint)}"
        return
    origin = typing.get_origin(hint)
    if typing.is_typeddict(hint):
        if not isinstance(value, Mapping):
            yield f"{where or 'the file'} is not an object"
            return
        for key, inner, optional in _keys(hint):
            path = f"{where}.{key}" if where else key
            if key not in value:
                if not optional:
                    yield f"{path} is missing"
            else:
                yield from mismatches(value[key], inner, path)
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where} is not a list"
            return
        (inner,) = typing.get_args(hint)
        if inner in _SCALARS and all(_is_a(item, inner) for item in value):
            return  # most lists, in a fraction of the time
        for index, item in enumerate(value):
            yield from mismatches(item, inner, f"{where}[{index}]")
    elif origin is dict:
        if not isinstance(value, Mapping):
            yield f"{where} is not an object"
            return
        for key, item in value.items():
            yield from mismatches(item, typing.get_args(hint)[1], f"{where}.{key}")
    elif origin in (typing.Union, types.UnionType):
        kinds = typing.get_args(hint)
        if all(any(mismatches(value, kind, where)) for kind in kinds):
            yield f"{where} is neither {' nor '.join(_name(kind) for kind in kinds)}"
    elif not _is_a(value, hint):
        yield f"{where} is not {_name(hint)}"


def unknown_keys(value: object, hint: Any, where: str = "") -> typing.Iterator[str]:
    """Paths of what a value of this type (see `mismatches`) holds beyond it.

    >>> class Row(typing.TypedDict):
    ...     per_phase: list[float]
    >>> list(unknown_keys({"per_phase": [1.0], "mean": 99.0}, Row, "accuracy"))
    ['accuracy.mean']
    """
    origin, kinds = typing.get_origin(hint), typing.get_args(hint)
    if not _has_keys(hint):
        return
    if typing.is_typeddict(hint) and isinstance(value, Mapping):
        known = {key: inner for key, inner, _ in _keys(hint)}
        for key in sorted(value.keys() - known.keys()):
            yield f"{where}.{key}" if where else key
        for key, inner in known.items():
            if key in value and _has_keys(inner):
                yield from unknown_keys(value[key], inner, f"{where}.{key}" if where else key)
    elif origin is dict and isinstance(value, Mapping):
        for key, item in value.items():
            yield from unknown_keys(item, kinds[1], f"{where}.{key}")
    elif origin is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_keys(item, kinds[0], f"{where}[{index}]")
    elif origin in (typing.Union, types.UnionType):
        kind = next((kind for kind in kinds if not any(mismatches(value, kind, where))), None)
        yield from unknown_keys(value, kind, where)


@functools.cache
def _has_keys(hint: Any) -> bool:
    """Whether a type is or holds an object whose keys it names."""
    return typing.is_typeddict(hint) or any(map(_has_keys, typing.get_args(hint)))


@functools.cache
def _keys(kind: type) -> list[tuple[str, Any, bool]]:
    """Key, type and whether it may be absent, of a TypedDict."""
    found = []
    for key, inner in typing.get_type_hints(kind, include_extras=True).items():
        optional = typing.get_origin(inner) is NotRequired
        found.append((key, typing.get_args(inner)[0] if optional else inner, optional))
    return found


def _is_a(value: object, kind: type) -> bool:
    """JSON writes 3.0 and 3 alike, so an int is a float; but true is no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _name(kind: Any) -> str:
    plain = {int: "an integer", float: "a number", str: "text", bool: "true or false"}
    return "null" if kind is types.NoneType else plain.get(kind, str(kind))
