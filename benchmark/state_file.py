"""The file that a method's tensors are committed to: what is charged, and what is loaded again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from benchmark import run_files
from benchmark.errors import ContractError
from benchmark.results.schema import OutsideMemory, StateInfo


def encode(state: Mapping[str, torch.Tensor]) -> tuple[bytes, StateInfo, OutsideMemory]:
    """The file of a state, its hash and length, and what is charged for it by part.

    Tensors are rebuilt from their values alone: neither the storage behind a view nor an attribute
    of a tensor reaches the next phase. Names are part of the file, and so of what is charged.

    Raises:
        ContractError: The state is not a mapping of names to tensors.

    >>> data, info, outside = encode({"head.weight": torch.zeros(2, 3), "head.bias": torch.ones(2)})
    >>> info["bytes"] == len(data) == outside["bytes"], outside["what"]["head"]
    (True, 32)
    """
    plain: dict[str, torch.Tensor] = {}
    what: dict[str, int] = {}
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ContractError(f"state returned {name!r}: {type(tensor).__name__}, not a tensor")
        values = tensor.detach().cpu()
        plain[name] = torch.empty(values.shape, dtype=values.dtype).copy_(values)
        part = name.partition(".")[0]
        what[part] = what.get(part, 0) + plain[name].numel() * plain[name].element_size()
    try:
        data = save(plain)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ContractError(f"state returned tensors that cannot be written: {error}") from error
    what["names and shapes"] = len(data) - sum(what.values())
    info: StateInfo = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return data, info, {"bytes": len(data), "what": what}


def read(path: Path, info: StateInfo) -> dict[str, torch.Tensor]:
    """The tensors of a state file.

    Raises:
        UserError: The file is missing or not the one that was written.
    """
    return load(run_files.read(path, info["sha256"], info["bytes"] or None))
