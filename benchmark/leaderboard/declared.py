"""What registered methods say of themselves, read from their files: importing one imports torch."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmark.legacy import RENAMED_SETTINGS
from benchmark.registry import REGISTRY

_ROOT: Final = Path(__file__).parents[2]  # of the packages


class Declared(NamedTuple):
    """Of one method: `about`, its presets, and the names of its settings, former ones too."""

    about: Mapping[str, str]
    presets: frozenset[str]
    settings: frozenset[str]


@functools.cache
def declared(name: str) -> Declared:
    """What a registered method declares, itself or by a class that it derives from."""
    line = [_assigned(node) for node in _line(REGISTRY[name].address.partition(":")[2])]

    def value(key: str) -> Any:
        return next((ast.literal_eval(found[key]) for found in line if key in found), {})

    kind = next((ast.unparse(found["Settings"]) for found in line if "Settings" in found), "")
    settings = {field for node in _line(kind) for field in _fields(node)}
    settings |= {old for old, new in RENAMED_SETTINGS.items() if new in settings}
    return Declared(value("about"), frozenset(value("presets")), frozenset(settings))


def file_of(name: str) -> str:
    """The file of a registered method, as it lies in `source/` too."""
    return REGISTRY[name].address.partition(":")[0].replace(".", "/") + ".py"


@functools.cache
def _classes() -> dict[str, ast.ClassDef]:
    """The classes of all files of the package of methods, by name."""
    files = sorted((_ROOT / "baselines").rglob("*.py"))
    nodes = (node for file in files for node in ast.parse(file.read_bytes()).body)
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


def _line(name: str) -> Iterator[ast.ClassDef]:
    """A class and those that it derives from, nearest first, as far as they are methods' own."""
    node = _classes().get(name)
    if node is not None:
        yield node
        for base in node.bases:
            yield from _line(ast.unparse(base))


def _assigned(node: ast.ClassDef) -> dict[str, ast.expr]:
    """What a class assigns in its body, by name."""
    found: dict[str, ast.expr] = {}
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and line.value is not None:
            found[ast.unparse(line.target)] = line.value
        elif isinstance(line, ast.Assign):
            found |= {ast.unparse(target): line.value for target in line.targets}
    return found


def _fields(node: ast.ClassDef) -> list[str]:
    return [
        ast.unparse(line.target)
        for line in node.body
        if isinstance(line, ast.AnnAssign) and "ClassVar" not in ast.unparse(line.annotation)
    ]
