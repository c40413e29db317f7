"""Whether a JSON value has the shape of a type: TypedDicts, lists, dicts, unions, scalars."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NotRequired

_NAMES: typing.Final[Mapping[Any, str]] = {
    int: "an integer", float: "a number", str: "text", bool: "true or false",
    types.NoneType: "null",
}  # fmt: skip


def mismatches(value: object, hint: Any, where: str = "", *, closed: bool = False) -> Iterator[str]:
    """Compare a JSON value with a type: one sentence per mismatch.

    `hint` is the type; `where` the path of the value in its file; `closed` refuses keys that a
    TypedDict does not name.

    >>> list(mismatches([1, "a"], list[int], "numbers"))
    ['numbers[1] is not an integer']
    >>> class Row(typing.TypedDict):
    ...     per_phase: list[float]
    >>> list(mismatches({"per_phase": [1.0], "mean": 99.0}, Row, "accuracy", closed=True))
    ['accuracy.mean is not a key of this file: remove it']
    """
    origin, kinds = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return
    if hint in _NAMES:  # most of what there is
        if not _is_a(value, hint):
            yield f"{where} is not {_NAMES[hint]}"
    elif typing.is_typeddict(hint) or origin is dict:
        if not isinstance(value, Mapping):
            yield f"{where or 'the file'} is not an object"
            return
        known = dict.fromkeys(value, (kinds[1], True)) if origin is dict else keys(hint)
        for key, (inner, optional) in known.items():
            path = f"{where}.{key}" if where else key
            if key in value:
                yield from mismatches(value[key], inner, path, closed=closed)
            elif not optional:
                yield f"{path} is missing"
        for key in sorted(value.keys() - known.keys()) if closed else ():
            yield f"{where}{'.' if where else ''}{key} is not a key of this file: remove it"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where} is not a list"
        elif kinds[0] not in _NAMES or not all(_is_a(item, kinds[0]) for item in value):
            for index, item in enumerate(value):
                yield from mismatches(item, kinds[0], f"{where}[{index}]", closed=closed)
    else:  # a union
        found = [list(mismatches(value, kind, where, closed=closed)) for kind in kinds]
        if all(found):
            yield from found[0]


@functools.cache
def keys(kind: type) -> dict[str, tuple[Any, bool]]:
    """Type of each key of a TypedDict, and whether it may be absent."""
    found = {}
    for key, inner in typing.get_type_hints(kind, include_extras=True).items():
        optional = typing.get_origin(inner) is NotRequired
        found[key] = (typing.get_args(inner)[0] if optional else inner, optional)
    return found


def _is_a(value: object, kind: type) -> bool:
    """JSON writes 3.0 and 3 alike, so an int is a float; but true is not a number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
