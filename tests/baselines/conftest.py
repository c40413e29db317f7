"""A tiny ViLT checkpoint of noise, as transformers writes it, made anew for the session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, "a", "cat", "dog", "on", "the", "red", "blue", "grass", "##s"]


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
