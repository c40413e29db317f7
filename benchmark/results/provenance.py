"""What a run was computed with: hardware and versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

_PACKAGES = (
    "mm-imagenet-r", "torch", "transformers", "tokenizers", "datasets", "accelerate", "numpy",
    "pillow", "pyarrow", "safetensors",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python and the packages that touch results, without importing any of them."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """What the run was computed on; nothing that names the machine, its user or its folders."""
    found: dict[str, Any] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    torch = sys.modules.get("torch")  # asking must not cost the import
    accelerate = sys.modules.get("accelerate")
    if accelerate is not None and accelerate.PartialState._shared_state:
        device = accelerate.PartialState().device
        found["device"] = device.type
        if torch is not None and device.type == "cuda":
            found["accelerator"] = torch.cuda.get_device_name(device)
    if (
        torch is not None
        and torch.distributed.is_available()
        and torch.distributed.is_initialized()
    ):
        found["processes"] = torch.distributed.get_world_size()
    return found
