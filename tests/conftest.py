"""Shared by all tests: one torch thread, no network, real data, and a tiny backbone with data."""

from __future__ import annotations

import csv
import gc
import io
import os
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

for name, value in {
    "HF_HUB_OFFLINE": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}.items():
    os.environ.setdefault(name, value)

# A shell starts what runs in its background deaf to Ctrl-C, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.pop("COLUMNS", None)  # workers of a parallel run have it: lines would be broken by it

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MM_TEST_DATA", ROOT.parent / "shared" / "data"))


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, "a", "cat", "dog", "on", "the", "red", "blue", "grass", "##s"]


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a function from a name to real data on this machine, skipping where there is none."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"real data {name!r} is not here (set MM_TEST_DATA to its folder)")
        return path

    return find


@pytest.fixture(autouse=True, scope="session")
def _quick() -> None:
    """What tests and the processes that they fork need not spend time on."""
    import torch

    torch.set_num_threads(1)
    os.fsync = lambda file: None  # a run writes 40 files; no test cuts the power
    Image.init()  # imports 40 modules, which every process forked from here then has
    gc.freeze()  # what has been imported is no garbage: accelerate looks for some in every phase


@pytest.fixture(scope="session")
def vilt_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches of 16, images of 64 on the shorter side, texts of at most 12 tokens."""
    import torch
    from transformers import BertTokenizer, ViltConfig, ViltModel, ViltProcessor
    from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

    folder = tmp_path_factory.mktemp("vilt")
    config = ViltConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        max_position_embeddings=12,
        pad_token_id=0,
    )
    model: Any = ViltModel(config)
    # Position and class token tables start as zeros, which would hide a patch in the wrong place.
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.25
            is_gain = "norm" in name.lower() and name.endswith("weight")
            parameter.copy_(noise + 1 if is_gain else noise)
    model.save_pretrained(folder)
    processor: Any = ViltProcessor(
        ViltImageProcessorPil(
            size={"shortest_edge": 64}, size_divisor=16, image_mean=[0.5, 0.4, 0.3]
        ),
        BertTokenizer(vocab={word: i for i, word in enumerate(VOCABULARY)}),
    )
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes of seven noisy JPEGs, one colour a class, with captions."""
    folder = tmp_path_factory.mktemp("data") / "coloured"
    rng = np.random.default_rng(0)
    rows = []
    for number, caption in enumerate(VOCABULARY[5:11]):
        colour = rng.integers(40, 215, 3)
        (folder / f"class{number}").mkdir(parents=True)
        for index in range(7):
            shape = (64, 64 + 16 * (index % 3), 3)
            pixels = np.clip(colour + rng.normal(0, 25, shape), 0, 255).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=60 + 5 * index)
            (folder / f"class{number}" / f"{index}.jpg").write_bytes(buffer.getvalue())
            rows.append([f"class{number}/{index}.jpg", f"a {caption} on the grass"])
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "caption"], *rows])
    return folder


@pytest.fixture(scope="session")
def mean_colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in the docstring of `Method`, as a file."""
    from benchmark.method import Method

    assert Method.__doc__ is not None
    code = Method.__doc__.rpartition("::\n")[2]
    path = tmp_path_factory.mktemp("methods") / "mean_colour.py"
    path.write_text(textwrap.dedent(code))
    return path
