"""Settings of methods: dataclass fields with help, legal values and candidates for the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def setting(
    default: Any,
    text: str,
    search: tuple[Any, ...] = (),
    search_in: str | None = None,
    *,
    within: str = "[0, inf)",
    choices: Sequence[str] = (),
) -> Any:
    """A field of a method's settings.

    Args:
        default: Its value if none is given.
        text: Shown by `--list METHOD`.
        search: The values that `python -m benchmark.tune` may choose from; none: it is not tuned.
        search_in: The only currency in which its default has an effect, so it is tuned there alone.
        within: Legal numbers, if it is one, as an interval such as `(0, 1]`.
        choices: Legal words.
    """
    metadata = {
        "help": text, "search": search, "search_in": search_in, "within": within,
        "choices": tuple(choices),
    }  # fmt: skip
    return field(default=default, metadata=metadata)


def require(condition: bool, otherwise: str) -> None:
    """Raise ValueError, which reaches the user as a message, unless a setting makes sense."""
    if not condition:
        raise ValueError(otherwise)


@dataclass(frozen=True)
class Settings:
    """Base of settings: refuses values that a field, here or in a base class, does not allow."""

    def __post_init__(self) -> None:
        """Check `within` and `choices` of all fields."""
        for kind in reversed(type(self).__mro__):  # a default of a subclass keeps the limits
            for spec in getattr(kind, "__dataclass_fields__", {}).values():
                value, interval = getattr(self, spec.name), spec.metadata.get("within")
                words = spec.metadata.get("choices") or [value]
                fits = isinstance(value, str) or not interval or inside(value, interval)
                require(fits, f"{spec.name}={value}: choose a number in {interval}")
                require(
                    value in words,
                    f"{spec.name}={value}: choose one of {', '.join(map(str, words))}",
                )


def inside(value: float, interval: str) -> bool:
    """Whether a number lies in an interval.

    >>> [inside(value, "[0, 1)") for value in (-0.1, 0, 0.5, 1)]
    [False, True, True, False]
    >>> [inside(value, "(0, inf)") for value in (0, 7)]
    [False, True]
    """
    low, high = map(float, interval[1:-1].split(","))
    after = value >= low if interval[0] == "[" else value > low
    return after and (value <= high if interval[-1] == "]" else value < high)
