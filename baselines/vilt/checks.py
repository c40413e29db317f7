"""What may be wrong with the parts of a ViLT checkpoint, found before it costs memory or figures.

Each function yields faults, in words that follow "cannot be used".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image

from mm_imagenet_r import pretrained

#: Least and greatest of each size, far from those of any ViLT.
_CONFIG: Final = {
    "hidden_size": (1, 2**14),
    "num_hidden_layers": (1, 2**8),
    "num_attention_heads": (1, 2**10),
    "intermediate_size": (1, 2**16),
    "image_size": (1, 2**13),
    "patch_size": (1, 2**10),
    "num_channels": (3, 3),
    "vocab_size": (1, 2**24),
    "max_position_embeddings": (2, 2**16),
    "type_vocab_size": (1, 2**8),
    "modality_type_vocab_size": (2, 2**8),
}
_LONGEST_SIDE: Final = 2**13
_MOST_PARAMETERS: Final = 2**31


def faults_of_config(config: Any) -> Iterator[str]:
    """Yield what is wrong with a `ViltConfig`."""
    for name, (low, high) in _CONFIG.items():
        yield from _outside(name, getattr(config, name), low, high)
    if config.hidden_size % config.num_attention_heads:
        yield f"{config.num_attention_heads} heads do not divide a width of {config.hidden_size}"
    if config.image_size < config.patch_size:
        yield f"an image of {config.image_size} pixels has no patch of {config.patch_size}"
    if not _is_number(config.layer_norm_eps) or not 0 < config.layer_norm_eps < 1:
        yield f"layer_norm_eps is {config.layer_norm_eps!r:.40}, not a number between 0 and 1"


def faults_of_image_processor(processor: Any) -> Iterator[str]:
    """Yield what is wrong with a `ViltImageProcessor`."""
    try:
        side = processor.size["shortest_edge"]
    except (KeyError, TypeError, AttributeError):
        side = None
    yield from _outside("shortest_edge", side, 1, _LONGEST_SIDE)
    yield from _outside("size_divisor", processor.size_divisor, 1, _LONGEST_SIDE)
    if processor.resample not in list(Image.Resampling):
        yield f"resample is {processor.resample!r:.40}, which Pillow does not know"
    for name in ("image_mean", "image_std"):
        values = getattr(processor, name)
        numbers = isinstance(values, list | tuple) and all(map(_is_number, values))
        if processor.do_normalize and (not numbers or len(values) != 3):
            yield f"{name} is {values!r:.40}, not three numbers"
    if processor.do_normalize and 0 in processor.image_std:
        yield "image_std has a zero"
    if processor.do_rescale and not _is_number(processor.rescale_factor):
        yield f"rescale_factor is {processor.rescale_factor!r:.40}, not a number"


def faults_of_tokenizer(tokenizer: Any, vocab_size: int) -> Iterator[str]:
    """Yield what is wrong with a tokenizer for a model with a vocabulary of that size."""
    try:
        with pretrained.explained():
            # Without options: a tokenizer keeps those of its last call, and they would be saved.
            ids = tokenizer("a \N{SNOWMAN}")["input_ids"]
            largest = max(tokenizer.get_vocab().values())
    except pretrained.UnreadableError as error:
        yield str(error)
        return
    if largest >= vocab_size:
        yield f"it has a token {largest}, and the model {vocab_size} from 0"
    if ids[:1] != [tokenizer.cls_token_id] or ids[-1:] != [tokenizer.sep_token_id] or len(ids) < 2:
        yield "it does not put [CLS] before a text and [SEP] behind it"


def faults_of_size(config: Any, folder: Path | None) -> Iterator[str]:
    """Yield if a model of this config cannot be made, or not of the weights in a folder.

    What is missing there would be made up, however large; without a folder nothing is known.
    """
    from transformers import ViltModel

    try:
        with pretrained.explained(), torch.device("meta"):
            count = sum(parameter.numel() for parameter in ViltModel(config).parameters())
    except pretrained.UnreadableError as error:
        yield str(error)
        return
    files = [path for path in folder.glob("*.safetensors") if path.is_file()] if folder else []
    held = sum(path.stat().st_size for path in files) if files else _MOST_PARAMETERS
    if count > held:
        yield f"config.json describes {count:,} parameters, and {held:,} bytes cannot hold them"


def faults_of_weights(model: torch.nn.Module) -> Iterator[str]:
    """Yield the tensors that hold what is no number."""
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            yield f"{name} holds values that are no numbers"


def _outside(name: str, value: Any, low: int, high: int) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        yield f"{name} is {value!r:.40}, not a whole number from {low} to {high}"


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
