"""What every case imports, imported once; it computes nothing, so that forking is safe."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil

_OWN = ("mm_imagenet_r", "benchmark", "baselines")
_THIRD = (
    "openai", "transformers.models.auto.tokenization_auto",
    "transformers.models.vilt.modeling_vilt",
    "transformers.models.vilt.image_processing_pil_vilt", "rich.console", "pandas",
    "pyarrow.parquet",
    "datasets.packaged_modules.parquet.parquet", "sklearn.linear_model", "matplotlib.figure",
)  # fmt: skip


def import_everything() -> None:
    """Import all modules of this project, and the parts of others that they import when used."""
    os.environ.update(
        HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", OMP_NUM_THREADS="1",
        TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="", OPENAI_API_KEY="none",
    )  # fmt: skip
    for name in ("COLUMNS", "MM_IMAGENET_R_DATA_DIR", "http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
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
