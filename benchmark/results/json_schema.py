"""The shape of a result.json as JSON Schema, made from the types in `schema`, for other programs.

`result.schema.json` is shipped beside this file; `python -m benchmark.results.json_schema` writes
it anew.
"""

from __future__ import annotations

import inspect
import json
import sys
import types
import typing
from pathlib import Path
from typing import Any, Final, NotRequired

from benchmark.results.schema import SCHEMA_VERSION, ResultFile

FILE: Final = Path(__file__).with_name("result.schema.json")
_PLAIN: Final = {int: "integer", float: "number", str: "string", bool: "boolean"}


def json_schema() -> dict[str, Any]:
    """The schema of a result.json of today's version, in the 2020-12 edition.

    It says which keys there are and of which kinds. What must hold between them is for
    `python -m benchmark.results FOLDER --verify` to find.
    """
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
    if hint is types.NoneType:
        return {"type": "null"}
    if typing.is_typeddict(hint):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}  # its place: a type may hold itself
            definitions[hint.__name__] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if origin is list:
        return {"type": "array", "items": _schema(parts[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(parts[1], definitions)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(part, definitions) for part in parts]}
    return {"type": _PLAIN[hint]}


def _object(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    properties, required = {}, []
    for key, inner in typing.get_type_hints(hint, include_extras=True).items():
        if typing.get_origin(inner) is NotRequired:
            inner = typing.get_args(inner)[0]
        else:
            required.append(key)
        properties[key] = _schema(inner, definitions)
    words = (inspect.getdoc(hint) or "").partition("\n")[0]
    about = {"description": words}
    return {**about, "type": "object", "properties": properties, "required": required}


def main() -> int:
    """Write result.schema.json."""
    from mm_imagenet_r.files import write_atomic

    write_atomic(FILE, (json.dumps(json_schema(), indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
