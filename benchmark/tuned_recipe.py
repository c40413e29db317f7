"""Settings that `python -m benchmark.tune` chose, and their use by name.

`benchmark.run --recipe NAME` fills in `recipes/NAME/METHOD-DATA-LphasesMEMORY.json` where the user
says nothing: the result's configuration needs no recipe file; a copy is kept beside the result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import RunConfig
from benchmark.load_method import load_method, make_settings, setting_name
from benchmark.option_names import dashed
from benchmark.options import as_text, convert
from benchmark.paths import last_part, safe_name, shortened
from benchmark.recipe import resolve_recipe
from benchmark.recipe_file import MemoryFile, RecipeFile, parse
from benchmark.results.schema import TuningInfo
from benchmark.same_code import same_code
from benchmark.search import RATE
from benchmark.source_hash import method_sha256
from mm_imagenet_r.errors import UserError, did_you_mean, few, one_line, pluralize, summarize
from mm_imagenet_r.reading import SETTINGS, read_bytes

if TYPE_CHECKING:
    from benchmark.plan import Plan

_ROOM = 255 - len("..01234567.tmp") - 4  # bytes of a file's name without the number of phases
_LONGEST = 400  # characters of a note, in which a file may say anything
_RATE_TYPE = typing.get_type_hints(RunConfig)["learning_rate"]
#: Options that should be as they were when the settings were chosen; a difference is noted.
_ALIKE = (
    "base_classes", "tuning", "max_text_length", "epochs", "steps", "batch_size", "weight_decay",
    "precision",
)  # fmt: skip


@dataclass(frozen=True)
class TunedRecipe:
    """A recipe file: its path, its bytes and its content."""

    path: Path
    data: bytes
    said: RecipeFile

    def refuse_other(self, config: RunConfig, data_sha256: str) -> None:
        """Raise UserError if it is for another method, another memory or other data."""
        said, (name,), recipe = self.said, config.method, self.said["recipe"]
        if said["method"] != last_part(name):
            raise UserError(f"{self.path} holds settings of {few(said['method'])}, not of {name}")
        if said["memory"] != memory_of(config):
            raise UserError(
                f"{self.path} was chosen with {_memory_words(said['memory'])}, not with "
                f"{_memory_words(memory_of(config))}: {_again(config, recipe)}"
            )
        if (data := said["dataset"])["data_sha256"] != data_sha256:
            raise UserError(
                f"recipe {recipe} was chosen on other data than {last_part(config.dataset)} is now "
                f"({self.path}: {few(data['name'])}, hash {few(data['data_sha256'][:8])}, not "
                f"{data_sha256[:8]}): {_again(config, recipe)}"
            )

    def refuse_other_backbone(self, backbone: Mapping[str, Any]) -> None:
        """Raise UserError if it was chosen with other weights; see `Method.provenance`."""
        said = self.said["backbone"]
        if said["sha256"] != backbone["sha256"]:
            raise UserError(
                f"recipe {self.said['recipe']} was chosen with another backbone "
                f"({few(said['name'])}, hash {few(said['sha256'][:8]) or 'none'}) than "
                f"{last_part(backbone['name'])}: choose settings with this one by "
                "python -m benchmark.tune, or leave --recipe out"
            )

    def notes(self, config: RunConfig, sha256: str) -> list[str]:
        """What differs from when the settings were chosen, and which of them are overridden."""
        said, found = self.said, []
        if said["phases"] != config.phases:
            chosen_for = pluralize(said["phases"], "phase")
            found.append(f"chosen for {chosen_for}, used for {config.phases}")
        if not same_code(said["method_sha256"], sha256):
            found.append("the method's code has changed since its settings were chosen")
        changed, default = config.changed(), RunConfig().identity()
        for option in _ALIKE:
            then, now = (of.get(option, default[option]) for of in (said["options"], changed))
            if then != now:
                words = f"--{dashed(option)} {as_text(then)}"
                found.append(f"chosen with {words}, used with {as_text(now)}")
        (called,) = config.method
        method, preset = load_method(called)
        settings = make_settings(method, preset, config.settings_of(called), called)
        given = self._overridden(settings, resolve_recipe(config, method).learning_rate)
        for option, value in given.items():
            words = "--learning-rate " if option == RATE else f"--set {option}="
            then = as_text(said["chosen"]["settings"][option])
            found.append(f"{words}{as_text(value)} overrides the chosen {then}")
        which = f"recipe {said['recipe']}, {said['method']}"
        return [one_line(f"{which}: {words}", _LONGEST) for words in found]

    def _overridden(self, settings: Any, learning_rate: float) -> dict[str, Any]:
        """The values used in place of chosen ones, by name."""
        used = {**dataclasses.asdict(settings), RATE: learning_rate}
        chosen = sorted(self.said["chosen"]["settings"].items())
        return {name: used.get(name) for name, value in chosen if used.get(name) != value}

    def record(self, plan: Plan) -> TuningInfo:
        """What a result says about it."""
        return {
            "recipe": self.said["recipe"],
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "phases": self.said["phases"],
            "trials": len(self.said["trials"]),
            "searched": self.said["searched"],
            "chosen": self.said["chosen"]["settings"],
            "overridden": list(self._overridden(plan.settings, plan.recipe.learning_rate)),
        }


def memory_of(config: RunConfig) -> MemoryFile | None:
    """The budget of a configuration of one method; None if that has no memory."""
    if load_method(config.method[0])[0].kind != "replay":
        return None
    return {"memory": config.memory, "currency": config.currency, "growth": config.growth}


def file_name(config: RunConfig) -> str:
    """Name of the file that holds the settings for a configuration of one method.

    >>> file_name(RunConfig(method=("replay",), memory="20MB", growth="total"))
    'replay-mini-10phases-20MB-bytes-total.json'
    >>> file_name(RunConfig(method=("joint",), phases=5))
    'joint-mini-5phases.json'
    """
    before, after = _around_phases(config)
    return f"{before}{config.phases}{after}"


def filled_in(cell: RunConfig) -> RunConfig:
    """Fill in the settings that `cell.recipe` holds for the method, where the user gave none.

    `recipe` is left out of the cell; its `tuned_by` names the file.

    Raises:
        UserError: There is no such recipe, or none for the method, data, memory and currency; its
            file is damaged.
    """
    tuned = read(_find(cell))
    (name,) = cell.method
    method, preset = load_method(name)
    given = {setting_name(method, key) for key in cell.settings_of(name)}
    chosen = dict(tuned.said["chosen"]["settings"])
    rate = chosen.pop(RATE, None)
    values = {**tuned.said["fixed"], **{key: as_text(value) for key, value in chosen.items()}}
    try:
        make_settings(method, preset, values, name)
        dataclasses.replace(cell, learning_rate=convert(rate, _RATE_TYPE, RATE))
    except UserError as error:
        raise UserError(
            f"recipe file {tuned.path}: {str(error).removeprefix('--set ')}. Was it edited, or the "
            "method changed? Restore the file, or choose again"
        ) from None
    return dataclasses.replace(
        cell,
        set=(*cell.set, *(f"{key}={text}" for key, text in values.items() if key not in given)),
        learning_rate=rate if cell.learning_rate is None else cell.learning_rate,
        recipe=None,
        tuned_by=tuned.path,
    )


def read(path: Path) -> TunedRecipe:
    """Read a recipe file; raise UserError if it cannot be read or is not as it was written."""
    try:
        data = read_bytes(path, SETTINGS)
    except OSError as error:
        raise UserError(
            f"recipe file {path} cannot be read ({error.strerror or error}): restore it, or give "
            "the settings themselves"
        ) from error
    return TunedRecipe(path, data, parse(data, path))


def notes_on(configs: Iterable[RunConfig]) -> list[str]:
    """The notes on the recipes of some cells, each once; raise UserError for an unreadable file."""
    found = []
    for config in configs:
        if config.tuned_by is not None:
            method, _ = load_method(config.method[0])
            found += read(config.tuned_by).notes(config, method_sha256(method))
    return list(dict.fromkeys(found))


def _find(cell: RunConfig) -> Path:
    """The file for this number of phases, else the one for the nearest number."""
    assert cell.recipe is not None
    folder = cell.recipes / cell.recipe
    if not folder.is_dir():
        there = [path.name for path in cell.recipes.glob("*") if path.is_dir()]
        known = did_you_mean(cell.recipe, there) if there else "there is none yet"
        raise UserError(
            f"--recipe {cell.recipe}: no such recipe in {cell.recipes}, {known}. "
            "python -m benchmark.tune makes them"
        )
    pattern = "([1-9][0-9]*)".join(map(re.escape, _around_phases(cell)))
    matches = [(path, re.fullmatch(pattern, path.name)) for path in folder.glob("*.json")]
    found = {int(match[1]): path for path, match in matches if match}
    if found:
        return found[min(found, key=lambda n: (abs(math.log(n / cell.phases)), n))]
    held = summarize(sorted(path.stem for path, _ in matches))
    raise UserError(
        f"--recipe {cell.recipe} has no settings of {last_part(cell.method[0])} on "
        f"{last_part(cell.dataset)} with {_memory_words(memory_of(cell))}; "
        f"it has {held or 'no file'}: {_again(cell, cell.recipe)}"
    )


def _around_phases(config: RunConfig) -> tuple[str, str]:
    """What comes before and after the number of phases in a file's name."""
    method = safe_name(last_part(config.method[0]).replace(".py:", "-").replace(":", "-"))
    budget = ""
    if memory := memory_of(config):
        total = "-total" if memory["growth"] == "total" else ""
        amount = shortened(safe_name(memory["memory"]), 80)
        budget = f"-{amount}-{memory['currency']}{total}"
    before, after = f"{method}-{safe_name(last_part(config.dataset))}-", f"phases{budget}.json"
    return shortened(before, _ROOM - len(after.encode())), after


def _memory_words(said: MemoryFile | None) -> str:
    if said is None:
        return "no memory"
    total = " in total" if said["growth"] == "total" else ""
    return few(f"memory {said['memory']}{total} in {said['currency']}")


def _again(config: RunConfig, recipe: str) -> str:
    tune = dataclasses.replace(config, set=(), seeds=(0,), learning_rate=None, recipe=None)
    command = tune.command().replace("benchmark.run", "benchmark.tune", 1)
    return f"choose them by {command} --recipe {recipe}, or give settings yourself"
