"""Decoding options: those that the user gives, over the defaults of a back end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from mm_imagenet_r.errors import UserError

#: Types that an option may have, by the words in which a message asks for them.
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "a whole number": (int,),
    "a number": (int, float),
    "true or false": (bool,),
    "true, false or never": (bool, str),
    "a text or a list of texts": (str, list),
}


def join_options(
    defaults: Mapping[str, Any], given: Mapping[str, Any], kinds: Mapping[str, str]
) -> dict[str, Any]:
    """Override options; null removes a default.

    Args:
        defaults: Of the back end.
        given: What the user asks for.
        kinds: By option, a key of `_TYPES`; other options take any value.

    >>> join_options({"max_tokens": 256, "temperature": 0}, {"temperature": None, "seed": 1}, {})
    {'max_tokens': 256, 'seed': 1}

    Raises:
        UserError: A value has the wrong type.
    """
    for name, kind in kinds.items():
        value, types = given.get(name), _TYPES[kind]
        is_switch = isinstance(value, bool)  # which is an int in Python
        if value is not None and not (bool in types if is_switch else isinstance(value, types)):
            raise UserError(f"--decoding {name}={json.dumps(value)}: give {kind}")
    return {key: value for key, value in {**defaults, **given}.items() if value is not None}
