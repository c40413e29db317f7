"""What may happen to JSON: to a value in it, or to its text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from .door import Case, Damage, UnsuitedError

#: Values that few writers expect; each is JSON, or what lenient writers make of it.
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, 2**31, 2**63, 2**64, 10**18, -(10**18),
    10**400, float("nan"), float("inf"), "", " ", "0", "nan", "none", "\0", "\n", "\ud800",
    "\x1b[31m", "‮", "é" * 300, "x" * 100_000, "../../outside/notes.txt", "/dev/zero", "/etc",
    "<script>", "{{7*7}}", "%s%n", [], {}, [[]], [None], {"a": 1}, {"": None}, [0] * 10_000, ["a"],
)  # fmt: skip


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values within a value."""
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(spot for key, one in inner for spot in spots(one, (*path, key)))]


def change(value: Any, rng: random.Random) -> Any:
    """The value with one odd thing in it; it may be changed itself."""
    all_spots = spots(value)[1:]
    if not all_spots or rng.random() < 0.02:
        return rng.choice(ODD)
    # Depth first: what is written once as often as what stands in long lists.
    depth = rng.choice(sorted({len(spot) for spot in all_spots}))
    *path, key = rng.choice([spot for spot in all_spots if len(spot) == depth])
    parent = value
    for step in path:
        parent = parent[step]
    rng.choice(_CHANGES)(parent, key, rng)
    return value


def _set(parent: Any, key: Any, rng: random.Random) -> None:
    parent[key] = rng.choice(ODD)


def _near(parent: Any, key: Any, rng: random.Random) -> None:
    """A value of the same type that is a little off."""
    value = parent[key]
    if isinstance(value, bool):
        parent[key] = not value
    elif isinstance(value, int | float):
        parent[key] = value + rng.choice((1, -1, 0.5, -2 * value, 1000))
    elif isinstance(value, str):
        parent[key] = rng.choice((value + "x", value[:-1], value.upper(), value * 2, f" {value}"))
    elif isinstance(value, list):
        parent[key] = rng.choice((value[:-1], value * 2, value[::-1]))
    else:
        parent[key] = [value]


def _type(parent: Any, key: Any, rng: random.Random) -> None:
    value = parent[key]
    parent[key] = rng.choice((str(value)[:1000], [value], {"value": value}, None, value == 1))


def _drop(parent: Any, key: Any, rng: random.Random) -> None:
    del parent[key]


def _more(parent: Any, key: Any, rng: random.Random) -> None:
    if isinstance(parent, dict):
        parent[rng.choice(("unknown", "", "__class__", f"{key} ", "\ud800"))] = rng.choice(ODD)
    else:
        parent.insert(key, rng.choice(ODD))


_CHANGES = (_set, _set, _set, _near, _near, _near, _type, _drop, _more)


def _nested(text: str, rng: random.Random) -> str:
    depth = rng.choice((900, 5_000, 200_000))
    opened, closed = rng.choice((("[", "]"), ('{"a":', "}")))
    deep = opened * depth + "1" + closed * depth
    return rng.choice((deep, _inserted(text, f'"more": {deep},')))


def _twice(text: str, rng: random.Random) -> str:
    """A key that is there already."""
    value = json.loads(text)
    if not isinstance(value, dict) or not value:
        raise UnsuitedError
    key = json.dumps(rng.choice(list(value)))
    return _inserted(text, f"{key}: {json.dumps(rng.choice(ODD))},")


def _inserted(text: str, more: str) -> str:
    before, brace, after = text.partition("{")
    if not brace:
        raise UnsuitedError
    return f"{before}{brace}{more}{after}"


def _literal(text: str, rng: random.Random) -> str:
    odd = (
        "NaN",
        "-Infinity",
        "1" * 5_000,
        "1e999",
        '"\\ud800"',
        "'a'",
        "//",
        "0x10",
        '"\t"',
        "tru",
    )
    return _inserted(text, f'"more": {rng.choice(odd)},')


def _encoding(text: str, rng: random.Random) -> bytes:
    return rng.choice(
        (b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16"), text.encode("utf-32"),
         text.encode() + b"\xff", text.encode() + text.encode(), b"[]", b"null", b"", b"{",
             b'"'))  # fmt: skip


_TEXT: tuple[Callable[[str, random.Random], str | bytes], ...] = (
    _nested, _twice, _literal, _encoding,
)  # fmt: skip


def in_json(ending: str = ".json") -> dict[str, Damage]:
    """What may happen to the files of such names, one JSON value in each."""

    def of_value(case: Case) -> None:
        path = case.some_file(ending)
        try:
            text = json.dumps(change(_read(path.read_bytes()), case.rng))
        except RecursionError as error:  # it has been nested before
            raise UnsuitedError from error
        path.write_text(text)

    def of_text(case: Case) -> None:
        path = case.some_file(ending)
        found = case.rng.choice(_TEXT)(json.dumps(_read(path.read_bytes())), case.rng)
        path.write_bytes(found if isinstance(found, bytes) else found.encode())

    return {f"value in {ending}": of_value, f"text of {ending}": of_text}


def _read(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnsuitedError from error
