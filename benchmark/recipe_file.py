"""The file of a recipe: what was searched of one method, every trial, and what was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from benchmark.errors import Damaged
from benchmark.paths import safe_name
from benchmark.results import strict_json
from benchmark.results.schema import BackboneInfo, DatasetInfo
from benchmark.results.shape import mismatches
from benchmark.search import CLASSIFIER
from mm_imagenet_r.errors import UserError, few, summarize

#: Of the file; goes up when its shape changes.
FORMAT = 1


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


def parse(data: bytes, path: Path) -> RecipeFile:
    """Check the content of a file: that it is whole and its choice follows from its trials.

    Raises:
        UserError: It is of a newer version.
        Damaged: It is not as it was written.
    """
    try:
        said = strict_json.parse(data.decode())
        if isinstance(said, dict) and isinstance(n := said.get("format"), int) and n > FORMAT:
            raise UserError(
                f"{path} has format {n}; this program knows up to {FORMAT}: install a newer one"
            )
        found = list(mismatches(said, RecipeFile)) or list(_faults(said))
    except ValueError as error:
        found = [f"it is not JSON ({error})"]
    if found:
        raise Damaged(
            f"{path} is not a recipe file as python -m benchmark.tune writes it: "
            f"{summarize(found, 2)}. Was it edited? Restore it, or choose again"
        )
    return cast(RecipeFile, said)


def _faults(said: RecipeFile) -> Iterator[str]:
    """Say what of a file of the right shape makes no sense in itself."""
    names, recipe = said["searched"].keys(), said["recipe"]
    if safe_name(recipe) != recipe:
        yield f"its name {few(repr(recipe))} is none of a recipe"
    for number, trial in enumerate(said["trials"], 1):
        if trial["settings"].keys() not in (names, names - {CLASSIFIER}):
            yield f"trial {number} does not have the settings that were searched"
        if trial["seconds"] < 0:
            yield f"trial {number} took a negative time"
    if not any(trial["accuracy"] for trial in said["trials"]):
        yield "no trial has an accuracy"
    elif said["chosen"] != choose(said["searched"], said["trials"]):
        yield "its choice does not follow from its trials"


def choose(searched: Mapping[str, Any], trials: list[TrialFile]) -> ChosenFile:
    """The best trial by the best classifier: the earlier one, then the first classifier, of equals.

    Raises:
        ValueError: No trial has an accuracy.
    """
    found = [
        (accuracy, number, name)
        for number, trial in enumerate(trials)
        for name, accuracy in trial["accuracy"].items()
    ]
    if not found:
        raise ValueError("no trial has an accuracy")
    _, number, classifier = max(found, key=lambda entry: entry[0])  # of equals, max takes the first
    settings = dict(trials[number]["settings"])
    if CLASSIFIER in searched and CLASSIFIER not in settings:
        settings[CLASSIFIER] = classifier
    return {"trial": number, "settings": settings}
