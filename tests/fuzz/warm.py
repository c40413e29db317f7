"""What every case imports, imported once; it computes nothing, so that forking is safe."""

from __future__ import annotations

import contextlib
import gc
import importlib
import pkgutil

_OWN = ("mm_imagenet_r", "benchmark", "baselines")
_THIRD = (
    "openai", "pandas", "pyarrow.parquet", "rich.console",
    "datasets.packaged_modules.parquet.parquet", "transformers.models.auto.tokenization_auto",
    "transformers.models.vilt.modeling_vilt", "transformers.models.vilt.image_processing_pil_vilt",
)  # fmt: skip


def import_everything() -> None:
    """Import all modules of this project, and the parts of others that they import when used."""
    for top in _OWN:
        package = importlib.import_module(top)
        for module in pkgutil.walk_packages(package.__path__, f"{top}."):
            if not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                except ModuleNotFoundError as error:
                    if (error.name or "").startswith(_OWN):
                        raise  # it is no extra that is not installed
    for name in _THIRD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    import torch
    from PIL import Image

    from benchmark.source_hash import harness_sha256

    harness_sha256()  # remembers what it has parsed
    torch.set_num_threads(1)
    Image.init()
    gc.freeze()
