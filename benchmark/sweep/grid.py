"""The cells of a grid: all combinations of the values that options are given.

A file holds one grid, or several under `[[grid]]`; options above them are common to all. `set` is a
list in itself; a list of lists is an axis: `set = [["selection=random"], ["selection=herding"]]`.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmark.cells import cells, reference_run
from benchmark.config import RunConfig
from benchmark.legacy import RENAMED_FIELDS
from benchmark.load_method import load_method
from benchmark.option_names import dashed
from benchmark.options import convert
from mm_imagenet_r.errors import UserError, did_you_mean

#: Values of each option that is given, by the name of its field.
Axes = Mapping[str, Sequence[Any]]
#: Options that say nothing to a method which keeps no sample.
OF_THE_MEMORY = frozenset({"memory", "growth", "currency", "match_exemplars_of"})
#: Options of the sweep itself, which no grid holds.
OF_THE_SWEEP = ("config", "engine", "jobs", "results", "threads")
#: Fields that are axes by themselves: `RunConfig.cells` takes them apart.
_OWN_AXES = ("method", "seeds")
_HINTS = typing.get_type_hints(RunConfig)
_DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in dataclasses.fields(RunConfig)}
_NO_RESULT = _DEFAULTS.keys() - RunConfig().identity().keys()


def read_axes(values: Mapping[str, Any], source: str, *, option: bool = False) -> dict[str, Any]:
    """Check and convert the options of a grid: a value or a list of them by the name of a field.

    `source` is where they stand; `option`: they are those of a command line.

    Raises:
        UserError: A name is unknown, or a value is missing or of another type than the field's.

    >>> read_axes({"phases": [5, "10"], "memory": 5, "seeds": [0, 1]}, "grid.toml")
    {'phases': [5, 10], 'memory': ['5'], 'seeds': [(0, 1)]}
    """
    found: dict[str, Any] = {}
    for former, value in values.items():
        name = RENAMED_FIELDS.get(former, former)
        where = f"--{dashed(former)}" if option else f"{source}: {former}"
        if name in ("dry_run", *OF_THE_SWEEP, *(() if option else ("overwrite",))):
            raise UserError(f"{where}: give --{dashed(name)} on the command line")
        if name not in _HINTS or (name != former and name in values):
            known = did_you_mean(former, [*_HINTS, "grid"])
            raise UserError(f"{source}: unknown option {former!r}: {known}")
        several = isinstance(value, list)
        if typing.get_origin(_HINTS[name]) is tuple:
            several = several and bool(value) and isinstance(value[0], list)
            if several and name in _OWN_AXES:
                raise UserError(f"{where}: write one list of values")
        if several and name in _NO_RESULT:
            raise UserError(f"{where} changes no result: give one value")
        given = value if several else [value]
        if not given:
            raise UserError(f"{where} has no value: give at least one, or leave it out")
        found[name] = [convert(one, _HINTS[name], where) for one in given]
    return found


def read_grids(values: Mapping[str, Any], source: str) -> list[dict[str, Any]]:
    """Read the grids of a file, each with the options common to all.

    Raises:
        UserError: As `read_axes`; `grid` is not a list of tables, or one of them is empty.
    """
    common = {name: value for name, value in values.items() if name != "grid"}
    grids = values.get("grid", [common])
    if not grids or not isinstance(grids, list) or not all(isinstance(g, dict) for g in grids):
        raise UserError(f"{source}: grid is not a list of tables: write [[grid]] above each")
    found = []
    for number, grid in enumerate(grids, 1):
        where = f"{source}, grid {number}" if len(grids) > 1 else source
        if not grid:
            raise UserError(f'{where} is empty: give it an option, such as method = ["replay"]')
        found.append(read_axes({**common, **grid}, where))
    return found


def expand(grids: Iterable[Axes]) -> tuple[list[RunConfig], list[str]]:
    """Every cell of some grids, each once and as `benchmark.cells.cells` writes it, and notes.

    An option that has no effect on a method keeps its default there, with a note, so that a method
    without a memory is trained once, not once for each memory.

    Raises:
        UserError: A combination of options is impossible, a method or setting unknown.
    """
    found: dict[Any, RunConfig] = {}
    idle: dict[str, set[str]] = {}
    for grid in grids:
        for combination in itertools.product(*grid.values()):
            for cell in RunConfig(**dict(zip(grid, combination, strict=True))).cells():
                (name,) = cell.method
                left_out = {option: _DEFAULTS[option] for option in without_effect(name)}
                given = {o for o, default in left_out.items() if getattr(cell, o) != default}
                idle[name] = idle.get(name, set()) | given
                if "match_exemplars_of" in left_out:  # settings of the other one go with it
                    own = cell.settings_of(name).items()
                    left_out["set"] = tuple(f"{key}={value}" for key, value in own)
                (written,) = cells(dataclasses.replace(cell, **left_out))
                found.setdefault(written.folder(), written)
    return list(found.values()), list(_idle_notes(idle))


def without_effect(name: str) -> frozenset[str]:
    """Options that change nothing of what a method does."""
    method, _ = load_method(name)
    return method.unused | (OF_THE_MEMORY if method.kind != "replay" else frozenset())


def _idle_notes(idle: Mapping[str, set[str]]) -> Iterator[str]:
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, options in idle.items():
        alike.setdefault(tuple(sorted(options)), []).append(name)
    alike.pop((), None)
    for together, names in alike.items():
        words = ", ".join(f"--{dashed(option)}" for option in together)
        yield (
            f"{words}: no effect on {', '.join(names)}, which "
            f"{'runs' if len(names) == 1 else 'run'} once for all values"
        )


def reference_of(cell: RunConfig) -> RunConfig | None:
    """The cell that has to be done before this one, if there is any."""
    return None if cell.match_exemplars_of is None else reference_run(cell)


class Names:
    """Names the cells of a grid by what tells them apart."""

    def __init__(self, grid: Sequence[RunConfig]) -> None:
        self._differing = [
            spec.name
            for spec in dataclasses.fields(RunConfig)
            if spec.name not in _OWN_AXES and len({getattr(cell, spec.name) for cell in grid}) > 1
        ]

    def __call__(self, cell: RunConfig) -> str:
        """Method, seed, and the options in which the grid's cells differ."""
        idle = without_effect(cell.method[0])
        words = [cell.method[0], f"seed {cell.seeds[0]}"]
        for name in self._differing:
            value = getattr(cell, name)
            if name not in idle and value not in (None, ()):
                text = " ".join(value) if isinstance(value, tuple) else value
                words.append(f"{dashed(name).replace('-', ' ')} {text}")
        return ", ".join(words)
