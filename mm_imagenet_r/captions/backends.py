"""Back ends by name, including user-defined classes, which are checked against `Captioner`.

A mistake in a user's class is reported as such, with its line, before it can spoil a caption set.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from mm_imagenet_r.captions.captioner import Caption, Captioner, Request
from mm_imagenet_r.errors import UserError, did_you_mean, summarize

if TYPE_CHECKING:
    from PIL.Image import Image

#: Where the back ends are; strings, so that naming one imports nothing.
BACKENDS: Final[dict[str, str]] = {
    "instructblip": "mm_imagenet_r.captions.instructblip:InstructBlip",
    "transformers": "mm_imagenet_r.captions.image_text_to_text:ImageTextToText",
    "served": "mm_imagenet_r.captions.served:Served",
}
_OURS: Final = f"{__name__.partition('.')[0]}."
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
    module = _import_file(Path(module_name)) if is_file else _import(module_name)
    found = getattr(module, class_name, None)
    if not _is_captioner(found):
        own = {key for key, value in vars(module).items() if _is_captioner(value)} - {"Captioner"}
        base = f"{Captioner.__module__}.Captioner"
        hint = f"write a class in {module_name} that derives from {base}"
        raise UserError(
            f"--backend {name} is not a Captioner: {did_you_mean(class_name, own) if own else hint}"
        )
    if absent := sorted(found.__abstractmethods__):
        raise UserError(
            f"--backend {name} has no {summarize(absent)}: every Captioner must define it"
        )
    return found


def identify(backend: type[Captioner], request: Request) -> dict[str, Any]:
    """Return what determines the captions of a back end, see `Captioner.identify`.

    Returns:
        For a user's class also its name and a hash of its file: another class makes other
        captions.

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
    hashes = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]
    source = hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
    return {**identity, "backend": _name(backend), "source_sha256": source}


def describe(backend: type[Captioner], request: Request) -> dict[str, Any]:
    """Return `Captioner.describe`, or raise UserError if it fails or does not return JSON."""
    return _json_of(backend, "describe", request)


def load(
    backend: type[Captioner], request: Request, identity: Mapping[str, Any], device: str
) -> Captioner:
    """Make a captioner, or raise UserError if it does not load."""
    with _blaming(backend, "__init__"):
        return backend(request, identity, device)


def caption(captioner: Captioner, images: Sequence[Image]) -> list[Caption]:
    """Caption images, see `Captioner.__call__`.

    Raises:
        UserError: No further image can be captioned either, or the result is not a list of
            captions.
    """
    made: object = captioner(images)
    if not isinstance(made, Sequence) or isinstance(made, str):
        wrong = f"a {type(made).__name__}"
    elif len(made) != len(images):
        wrong = f"{len(made)} captions for a batch of {len(images)}"
    elif invalid := [each for each in made if not _is_valid(each)]:
        wrong = f"{invalid[0]!r:.80} as a caption"
    else:
        return list(made)
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
        and isinstance(made.n_tokens, int | None)
    )


def _user_files(backend: type[Captioner]) -> list[str]:
    """Files of a user's class and of those it derives from; none for a built-in one."""
    kinds = [kind for kind in backend.__mro__ if issubclass(kind, Captioner)]
    return [inspect.getfile(kind) for kind in kinds if not kind.__module__.startswith(_OURS)]


def _json_of(backend: type[Captioner], method: str, request: Request) -> dict[str, Any]:
    with _blaming(backend, method):
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
def _blaming(backend: type[Captioner], method: str) -> Iterator[None]:
    """Report an error of a user's class as such; one of a built-in class is a bug of ours."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not (files := _user_files(backend)):
            raise
        raise UserError(
            f"{_name(backend)}: {method} fails with {_located(error, files)}. Fix it"
        ) from error


def _located(error: Exception, files: Sequence[str] = ()) -> str:
    """An error and the last line that led to it, within these files if any are given."""
    lines = [
        f"{Path(frame.filename).name} line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not files or frame.filename in files
    ]
    return ", ".join([f"{type(error).__name__}: {error}", *lines[-1:]])


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"--backend: there is no module {name}: check the name, or give the file, "
                "path/to/file.py:Class"
            ) from error
        raise UserError(f"{name} needs {error.name}: install it") from error
    except Exception as error:
        raise UserError(f"{name} cannot be imported ({_located(error)}): fix it") from error


def _import_file(path: Path) -> Any:
    """Import a file under its own name, by which worker processes find it too."""
    if not path.is_file():
        raise UserError(f"--backend: there is no file {path}; check the path")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    module = _import(path.stem)
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise UserError(f"{path} has the name of another module, {module.__file__}: rename it")
    return module
