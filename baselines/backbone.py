"""Finding a ViLT checkpoint and reading its parts, with errors that say what to do.

A backbone is named by a folder in the layout of transformers (`config.json`, weights, tokenizer,
image processor), by a Hub id such as `dandelin/vilt-b32-mlm`, or as one of the small ones that lie
inside this package: `tiny` for the data set `mini`, `tiny-1` for its first edition, `mini-1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mm_imagenet_r.errors import UserError

EMBEDDED = {
    "tiny": Path(__file__).parent / "tiny_vilt",
    "tiny-1": Path(__file__).parent / "tiny_vilt_1",
}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def backbone_path(name: str | Path) -> str:
    """Return what `from_pretrained` takes for a backbone's name: a folder or a Hub id.

    Args:
        name: `tiny`, `tiny-1`, a folder, or a Hub id.

    Raises:
        UserError: The folder is absent or holds no checkpoint.
    """
    embedded = EMBEDDED.get(str(name))
    folder = embedded or Path(name).expanduser()
    if (folder / "config.json").is_file():
        return str(folder)
    if embedded:
        raise UserError(
            f"the embedded backbone is missing from {folder}: install this package anew, "
            "or name another backbone, a folder or a Hub id such as dandelin/vilt-b32-mlm"
        )
    if folder.is_dir():
        raise UserError(
            f"{folder} holds no config.json, so it is no checkpoint of transformers: name the "
            "folder that save_pretrained wrote, or 'tiny'"
        )
    if isinstance(name, Path) or not _HUB_ID.fullmatch(name):
        raise UserError(
            f"there is no folder {folder}: name a folder with a ViLT checkpoint, "
            "a Hub id such as dandelin/vilt-b32-mlm, or 'tiny'"
        )
    return name


@contextmanager
def reading(path: str, part: str) -> Iterator[None]:
    """Turn what transformers raises while it reads a part of a checkpoint into a `UserError`.

    Its progress bars and its table of unused weights (a masked-language-model head, say) are
    silenced meanwhile: what matters of that table is checked by the caller.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging as untyped

    logging: Any = untyped
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        if Path(path).is_dir():
            remedy = "copy the whole folder again from where it came, with all of its files"
        else:
            remedy = (
                "there is no such folder here, and it could not be fetched from the Hub; check the "
                "name and the network, or fetch it elsewhere (hf download "
                f"{path} --local-dir vilt) and name that folder; 'tiny' needs no network"
            )
        message = f"the {part} of backbone {path!r} cannot be read: {remedy} ({reason})"
        raise UserError(message) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def read_config(path: str) -> Any:
    """Read the `ViltConfig` of a backbone.

    Raises:
        UserError: It cannot be read, or is that of another kind of model.
    """
    from transformers import AutoConfig

    with reading(path, "config"):
        config = AutoConfig.from_pretrained(path)
    if config.model_type != "vilt":
        raise UserError(
            f"backbone {path!r} is a {config.model_type!r} model and no ViLT: "
            "name a ViLT checkpoint such as dandelin/vilt-b32-mlm, or 'tiny'"
        )
    if not isinstance(config.image_size, int) or not isinstance(config.patch_size, int):
        raise UserError(
            f"backbone {path!r} has a non-square image_size or patch_size, which transformers' "
            "ViLT cannot run either: name another checkpoint"
        )
    return config


def read_image_processor(path: str) -> Any:
    """Read the Pillow image processor of a backbone (the other one needs torchvision).

    Raises:
        UserError: It cannot be read.
    """
    from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

    with reading(path, "image processor"):
        return ViltImageProcessorPil.from_pretrained(path)


def read_tokenizer(path: str, vocab_size: int) -> Any:
    """Read the tokenizer of a backbone.

    Args:
        path: Folder or Hub id.
        vocab_size: Rows of the model's word embedding.

    Raises:
        UserError: It cannot be read, has no vocabulary, or has more words than the model.
    """
    from transformers import AutoTokenizer

    with reading(path, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(path)
    # transformers 5 makes up a tokenizer of special tokens alone where the files are missing.
    if not len(set(tokenizer.all_special_ids)) < len(tokenizer) <= vocab_size:
        raise UserError(
            f"the tokenizer of backbone {path!r} has {len(tokenizer)} tokens and the model "
            f"{vocab_size}: its files (tokenizer.json or vocab.txt) are missing or belong to "
            "another model; copy them from where the checkpoint came"
        )
    return tokenizer
