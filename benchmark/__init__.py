"""The harness: class-incremental methods under one memory budget.

folders = benchmark.run(method="exemplar_masking", memory=1, seeds=range(3))
benchmark.frame(folders, per="run").last_accuracy.mean()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.config import RunConfig
    from benchmark.method import Method
    from benchmark.results.io import read as read_result
    from benchmark.run import run
    from benchmark.table.frame import frame

__all__ = ["Method", "RunConfig", "frame", "read_result", "run"]
_MODULES = {
    "Method": ("benchmark.method", "Method"),
    "RunConfig": ("benchmark.config", "RunConfig"),
    "frame": ("benchmark.table.frame", "frame"),
    "read_result": ("benchmark.results.io", "read"),
    "run": ("benchmark.run", ""),  # a module that can be called
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _MODULES[name]
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return __all__
