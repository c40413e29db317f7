"""The shape of a result.json as JSON Schema, made from the types in `schema`, for other programs.

`python -m benchmark.results.json_schema` writes the `result.schema.json` that is shipped.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from pathlib import Path
from typing import Any, Final

from benchmark.results.schema import SCHEMA_VERSION, ResultFile
from benchmark.results.shape import keys
from mm_imagenet_r.files import write_atomic

FILE: Final = Path(__file__).with_name("result.schema.json")
_PLAIN: Final = {
    int: "integer", float: "number", str: "string", bool: "boolean", types.NoneType: "null",
}  # fmt: skip


def json_schema() -> dict[str, Any]:
    """Which keys a result.json of today has and of which kinds, in the 2020-12 edition."""
    definitions: dict[str, Any] = {}
    of = _schema(ResultFile, definitions)
    definitions["ResultFile"]["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"result.json, schema version {SCHEMA_VERSION}",
        **of,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type made of TypedDicts, lists, dicts, unions and scalars.

    >>> _schema(dict[str, list[int] | None], {})["additionalProperties"]["anyOf"]
    [{'type': 'array', 'items': {'type': 'integer'}}, {'type': 'null'}]
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return {}
    if typing.is_typeddict(hint):
        definitions[hint.__name__] = {
            "description": (inspect.getdoc(hint) or "").partition("\n")[0],
            "type": "object",
            "properties": {k: _schema(inner, definitions) for k, (inner, _) in keys(hint).items()},
            "required": [key for key, (_, optional) in keys(hint).items() if not optional],
        }
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if origin is list:
        return {"type": "array", "items": _schema(parts[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(parts[1], definitions)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(part, definitions) for part in parts]}
    return {"type": _PLAIN[hint]}


if __name__ == "__main__":
    write_atomic(FILE, (json.dumps(json_schema(), indent=1) + "\n").encode())
