"""Hashes of code that was shown to give identical results: an old result stays verifiable.

`same_code.json` lists, for each method and for the harness, the hashes that stand for identical
results, oldest first; `python -m studies.same_code` adds what it has run again.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

FILE: Final = "same_code.json"
HARNESS: Final = "harness"
_HASHES: Final = ("method_sha256", "harness_sha256")  # of code, in results and recipes


def same_code(one: str, other: str) -> bool:
    """Whether two hashes name code that gives identical results.

    >>> same_code("ab", "ab"), same_code("ab", "cd")
    (True, False)
    """
    return oldest(one) == oldest(other)


def oldest(sha256: str) -> str:
    """The first known hash of code that gives what the code of this hash gives."""
    return _oldest().get(sha256, sha256)


def in_oldest(said: Any) -> Any:
    """The same facts, every hash of code in them as `oldest` has it; as it is if it is no mapping.

    >>> in_oldest({"method_sha256": "ab", "match_exemplars_of": None})
    {'method_sha256': 'ab', 'match_exemplars_of': None}
    """
    if not isinstance(said, Mapping):
        return said
    return {
        key: oldest(value) if key in _HASHES else in_oldest(value) for key, value in said.items()
    }


def known() -> dict[str, list[str]]:
    """Hashes that stand for identical results, oldest first, by method and for the harness."""
    text = resources.files("benchmark").joinpath(FILE).read_text("utf-8")
    groups: dict[str, list[str]] = json.loads(text)
    return groups


@functools.cache
def _oldest() -> dict[str, str]:
    return {sha256: group[0] for group in known().values() for sha256 in group}
