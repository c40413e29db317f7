"""Models on the Hub or in a folder: which one exactly, and how it is loaded."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.captions.captioner import Request
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    import torch

#: Files up to this size are hashed whole; of larger ones, which hold weights, both ends.
_WHOLE: Final = 1 << 20


def config_of(model: str, revision: str | None) -> tuple[Any, str]:
    """Read a model's configuration, and say exactly which model it is.

    Args:
        model: Identifier on the Hub, or a folder.
        revision: Branch, tag or commit on the Hub.

    Returns:
        The configuration; and the commit on the Hub, or `sha256:` and a hash of the folder.

    Raises:
        UserError: There is no such model, or it needs code of its own.
    """
    from transformers import AutoConfig

    if "://" in model:
        raise UserError(f"{model} is the address of a server: leave --backend out, or give a model")
    folder = Path(model)
    if revision is not None and folder.is_dir():
        raise UserError(f"--revision is for models on the Hub; {model} is a folder: leave it out")
    try:
        config = AutoConfig.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as error:
        looks_like_path = folder.is_absolute() or model.startswith((".", "~")) or folder.is_dir()
        raise UserError(
            f"--model {model} cannot be loaded ({_first_line(error)}). "
            + (
                "Give a folder that `save_pretrained` has written (model and processor)"
                if looks_like_path
                else "Check the identifier; for a private or gated model log in with "
                "`hf auth login`; without a network give the folder of a model"
            )
        ) from error
    if folder.is_dir():
        return config, f"sha256:{hash_folder(folder)}"
    return config, str(getattr(config, "_commit_hash", None) or revision or "main")


def name_of(model: str) -> str:
    """Return a model's identifier on the Hub, of a folder its name: it may lie anywhere."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def hash_folder(folder: Path) -> str:
    """Hash what a folder holds: names, sizes, small files whole and of large ones both ends."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_WHOLE))
            if size > _WHOLE:
                file.seek(max(_WHOLE, size - _WHOLE))
                digest.update(file.read())
    return digest.hexdigest()[:16]


def choose_device(device: str) -> str:
    """Return a device by its name in torch; for `auto` a GPU if there is one.

    Raises:
        UserError: There is no such device.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"--device {device} cannot be used ({_first_line(error)}): there are cpu"
            + "".join(f", cuda:{n}" for n in range(torch.cuda.device_count()))
        ) from error
    return device


def choose_dtype(request: Request, on_gpu: str) -> str:
    """Return a precision by its name: the one asked for, else 32 bits on a CPU, `on_gpu` there."""
    if request.dtype != "auto":
        return request.dtype
    return on_gpu if choose_device(request.device).startswith("cuda") else "float32"


def load(loader: Any, model: str, identity: Mapping[str, Any], **options: Any) -> Any:
    """Call `loader.from_pretrained` for exactly the identified model.

    Raises:
        UserError: A file is missing, or a library that the model needs.
    """
    logging: Any = importlib.import_module("transformers.utils.logging")
    if not Path(model).is_dir():
        options["revision"] = identity["revision"]
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # there is one of ours; that of downloads is another
    try:
        return loader.from_pretrained(model, **options)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        hint = (
            " This family also takes videos, for which transformers needs torchvision: install "
            "the release that belongs to your torch"
            if "torchvision" in str(error)
            else ""
        )
        raise UserError(
            f"--model {model} cannot be loaded ({_first_line(error)}): give a model whose folder "
            f"holds weights and processor.{hint}"
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()


def to_device(model: Any, device: str) -> Any:
    """Move a model for inference; no gradients are ever needed."""
    return model.to(device).eval().requires_grad_(False)


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's type of a name, such as `float16`."""
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return dtype


def end_tokens(*found: int | Iterable[int] | None) -> list[int]:
    """Join the tokens that end a text; configurations and tokenizers do not always agree on them.

    >>> end_tokens(2, [1, 2], None)
    [1, 2]
    """
    tokens: set[int] = set()
    for some in found:
        tokens.update(() if some is None else [some] if isinstance(some, int) else some)
    return sorted(tokens)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".:") if text else type(error).__name__
