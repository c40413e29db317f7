"""What commands have made of runs, and read or replace again: sites, sweeps, recipes, models."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mm_imagenet_r.errors import UserError

from ..door import Case, Damage, Door
from ..generic import GENERIC
from ..pictures import write_folder
from ..tables import in_parquet
from ..values import in_json
from .common import METHOD, write_method
from .runs import RUN, finished

_SMALL = ("--dataset", "data", "--phases", "2", "--device", "cpu", "--batch-size", "8",
          "--memory", "2")  # fmt: skip
_CONTENT = b"mine"
#: How many files of the user's there are when the command begins.
_BEFORE = "mine.count"


def _mine(case: Case) -> None:
    """A file of the user's own, which no command may remove or replace."""
    name = case.rng.choice(("notes.txt", "photo.jpg", "thesis.md", "own/a", "data.csv", "mine.py"))
    path = case.some_folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_CONTENT)


def _count(folder: Path) -> int:
    """Files of `_mine`, wherever they are: a folder may be put aside."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 9)
    return sum(path.read_bytes() == _CONTENT for path in files)


def kept(folder: Path) -> str:
    before = folder / _BEFORE
    return "kept" if not before.exists() or int(before.read_text()) <= _count(folder) else "lost"


def _site(folder: Path) -> None:
    finished(folder)
    _build_site()


def _build_site(case: Case | None = None) -> int:
    from benchmark.leaderboard.__main__ import main

    return main(["build", "runs", "--out", "site"])


def _grid(folder: Path) -> None:
    write_method(folder)
    write_folder(folder / "data")
    assert _sweep() == 0


def _sweep(case: Case | None = None) -> int:
    from benchmark.sweep.command import main

    method = ("--method", f"{METHOD}:MeanColour", "--seeds", "0", "1")
    return main([*method, *_SMALL, "--results", "kept", "--jobs", "1"])


def _digits_of_grid(folder: Path) -> dict[str, str]:
    """The accuracies that are kept of each cell."""
    from benchmark.results import read

    found = {"mine": kept(folder)}
    for path in sorted(folder.glob("kept/*/*/seed*")):
        with contextlib.suppress(UserError):  # whoever reads it is told
            found[path.name] = json.dumps([phase["accuracy"] for phase in read(path)["phases"]])
    return found


def _tuned(folder: Path) -> None:
    write_folder(folder / "data")
    assert _tune() == 0


def _tune(case: Case | None = None) -> int:
    from benchmark.tune import main

    words = ("--recipe", "mine", "--method", "replay", "--trials", "2", "--steps", "1")
    return main([*words, *_SMALL, "--jobs", "1"])


def _follow(case: Case) -> int:
    from benchmark.run import main

    return main(["--dry-run", "--recipe", "mine", "--method", "replay", "--steps", "1", *_SMALL])


def _digits_of_recipe(folder: Path) -> dict[str, str]:
    """What was chosen, if the recipe was read or written."""
    from benchmark.tuned_recipe import read

    found = {"mine": kept(folder)}
    for path in folder.glob("recipes/mine/*.json"):
        with contextlib.suppress(UserError):
            found["chosen"] = json.dumps(read(path).said["chosen"])
    return found


def _trained(folder: Path) -> None:
    from benchmark.run import main

    write_folder(folder / "data", 4)
    assert main(["--method", "finetune", "--steps", "1", *_SMALL]) == 0


def _save(case: Case) -> int:
    from benchmark.save import main

    names = (path.relative_to(case.folder) for path in case.folder.glob(RUN))
    return main([str(next(names, "runs")), "model"])


def _digits_of_model(folder: Path) -> dict[str, str]:
    found = {"mine": kept(folder)}
    for path in folder.glob("model/*.safetensors"):
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


MINE: dict[str, Damage] = {"mine": _mine}


def counted(*acts: Callable[[Case], int]) -> Callable[[Case], int]:
    def act(case: Case) -> int:
        (case.folder / _BEFORE).write_text(str(_count(case.folder)))
        return case.rng.choice(acts)(case)

    return act


def _door(name: str, build: Any, scope: str, digits: Any, *acts: Any) -> Door:
    own = in_json() | in_parquet() | MINE
    return Door(name, build, own, counted(*acts), scope, GENERIC, digits=digits, seconds=60.0)


SITE = _door("site", _site, "site", lambda folder: {"mine": kept(folder)}, _build_site)
SWEEP = _door("sweep", _grid, "[kr]*", _digits_of_grid, _sweep)
RECIPE = _door("recipe", _tuned, "recipes", _digits_of_recipe, _follow, _tune)
MODEL = _door("model", _trained, RUN, _digits_of_model, _save)
