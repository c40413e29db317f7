"""Models on the Hub or in a folder: which one exactly, and how it is loaded."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mm_imagenet_r import caches, pretrained
from mm_imagenet_r.errors import UserError, one_line
from mm_imagenet_r.hashes import file_sha256, json_sha256

#: Files that `from_pretrained` reads from a folder: weights, which lie in it, and small ones, which
#: may lie in folders of tokenizers and templates; neither includes the records of a download.
_WEIGHTS: Final = ("*.safetensors", "pytorch_model*.bin", "adapter_model.bin")
_SMALL: Final = ("*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab*.txt")
#: Reading more bytes than this is announced.
_LONG: Final = 2 << 30
#: What to do if a model does not load, by what the error mentions.
_REMEDIES: Final = {
    "out of memory": "give --dtype float16 or bfloat16, a larger GPU or fewer --workers; run a "
    "model that needs several GPUs on a server",
    "torchvision": "this family also takes videos, for which transformers needs torchvision: "
    "install the release that belongs to your torch",
    "code of its own": "run it on a server, or give a captioner of your own by --backend",
    "pickled": "then give the same command again",
    "": "its folder must hold weights and processor; if a file may be truncated, download or copy "
    "it again",
}


def config_of(model: str, revision: str | None) -> Any:
    """Read the configuration of a model, which is an identifier on the Hub or a folder.

    Raises:
        UserError: There is no such model, or it needs code of its own.
    """
    from transformers import AutoConfig

    if "://" in model:
        raise UserError(f"{model} is the address of a server: leave --backend out, or give a model")
    if revision is not None and pretrained.is_folder(model):
        raise UserError(f"--revision is for models on the Hub; {model} is a folder: leave it out")
    try:
        if pretrained.is_folder(model):
            pretrained.check(Path(model))
        return pretrained.read(AutoConfig, model, revision=revision)
    except pretrained.UnreadableError as error:
        if pretrained.is_folder(model) and (Path(model) / "config.json").exists():
            raise _refusal(model, error) from error
        raise UserError(
            f"--model {one_line(model)} cannot be loaded ({error}): give an identifier on the "
            "Hub (for a private or gated model log in with `hf auth login`), or a folder that "
            "`save_pretrained` has written. The address of a server begins with http://, and a "
            "captioner of your own is named by --backend"
        ) from error


def hash_folder(folder: Path) -> str:
    """Hash exactly what a model's captions depend on: names and bytes of the files it loads.

    The hash of a file is remembered until the file changes.
    """
    found = {path for pattern in _WEIGHTS for path in folder.glob(pattern)}
    found |= {path for pattern in _SMALL for path in folder.rglob(pattern)}
    files = {
        name.as_posix(): folder / name
        for name in sorted(path.relative_to(folder) for path in found if path.is_file())
        if not any(part.startswith(".") for part in name.parts)
    }
    memory = {name: caches.memory_of(path, "model") for name, path in files.items()}
    hashes = {name: caches.recall(place) for name, place in memory.items()}
    new = [name for name, known in hashes.items() if known is None]
    size = sum(files[name].stat().st_size for name in new)
    if size > _LONG:
        print(f"note: reading {size / (1 << 30):.0f} GiB of {folder} once to identify the model")
    for name in new:
        hashes[name] = file_sha256(files[name])
        caches.remember(memory[name], hashes[name])
    return json_sha256(hashes)[:16]


def choose_device(device: str) -> str:
    """Return a device; for `auto` a GPU if there is one. Raises UserError if it is unknown."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        known = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
        raise UserError(
            f"--device {device} cannot be used ({one_line(str(error))}): known: {', '.join(known)}"
        ) from error
    return device


def name_device(device: str) -> str:
    """Return what a device is called, such as `NVIDIA H100 80GB HBM3`, or `cpu`."""
    import torch

    chosen = choose_device(device)
    return torch.cuda.get_device_name(chosen) if chosen.startswith("cuda") else chosen


def load(loader: Any, model: str, identity: Mapping[str, Any], **options: Any) -> Any:
    """Call `loader.from_pretrained` for exactly the identified model.

    Raises:
        UserError: A file is missing or damaged, or a library that the model needs, or memory.
    """
    logging: Any = importlib.import_module("transformers.utils.logging")
    if not pretrained.is_folder(model):
        options["revision"] = identity["revision"]
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # there is one of ours; that of downloads is another
    try:
        return pretrained.read(loader, model, **options)
    except pretrained.UnreadableError as error:
        raise _refusal(model, error) from error
    finally:
        if shown:
            logging.enable_progress_bar()


def _refusal(model: str, error: pretrained.UnreadableError) -> UserError:
    said = f"{error} {error.__cause__}"
    remedy = next(remedy for sign, remedy in _REMEDIES.items() if sign in said)
    return UserError(f"--model {model} cannot be loaded ({error}): {remedy}")


def load_model(loader: Any, model: str, identity: Mapping[str, Any], device: str) -> Any:
    """Call `load` for inference, straight onto a device, as workers share the main memory."""
    import torch

    dtype = getattr(torch, identity["dtype"])
    placed = {"dtype": dtype, "device_map": {"": device}}
    loaded = load(loader, model, identity, use_safetensors=True, **placed)
    return loaded.eval().requires_grad_(False)
