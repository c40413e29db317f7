"""`--list`: the registered methods, or the settings and presets of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark.load_method import about_of, load_method
from benchmark.option_names import dashed
from benchmark.registry import REGISTRY
from mm_imagenet_r.progress import make_console

_ALL = "all"


def list_methods(name: str) -> None:
    """Print a line per method, or the settings of one or ("all") each registered one."""
    console = make_console()
    if name:
        for number, one in enumerate(REGISTRY if name == _ALL else (name,)):
            if number:
                console.print()
            _describe(one, console)
        return
    table = Table("method", "kind", "paper", "what it does", box=None, pad_edge=False)
    for method, entry in REGISTRY.items():
        table.add_row(f"[bold]{method}[/]", entry.kind, entry.paper, entry.summary)
    console.print(table)
    console.print(
        f"[dim]--list METHOD shows a method's settings and presets, --list {_ALL} those of all "
        "methods[/]"
    )


def _describe(name: str, console: Console) -> None:
    method, preset = load_method(name)
    summary = (method.__doc__ or "a method without a docstring").strip().splitlines()[0]
    chosen = method.presets.get(preset, {})
    table = Table("--set", "default", "tuned over", "meaning", box=None, pad_edge=False)
    for spec in dataclasses.fields(method.Settings):
        search = ", ".join(map(str, spec.metadata.get("search", ())))
        default = str(chosen.get(spec.name, spec.default))
        table.add_row(spec.name, default, search, escape(spec.metadata.get("help", "")))
    console.print(f"[bold]{escape(name)}[/] ({method.kind}): {escape(summary)}")
    if source := ", ".join(v for k, v in about_of(method).items() if k != "name"):
        console.print(escape(source))
    if method.recipe:
        console.print("its own defaults: " + escape(_listed(method.recipe)))
    if method.unused:
        unused = (f"--{dashed(name)}" for name in sorted(method.unused))
        console.print(f"options without effect: {', '.join(unused)}")
    console.print(table if table.rows else "It has no settings.")
    for key, values in method.presets.items():
        shown = f"{escape(name.partition('@')[0])}@{key}"
        console.print(f"preset [bold]{shown}[/]: {_listed(values)}")


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
