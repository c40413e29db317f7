"""Settings that `python -m benchmark.tune` chose: the file they are in, and their use by name.

`recipes/NAME/METHOD-DATA-LphasesMEMORY.json` holds what was searched, every trial and what was
chosen. `python -m benchmark.run --recipe NAME` fills it in where the user says nothing, so the
result's configuration needs no recipe file; a copy is kept beside the result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from benchmark.cells import as_text
from benchmark.config import RunConfig, dashed
from benchmark.find_method import find, setting_name
from benchmark.paths import last_part, safe_name
from benchmark.results.schema import BackboneInfo, DatasetInfo, TuningInfo, mismatches
from benchmark.search import CLASSIFIER, RATE, best_of
from benchmark.source_hash import method_sha256
from benchmark.wording import counted
from mm_imagenet_r.errors import UserError, did_you_mean, some

if TYPE_CHECKING:
    from benchmark.plan import Plan

#: Of the file; goes up when its shape changes.
FORMAT = 1
#: Options that should be as they were when the settings were chosen; a difference is told.
_ALIKE = (
    "base_classes", "tuning", "max_text_length", "epochs", "steps", "batch_size", "weight_decay",
    "precision",
)  # fmt: skip


class MemoryFile(TypedDict):
    """The budget as the options say it."""

    memory: str
    currency: str
    growth: str


class TrialFile(TypedDict):
    """One trial.

    `accuracy` is the average incremental accuracy on validation data in percent by classifier,
    in the order in which ties are decided; empty if the trial `failed`, and why. `run` is the
    fingerprint of its run.
    """

    settings: dict[str, Any]
    accuracy: dict[str, float]
    failed: str | None
    seconds: float
    run: str


class ChosenFile(TypedDict):
    """What was chosen: number of the trial, and a value of everything that was searched."""

    trial: int
    settings: dict[str, Any]


class RecipeFile(TypedDict):
    """The file.

    `memory` is null of a method without one. `options` are those that differ from the defaults and
    are shared by all trials, `fixed` the method's settings that the user had given. `searched`
    holds the candidates, the default first; `asked` trials were wanted, drawn by `seed`.
    """

    format: int
    recipe: str
    method: str
    method_sha256: str
    harness_sha256: str
    dataset: DatasetInfo
    backbone: BackboneInfo
    phases: int
    memory: MemoryFile | None
    options: dict[str, Any]
    fixed: dict[str, str]
    searched: dict[str, list[Any]]
    asked: int
    seed: int
    trials: list[TrialFile]
    chosen: ChosenFile
    hardware: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True)
class TunedRecipe:
    """A recipe file that was read.

    Attributes:
        path: Where it lies.
        data: Its bytes.
        said: What it says.
    """

    path: Path
    data: bytes
    said: RecipeFile

    def refuse_other(self, config: RunConfig) -> None:
        """Raise UserError if it is one of another method or another memory."""
        said, (name,) = self.said, config.method
        if said["method"] != last_part(name):
            raise UserError(f"{self.path} holds settings of {said['method']}, not of {name}")
        if said["memory"] != memory_of(config):
            words = [said["memory"] and _memory_words(said["memory"]), _memory_words(config)]
            raise UserError(
                f"{self.path} was chosen with {words[0] or 'no memory'}, not with {words[1]}: "
                f"{_again(config, said['recipe'])}"
            )

    def refuse_other_data(self, config: RunConfig, data_sha256: str) -> None:
        """Raise UserError if it was chosen on other data."""
        said = self.said["dataset"]
        if said["data_sha256"] != data_sha256:
            raise UserError(
                f"recipe {self.said['recipe']} was chosen on other data than "
                f"{last_part(config.dataset)} is now ({self.path}: {said['name']}, hash "
                f"{said['data_sha256'][:8]}, not {data_sha256[:8]}): "
                f"{_again(config, self.said['recipe'])}"
            )

    def refuse_other_backbone(self, backbone: Mapping[str, Any]) -> None:
        """Raise UserError if it was chosen with other weights; see `Method.provenance`."""
        said = self.said["backbone"]
        if said["sha256"] != backbone["sha256"]:
            raise UserError(
                f"recipe {self.said['recipe']} was chosen with another backbone ({said['name']}, "
                f"hash {said['sha256'][:8] or 'none'}) than {last_part(backbone['name'])}: choose "
                "settings with that one by python -m benchmark.tune, or leave --recipe out"
            )

    def notes(self, config: RunConfig, sha256: str) -> list[str]:
        """What is not as it was when the settings were chosen, and does not forbid their use.

        Args:
            config: Of the cell that uses it.
            sha256: Hash of the method's code today.
        """
        said, found = self.said, []
        name = f"recipe {said['recipe']}, {said['method']}"
        if said["phases"] != config.phases:
            found.append(
                f"{name}: chosen for {counted(said['phases'], 'phase')}, used for {config.phases}"
            )
        if said["method_sha256"] != sha256:
            found.append(f"{name}: the method's code has changed since its settings were chosen")
        changed, default = config.changed(), RunConfig().identity()
        for option in _ALIKE:
            then, now = (of.get(option, default[option]) for of in (said["options"], changed))
            if then != now:
                found.append(
                    f"{name}: chosen with --{dashed(option)} {as_text(then)}, used with "
                    f"{as_text(now)}"
                )
        return found

    def record(self, plan: Plan) -> TuningInfo:
        """What a result says about it."""
        chosen = self.said["chosen"]["settings"]
        used = {**dataclasses.asdict(plan.settings), RATE: plan.recipe.learning_rate}
        return {
            "recipe": self.said["recipe"],
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "phases": self.said["phases"],
            "trials": len(self.said["trials"]),
            "searched": self.said["searched"],
            "chosen": chosen,
            "overridden": sorted(name for name in chosen if used.get(name) != chosen[name]),
        }


def memory_of(config: RunConfig) -> MemoryFile | None:
    """The budget of a configuration of one method; None if that has no memory."""
    if find(config.method[0])[0].kind != "replay":
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

    Args:
        cell: Of one method, as the user gave it.

    Returns:
        The cell without `recipe`; its `tuned_by` names the file.

    Raises:
        UserError: There is no such recipe, or none for the method, data, memory and currency; its
            file is damaged.
    """
    tuned = read(_find(cell))
    (name,) = cell.method
    method, _ = find(name)
    given = {setting_name(method, key) for key in cell.settings_of(name)}
    chosen = dict(tuned.said["chosen"]["settings"])
    rate = chosen.pop(RATE, None)
    values = {**tuned.said["fixed"], **{key: as_text(value) for key, value in chosen.items()}}
    return dataclasses.replace(
        cell,
        set=(*cell.set, *(f"{key}={text}" for key, text in values.items() if key not in given)),
        learning_rate=rate if cell.learning_rate is None else cell.learning_rate,
        recipe=None,
        tuned_by=tuned.path,
    )


