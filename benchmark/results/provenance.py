"""What a run was computed with: hardware and versions."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from typing import Any

_PACKAGES = (
    "mm-imagenet-r", "torch", "transformers", "tokenizers", "datasets", "accelerate", "numpy",
    "pillow", "pyarrow", "safetensors",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python and the packages that touch results, without importing any of them."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def hardware(device: str, processes: int, accelerator: str = "") -> dict[str, Any]:
    """What `processes` processes computed on a device (`cpu`, `cuda` or `mps`).

    Nothing in it names the machine, its user or its folders.
    """
    found: dict[str, Any] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "device": device,
    }
    if accelerator:
        found["accelerator"] = accelerator
    if processes > 1:
        found["processes"] = processes
    return found
