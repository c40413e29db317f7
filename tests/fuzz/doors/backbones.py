"""A folder of a pretrained model that somebody else made."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from ..door import Case, Damage, Door, UnsuitedError
from ..generic import GENERIC
from ..pictures import write_folder
from ..values import ODD, change, in_json
from .common import run

_WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "ant",
    "bee",
    "cat",
    "dog",
    "on",
    "grass",
]


def _build(folder: Path) -> None:
    import torch
    from transformers import BertTokenizer, ViltConfig, ViltModel, ViltProcessor
    from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

    write_folder(folder / "data", 4)
    config = ViltConfig(
        vocab_size=len(_WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, image_size=32, patch_size=16, max_position_embeddings=12,
            pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = ViltModel(config)
    model.save_pretrained(folder / "backbone")
    pictures: Any = ViltImageProcessorPil
    pictures = pictures(size={"shortest_edge": 32}, size_divisor=16)
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(_WORDS)})
    make: Any = ViltProcessor
    processor = make(pictures, tokenizer)
    processor.save_pretrained(folder / "backbone")


def _header(case: Case) -> None:
    """The header of the weights, or its length."""
    path = case.some_file(".safetensors")
    data = path.read_bytes()
    try:
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + size])
        name = case.rng.choice(sorted(header))
    except (ValueError, struct.error) as error:
        raise UnsuitedError from error
    odd = (0, 1, size - 1, size + 1, 2**32, 2**63, 2**64 - 1, 100_000_001)
    what = case.rng.randrange(5)
    if what == 0:
        path.write_bytes(struct.pack("<Q", case.rng.choice(odd)) + data[8:])
        return
    if what == 1:
        header[case.rng.choice((f"{name}x", "__metadata__", ""))] = header.pop(name)
    elif what == 2 and "shape" in header[name]:
        header[name]["shape"] = case.rng.choice(
            ([], [0], [2**40, 2**40], [-1], header[name]["shape"][::-1])
        )
    elif what == 3 and "dtype" in header[name]:
        header[name]["dtype"] = case.rng.choice(("F16", "F64", "I8", "BOOL", "F8_E4M3", "X", 1))
    else:
        header = change(header, case.rng)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def _config(case: Case) -> None:
    """A setting of the model that few have, or that asks for code to be run."""
    path = case.some_file("config.json")
    sides = (0, -1, 1, 7, 10**9, 1.5, None, "32", [32, 32], True, "../../outside")
    keys = {
        "auto_map": ({"AutoConfig": "code.Config", "AutoTokenizer": "code.T"}, {"AutoConfig": 1},
        "x", []),
        "model_type": ("vilt", "bert", "unknown", "", None, 1, [], "../x"),
        "architectures": (None, [], ["X"], "X"),
        "dtype": ("float16", "bfloat16", "x", None, 1, "float8_e4m3fn"),
        "quantization_config": ({}, {"quant_method": "bitsandbytes"}, {"quant_method": "x"}, 1),
        "tokenizer_class": ("X", None, 1, "BertTokenizer", "PreTrainedTokenizerFast"),
        "hidden_act": ("x", None, "relu", "__import__"), "num_attention_heads": sides,
        **dict.fromkeys(("hidden_size", "num_hidden_layers", "image_size", "patch_size",
                         "vocab_size",
                         "max_position_embeddings", "num_channels", "type_vocab_size",
                         "size_divisor",
                         "layer_norm_eps", "max_image_length", "model_max_length", "size"), sides),
    }  # fmt: skip
    try:
        found = json.loads(path.read_bytes())
        key = case.rng.choice(sorted(keys))
        found[key] = case.rng.choice((*keys[key], *keys[key], case.rng.choice(ODD)))
    except (ValueError, TypeError) as error:
        raise UnsuitedError from error
    path.write_text(json.dumps(found))
    code = "open('../outside/ran', 'w').close()\nfrom transformers import ViltConfig as Config\n"
    (path.parent / "code.py").write_text(code)


_OWN: dict[str, Damage] = in_json() | {"header": _header, "setting": _config, "a setting": _config}


def _try(case: Case) -> int:
    return run("--dry-run", "--backbone", "backbone", method="finetune")


BACKBONE = Door("backbone", _build, _OWN, _try, "backbone", GENERIC)
