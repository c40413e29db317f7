"""Hashes of source code that comments, docstrings and layout do not change.

A result names the code that it was computed by: the method's own and that of the harness.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from benchmark.method import Method

#: What decides predictions and memory of every method, as paths below `benchmark/`; those of them
#: there are. Metrics follow from predictions whenever a result is read, so they are not among them.
HARNESS: Final = (
    "budget.py", "checkpoint.py", "context.py", "devices.py", "evaluation.py", "exemplar.py",
    "experiment.py", "isolation.py", "memory.py", "memory_store.py", "method.py", "phase.py",
    "processes.py", "randomness.py", "state_file.py", "training.py", "data/samples.py",
    "data/stored_images.py",
)  # fmt: skip
_BENCHMARK: Final = Path(__file__).parent
_NOT_METHODS: Final = {"benchmark", "mm_imagenet_r"}


def method_sources(method: type[Method]) -> dict[str, bytes]:
    """The files that a method is written in, by a short name.

    That is its file, those of the classes it derives from, and what they import: of `baselines`, of
    their own package, or beside a file that was given by its path.
    """
    modules = [kind.__module__ for kind in method.__mro__ if issubclass(kind, Method)]
    modules = [name for name in modules if name.partition(".")[0] not in _NOT_METHODS]
    roots = [root for name in ["baselines", *modules] if (root := _root(name)) is not None]
    todo = [path for name in modules if (path := _file(name)) is not None]
    found: dict[Path, bytes] = {}
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found[path] = path.read_bytes()
        beside = path.parent
        for name in _imported(found[path], _package(path, roots)):
            top = name.partition(".")[0]
            if top in _NOT_METHODS:
                continue
            owners = [root for root, own in roots if own == top]
            if not owners and any(path.is_relative_to(root) and not own for root, own in roots):
                owners = [beside]
            todo += [file for root in owners if (file := _below(root, name)) is not None]
    return _named(found, [root for root, _ in roots])


def method_sha256(method: type[Method]) -> str:
    """Hash of the code of `method_sources`, independent of its place."""
    return sources_sha256(method_sources(method).values())


def harness_sha256(folder: Path = _BENCHMARK) -> str:
    """Hash of the code that trains, keeps, tests and counts for every method."""
    paths = [folder / name for name in HARNESS]
    return sources_sha256(path.read_bytes() for path in paths if path.is_file())


@functools.cache  # a grid of runs asks for the same files again and again
def code_sha256(source: bytes) -> str:
    r"""Hash of the syntax tree of a file without docstrings, so without comments and layout too.

    >>> code_sha256(b"x=1") == code_sha256(b"# one\nx = 1\n") != code_sha256(b"x = 2")
    True
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] if isinstance(first.value.value, str) else node.body
    return hashlib.sha256("".join(_written(tree)).encode()).hexdigest()


def _written(value: object) -> Iterator[str]:
    """A syntax tree as text; as `ast.dump`, but equal in every version of Python."""
    if isinstance(value, ast.AST):
        yield f"{type(value).__name__}("
        for name, inner in ast.iter_fields(value):
            if inner not in (None, []) or isinstance(value, ast.Constant):
                yield f"{name}="
                yield from _written(inner)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for inner in value:
            yield from _written(inner)
            yield ","
        yield "]"
    else:
        yield repr(value)


def sources_sha256(sources: Iterable[bytes]) -> str:
    """Hash of the code of several files in any order; raise SyntaxError if one is not Python."""
    hashes = sorted(map(code_sha256, sources))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


@functools.cache
def _imported(source: bytes, package: str) -> frozenset[str]:
    """Full names of all modules that a file of a package may import, and of their packages."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                above = parts[: len(parts) - (node.level - 1)]
                base = ".".join([*above, *([base] if base else [])])
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
        for name in filter(None, names):
            parts = name.split(".")
            found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return frozenset(found)


def _root(module: str) -> tuple[Path, str] | None:
    """The folder that a module's top package lies in and its name; "" for a file by its path."""
    top = module.partition(".")[0]
    if top == "baselines":
        return _BENCHMARK.parent, top
    loaded = sys.modules.get(top)
    if loaded is not None and hasattr(loaded, "__path__"):
        return Path(next(iter(loaded.__path__))).resolve().parent, top
    path = _file(module)
    return (path.parent, "") if path else None


def _file(module: str) -> Path | None:
    path = getattr(sys.modules.get(module), "__file__", None)
    return Path(path).resolve() if path else None


def _below(root: Path, name: str) -> Path | None:
    """The file of a module below the folder that its top package lies in."""
    place = root.joinpath(*name.split("."))
    for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if path.is_file():
            return path.resolve()
    return None


def _package(path: Path, roots: Iterable[tuple[Path, str]]) -> str:
    """Full name of the package that a file is in."""
    for root, own in roots:
        if own and path.is_relative_to(root / own):
            return ".".join(path.parent.relative_to(root).parts)
    return ""


def _named(found: dict[Path, bytes], roots: list[Path]) -> dict[str, bytes]:
    """Names relative to the nearest root; a number tells apart files of one name."""
    named: dict[str, bytes] = {}
    for path in sorted(found):
        own = [path.relative_to(root) for root in roots if path.is_relative_to(root)]
        name = min(own, key=lambda p: len(p.parts)).as_posix() if own else path.name
        number = 1
        while name in named:
            number += 1
            name = f"{number}-{path.name}"
        named[name] = found[path]
    return named