def read(path: Path) -> TunedRecipe:
    """Read a recipe file and check that it is whole and that its choice follows from its trials.

    Raises:
        UserError: It cannot be read, or is not as it was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"recipe file {path} cannot be read ({error.strerror}): put it back, or give the "
            "settings themselves"
        ) from error
    try:
        said = json.loads(data)
        if isinstance(said, dict) and isinstance(n := said.get("format"), int) and n > FORMAT:
            raise UserError(
                f"{path} has format {n}; this program knows up to {FORMAT}: install a newer one"
            )
        found = list(mismatches(said, RecipeFile, ""))
        if not found and said["chosen"] != choose(said["searched"], said["trials"]):
            found = ["what it has chosen does not follow from its trials"]
    except (ValueError, RecursionError):
        found = ["it is not JSON"]
    if found:
        raise UserError(
            f"{path} is not a recipe file as python -m benchmark.tune writes it: {some(found, 2)}. "
            "Was it edited? Put it back as it was, or choose anew"
        )
    return TunedRecipe(path, data, cast(RecipeFile, said))


def notes_on(configs: Iterable[RunConfig]) -> list[str]:
    """Each note once that is to be told of the recipes of some cells.

    Raises:
        UserError: A file cannot be read.
    """
    found = []
    for config in configs:
        if config.tuned_by is not None:
            method, _ = find(config.method[0])
            found += read(config.tuned_by).notes(config, method_sha256(method))
    return list(dict.fromkeys(found))


def write_text(said: RecipeFile) -> bytes:
    """The file's content."""
    return (json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def choose(searched: Mapping[str, Any], trials: list[TrialFile]) -> ChosenFile:
    """The best trial by the best classifier: the earlier one, then the first classifier, of equals.

    Raises:
        ValueError: No trial has an accuracy.
    """
    best = best_of([trial["accuracy"] for trial in trials])
    if best is None:
        raise ValueError("no trial has an accuracy")
    number, classifier = best
    settings = dict(trials[number]["settings"])
    if CLASSIFIER in searched and CLASSIFIER not in settings:
        settings[CLASSIFIER] = classifier
    return {"trial": number, "settings": settings}


def _find(cell: RunConfig) -> Path:
    """The file for this number of phases, else that for the nearest one."""
    assert cell.recipe is not None
    folder = cell.recipes / cell.recipe
    if not folder.is_dir():
        there = [path.name for path in cell.recipes.glob("*") if path.is_dir()]
        known = did_you_mean(cell.recipe, there) if there else "there is none yet"
        raise UserError(
            f"--recipe {cell.recipe}: no such recipe in {cell.recipes}, {known}. "
            "python -m benchmark.tune makes them"
        )
    if (exact := folder / file_name(cell)).exists():
        return exact
    before, after = map(re.escape, _around_phases(cell))
    others = {
        int(match[1]): path
        for path in folder.glob("*.json")
        if (match := re.fullmatch(f"{before}([1-9][0-9]*){after}", path.name))
    }
    if others:
        return others[min(others, key=lambda n: (abs(math.log(n / cell.phases)), n))]
    there = sorted(path.stem for path in folder.glob("*.json"))
    raise UserError(
        f"--recipe {cell.recipe} has no settings of {cell.method[0]} on {last_part(cell.dataset)} "
        f"with {_memory_words(cell)}; it has {some(there) or 'none at all'}: "
        f"{_again(cell, cell.recipe)}"
    )


def _around_phases(config: RunConfig) -> tuple[str, str]:
    method = safe_name(last_part(config.method[0]).replace(".py:", "-").replace(":", "-"))
    memory = memory_of(config)
    budget = ""
    if memory is not None:
        total = "-total" if memory["growth"] == "total" else ""
        budget = f"-{safe_name(memory['memory'])}-{memory['currency']}{total}"
    return f"{method}-{safe_name(last_part(config.dataset))}-", f"phases{budget}.json"


def _memory_words(of: RunConfig | MemoryFile) -> str:
    said = memory_of(of) if isinstance(of, RunConfig) else of
    if said is None:
        return "no memory"
    total = " in total" if said["growth"] == "total" else ""
    return f"memory {said['memory']}{total} in {said['currency']}"


def _again(config: RunConfig, recipe: str) -> str:
    tune = RunConfig.command(
        dataclasses.replace(config, set=(), seeds=(0,), learning_rate=None, recipe=None)
    )
    return (
        f"choose them by {tune.replace('benchmark.run', 'benchmark.tune', 1)} --recipe {recipe}, "
        "or give settings yourself"
    )
