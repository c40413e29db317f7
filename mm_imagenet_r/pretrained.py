"""Models that others made, as `transformers` reads them: their data, and never their code."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mm_imagenet_r.errors import is_failure, one_line
from mm_imagenet_r.reading import open_regular, parse_json, read_text

#: Files beside the weights that are read whole: objects in JSON, and texts.
_OBJECTS: Final = (
    "added_tokens.json", "chat_template.json", "config.json", "generation_config.json",
    "model.safetensors.index.json", "preprocessor_config.json", "processor_config.json",
    "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
    "video_preprocessor_config.json", "vocab.json",
)  # fmt: skip
_TEXTS: Final = ("*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt")
#: What the names of settings end with whose texts are taken for paths.
_PATHS: Final = ("_file", "merges", "vocab")
#: Bytes of any of them: the tokenizers of 260,000 tokens have 35 MB.
_MOST: Final = 2**26


class UnreadableError(Exception):
    """Why a model cannot be read, in one line."""


def is_folder(model: str) -> bool:
    """Tell a folder from an identifier on the Hub and from anything else."""
    try:
        return Path(model).is_dir()
    except OSError:  # a name that no file can have
        return False


def check(folder: Path) -> None:
    """Look at the files of a model before a library does, which trusts them.

    Raises:
        UnreadableError: One is not a regular file, or too long, or not an object in JSON, or names
            a file elsewhere.
    """
    for place in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(path for name in (*_OBJECTS, *_TEXTS) for path in place.glob(name)):
            try:
                with open_regular(path) as file:
                    size = file.seek(0, 2)
                if size > _MOST:
                    raise ValueError(f"it has {size:,} bytes, more than any of its kind")
                if path.name in _OBJECTS:
                    _check_object(parse_json(read_text(path, _MOST)))
            except (OSError, ValueError, RecursionError) as error:
                why = getattr(error, "strerror", None) or str(error)
                raise UnreadableError(f"{path.relative_to(folder)}: {one_line(why)}") from error


def _check_object(content: Any) -> None:
    if not isinstance(content, dict):
        raise ValueError("it is not an object {...} in JSON")
    for name, value in content.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                _check_object(inner)
            # It would be opened as it is; one that is not there is left from its author's machine.
            is_path = isinstance(inner, str) and os.sep in inner and name.endswith(_PATHS)
            if is_path and os.path.lexists(inner):
                raise ValueError(f"{name} is {inner!r}, which is no part of the model")


def read(kind: Any, model: str, **options: Any) -> Any:
    """Return `kind.from_pretrained(model)`; what would need code of the model's own is refused.

    Args:
        kind: A class of transformers; one with weights needs the option `use_safetensors`.
        model: A folder, or an identifier on the Hub.
        options: For `from_pretrained`.

    Raises:
        UnreadableError: It cannot be read, or not without running code that comes with it.
    """
    try:
        with explained():
            return kind.from_pretrained(model, trust_remote_code=False, **options)
    except UnreadableError as error:
        said = str(error.__cause__)
        if "trust_remote_code" in said:
            raise UnreadableError("it needs code of its own, which is not run") from error
        is_pickled = "use_safetensors" in said or _has_only_pickles(model)
        if options.get("use_safetensors") and is_pickled:
            raise UnreadableError(_convert(kind.__name__, model)) from error
        raise


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise UnreadableError for whatever a library raises that reads a model."""
    try:
        yield
    except BaseException as error:  # each library reports damage in its own way
        if not is_failure(error):
            raise
        raise UnreadableError(f"{type(error).__name__}: {one_line(str(error))}") from error


def _has_only_pickles(model: str) -> bool:
    folder = Path(model)
    return is_folder(model) and any(folder.glob("*.bin")) and not any(folder.glob("*.safetensors"))


def _convert(kind: str, model: str) -> str:
    """Say how to do without pickles; the library would advise to switch a protection off."""
    folder = model if is_folder(model) else "FOLDER"
    first = "" if folder == model else f"hf download {model} --local-dir FOLDER, and "
    return (
        "its weights are pickled, which is not read, as it can hold code; if you trust their "
        f'source, write them as safetensors: {first}python -c "from transformers import {kind} as '
        f"M; M.from_pretrained('{folder}').save_pretrained('{folder}')\""
    )
