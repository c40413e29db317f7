"""The arrows between the packages, and that asking for help costs nothing."""

from __future__ import annotations

import ast
import graphlib
import json
import resource
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: What each package may import of the three.
MAY_IMPORT = {
    "mm_imagenet_r": {"mm_imagenet_r"},
    "benchmark": {"benchmark", "mm_imagenet_r"},
    "baselines": {"baselines", "benchmark", "mm_imagenet_r"},
}
MODULES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
#: Loaded by `--help` and `--list`: nothing heavy at module level.
LIGHT = [
    ROOT / "benchmark" / f"{name}.py"
    for name in (
        "__init__", "run", "config", "options", "method", "load_method",
        "sweep/__init__", "sweep/__main__", "sweep/command",
    )
]  # fmt: skip
HEAVY = {"torch", "transformers", "accelerate", "datasets", "matplotlib", "pandas", "pyarrow"}


def imports(tree: ast.AST, *, anywhere: bool = True) -> Iterator[str]:
    """Whole names of imported modules.

    Args:
        tree: What to look through.
        anywhere: Imports in functions and for type checkers too, not only those that are
            carried out when the module is imported.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not anywhere and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif not anywhere and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from imports(ast.Module(node.orelse, []), anywhere=False)
        else:
            yield from imports(node, anywhere=anywhere)


def roots(path: Path, *, anywhere: bool = True) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {name.partition(".")[0] for name in imports(tree, anywhere=anywhere)}


def test_import_reader_tells_when_an_import_happens() -> None:
    source = (
        "import a.b\nfrom c import d\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import e\nelse:\n    import f\n"
        "try:\n    import g\nexcept ImportError:\n    pass\n"
        "class K:\n    import h\n    def m(self):\n        import i\n"
    )
    tree = ast.parse(source)
    assert {n[0] for n in imports(tree)} == set("abcdefghit") - {"b", "d"}
    assert {n[0] for n in imports(tree, anywhere=False)} == set("acfght")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    assert not roots(path) & MAY_IMPORT.keys() - MAY_IMPORT[package]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(tree: ast.AST, known: Collection[str]) -> set[str]:
    """Of the known modules those that are imported, wherever; not for a type checker alone."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & set(known)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & set(known)
            found |= {str(node.module)} & set(known) if names - set(known) else set()
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            found |= imported_modules(node, known)
    return found


def circle(graph: Mapping[str, Collection[str]]) -> list[str]:
    """Modules that import each other in a circle; [] if none do."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even inside functions: who is above whom is seen from the imports alone."""
    trees = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
    graph = {name: imported_modules(tree, trees) - {name} for name, tree in trees.items()}
    assert circle(graph) == []
    assert sum(map(len, graph.values())) > 500
    late = ast.parse("def f():\n    from a.b import c\n")
    assert set(circle({"a.b": {"d"}, "d": imported_modules(late, {"a.b"})})) == {"a.b", "d"}


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.is_relative_to(ROOT / "mm_imagenet_r")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_data_know_no_torch(path: Path) -> None:
    making_captions = path.is_relative_to(ROOT / "mm_imagenet_r" / "captions")
    found = roots(path, anywhere=not making_captions)  # there it is imported when first used
    assert not found & {"torch", "transformers", "accelerate"}


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.name)
def test_the_door_imports_nothing_heavy(path: Path) -> None:
    assert not roots(path, anywhere=False) & HEAVY


@pytest.mark.parametrize(
    ("module", "option"), [("run", "--help"), ("run", "--list"), ("sweep", "--help")]
)
def test_help_and_list_answer_at_once(module: str, option: str) -> None:
    code = (
        "import atexit, json, runpy, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        f"sys.argv = ['benchmark.{module}', {option!r}]\n"
        f"runpy.run_module('benchmark.{module}', run_name='__main__', alter_sys=True)\n"
    )
    command = [sys.executable, "-c", code]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "exemplar_masking" in done.stdout
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert not loaded & HEAVY
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert seconds < 0.5
