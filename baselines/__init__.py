"""The methods, one file each, and the ingredients they share.

`baselines.mask` masks one picture with its caption; `baselines.show_memory` shows the exemplars of
a run.
"""

from importlib import import_module
from typing import Any

_FROM = {"mask": "baselines.masking", "show_memory": "baselines.memory_sheet"}

__all__ = ["mask", "show_memory"]


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FROM[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FROM])
