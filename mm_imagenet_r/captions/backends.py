"""Back ends by name, including user-defined classes, which are checked against `Captioner`.

A mistake in a user's class is reported as such, with its line, before it can spoil a caption set.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from mm_imagenet_r.captions.captioner import Caption, Captioner, Request, is_count
from mm_imagenet_r.errors import UserError, did_you_mean, summarize
from mm_imagenet_r.hashes import file_sha256
from mm_imagenet_r.plugins import find_module, needed

if TYPE_CHECKING:
    from PIL.Image import Image

#: Where the back ends are; strings, so that naming one imports nothing.
BACKENDS: Final[dict[str, str]] = {
    "instructblip": "mm_imagenet_r.captions.instructblip:InstructBlip",
    "transformers": "mm_imagenet_r.captions.image_text_to_text:ImageTextToText",
    "served": "mm_imagenet_r.captions.served:Served",
}
_OURS: Final = f"{__name__.partition('.')[0]}."
#: Letters of a caption: ten times as many as any has.
_LONGEST: Final = 100_000
#: What determines the captions of any back end.
_IDENTITY: Final = ("model", "revision", "prompt", "decoding")


def find_captioner(name: str) -> type[Captioner]:
    """Import a back end by its name, or as `package.module:Class` or `file.py:Class`.

    Raises:
        UserError: There is no such back end, or it is not a complete `Captioner`.
    """
    module_name, colon, class_name = BACKENDS.get(name, name).rpartition(":")
    if not colon:
        raise UserError(
            f"unknown back end {name!r}: {did_you_mean(name, BACKENDS)}; name a class of your own "
            "as package.module:Class or file.py:Class"
        )
    is_file = module_name.endswith(".py")
    with _blaming(f"importing {module_name}"):
        module = _import_file(Path(module_name)) if is_file else find_module(module_name)
    found = getattr(module, class_name, None)
    if not _is_captioner(found):
        own = {key for key, value in vars(module).items() if _is_captioner(value)} - {"Captioner"}
        hint = f"write a class in {module_name} that derives from {Captioner.__module__}.Captioner"
        hint = did_you_mean(class_name, own) if own else hint
        raise UserError(f"--backend {name} is not a Captioner: {hint}")
    if absent := sorted(found.__abstractmethods__):
        raise UserError(
            f"--backend {name} has no {summarize(absent)}: every Captioner must define it"
        )
    return found


def identify(backend: type[Captioner], request: Request) -> dict[str, Any]:
    """Return what determines the captions of a back end, see `Captioner.identify`.

    For a user's class that includes its name and a hash of its file.

    Raises:
        UserError: The request does not suit it, or the identity is incomplete.
    """
    files = _user_files(backend)
    if not files:
        return backend.identify(request)
    identity = _json_of(backend, "identify", request)
    if absent := [name for name in _IDENTITY if name not in identity]:
        raise UserError(
            f"{_name(backend)}: identify does not return {summarize(absent)}; return everything "
            f"that determines the captions, at least {', '.join(_IDENTITY)}: different sets must "
            "not share a folder"
        )
    hashes = [file_sha256(Path(file)) for file in files]
    source = hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
    return {**identity, "backend": _name(backend), "source_sha256": source}


def describe(backend: type[Captioner], request: Request) -> dict[str, Any]:
    """Return `Captioner.describe`, or raise UserError if it fails or does not return JSON."""
    return _json_of(backend, "describe", request)


def load(
    backend: type[Captioner], request: Request, identity: Mapping[str, Any], device: str
) -> Captioner:
    """Make a captioner, or raise UserError if it does not load."""
    with _blaming(f"{_name(backend)}: __init__", _user_files(backend)):
        return backend(request, identity, device)


def caption(captioner: Captioner, images: Sequence[Image]) -> list[Caption]:
    """Caption images, see `Captioner.__call__`; UserError also if that returns anything else."""
    made: object = captioner(images)
    if not isinstance(made, Sequence) or isinstance(made, str):
        wrong = f"a {type(made).__name__}"
    elif len(made) != len(images):
        wrong = f"{len(made)} captions for a batch of {len(images)}"
    elif invalid := [each for each in made if not _is_valid(each)]:
        wrong = f"{invalid[0]!r:.80} as a caption"
    else:
        return [_storable(each) for each in made]
    raise UserError(
        f"{_name(type(captioner))} returns {wrong}: return a list with a Caption (text: str, "
        "finish: str, n_tokens: int or None) for each image, in order"
    )


def _name(backend: type[Captioner]) -> str:
    return f"{backend.__module__}:{backend.__qualname__}"


def _is_captioner(found: object) -> TypeGuard[type[Captioner]]:
    return isinstance(found, type) and issubclass(found, Captioner)


def _is_valid(made: object) -> bool:
    return (
        isinstance(made, Caption)
        and all(isinstance(text, str) for text in (made.text, made.finish, made.error))
        and all(count is None or is_count(count) for count in (made.n_tokens, made.n_prompt_tokens))
        and isinstance(made.served_model, str | None)
    )


def _storable(made: Caption) -> Caption:
    """A caption that a table can hold: one that it cannot is a failure, and never another one."""
    why = made.error
    if len(made.text) > _LONGEST:
        why = f"the caption has {len(made.text):,} letters"
    elif _writable(made.text) != made.text:
        why = "the caption is not text: it has half of a surrogate pair"
    if why:
        return dataclasses.replace(made, text="", finish="error", error=_writable(why))
    return dataclasses.replace(made, finish=_writable(made.finish))


def _writable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _user_files(backend: type[Captioner]) -> list[str]:
    """Files of a user's class and of those it derives from; none for a built-in one."""
    kinds = [kind for kind in backend.__mro__ if issubclass(kind, Captioner)]
    return [inspect.getfile(kind) for kind in kinds if not kind.__module__.startswith(_OURS)]


def _json_of(backend: type[Captioner], method: str, request: Request) -> dict[str, Any]:
    with _blaming(f"{_name(backend)}: {method}", _user_files(backend)):
        found = getattr(backend, method)(request)
    try:
        written = json.loads(json.dumps(found, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{_name(backend)}: {method} returns a value that is not JSON ({error}); return a "
            "dict of texts, numbers, lists and dicts"
        ) from error
    if not isinstance(written, dict):
        raise UserError(f"{_name(backend)}: {method} returns {found!r:.80}; return a dict")
    return written


@contextlib.contextmanager
def _blaming(what: str, files: Sequence[str] | None = None) -> Iterator[None]:
    """Report an error in a user's files, or in any, by its line; without files it is our bug."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if files == []:
            raise
        lines = [
            f", {Path(frame.filename).name} line {frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)
            if files is None or frame.filename in files
        ]
        fault = f"{type(error).__name__}: {error}{''.join(lines[-1:])}"
        raise UserError(f"{what} fails with {fault}. Fix it") from error


def _import_file(path: Path) -> Any:
    """Import a file under its own name, by which worker processes find it too."""
    if not path.is_file():
        raise UserError(f"--backend: there is no file {path}; check the path")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        module = importlib.import_module(path.stem)
    except ModuleNotFoundError as error:
        raise UserError(needed(path, error)) from error
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise UserError(f"{path} has the name of another module, {module.__file__}: rename it")
    return module
