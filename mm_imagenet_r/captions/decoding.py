"""Options of decoding: those that are asked for, over those of a back end, each of its type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mm_imagenet_r.errors import UserError


@dataclass(frozen=True, slots=True)
class Kind:
    """What an option takes.

    Attributes:
        words: As a user is told.
        types: As JSON gives it.
    """

    words: str
    types: tuple[type, ...]

    def takes(self, value: Any) -> bool:
        """Tell whether a value is of this kind; true and false are no numbers."""
        return isinstance(value, self.types) and (not isinstance(value, bool) or bool in self.types)


WHOLE: Final = Kind("a whole number", (int,))
NUMBER: Final = Kind("a number", (int, float))
SWITCH: Final = Kind("true or false", (bool,))


def join_options(
    defaults: Mapping[str, Any], given: Mapping[str, Any], kinds: Mapping[str, Kind] | None = None
) -> dict[str, Any]:
    """Override options; null leaves a default out.

    Args:
        defaults: Of the back end.
        given: What is asked for.
        kinds: What is known of options by name; of others any value is taken.

    >>> join_options({"max_tokens": 256, "temperature": 0}, {"temperature": None, "seed": 1})
    {'max_tokens': 256, 'seed': 1}

    Raises:
        UserError: A value is not of the kind that its option takes.
    """
    for name, kind in (kinds or {}).items():
        value = given.get(name)
        if value is not None and not kind.takes(value):
            raise UserError(f"--decoding {name}={json.dumps(value)}: give {kind.words}")
    joined = {**defaults, **given}
    return {key: value for key, value in joined.items() if value is not None}
