"""The third level: the whole run, repeated from its configuration, comes out the same."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmark.leaderboard.installed import cell_of, open_known
from benchmark.leaderboard.predict import Repeat
from benchmark.results import read
from benchmark.results.derive import as_classifier, classifiers
from benchmark.results.records import read_exemplars, read_predictions
from benchmark.results.schema import Result
from benchmark.run_files import EXEMPLARS, PREDICTIONS, STATE
from benchmark.same_code import in_oldest
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from benchmark.config import RunConfig
    from benchmark.devices import Place

#: Facts that have to be the same wherever a run is repeated; the rest says where and when.
_FACTS: Final = (
    "kind", "sees_all_data", "shares_allowance", "from_recipe", "method_settings", "method_sha256",
    "harness_sha256", "class_order", "classifier", "budget", "match_exemplars_of", "backbone",
    "complete",
)  # fmt: skip
_PHASE_FACTS: Final = (
    "classes", "train", "test", "steps", "outside_memory", "trainable_parameters",
)  # fmt: skip
#: What depends on the last digits of what was computed.
_DIGITS: Final = ("accuracy", "other_classifiers", "memory", "stages", "loss", "invariance")
#: By how much of itself what is kept and trained on may differ where a noise is stated: other
#: digits choose other exemplars, whose files are a little longer or shorter.
SHARE: Final = 0.02
_LEDGER: Final = ("exemplars", "bytes", "cost")


@dataclass(frozen=True)
class RunAgain(Repeat):
    """A result to be reproduced; accuracies may differ by `noise` points, None: no digit may."""

    noise: float | None = None


def run_again(job: RunAgain) -> str:
    """Run it again in a folder of its own; return what was found, in a sentence.

    Raises:
        UserError: Why the result is not reproduced.
    """
    from benchmark.devices import find_place

    result = read(job.folder)
    with tempfile.TemporaryDirectory(dir=job.scratch) as name:
        cell = cell_of(result, job.means, Path(name))
        open_known(cell, result)  # before hours are spent on other data
        place = find_place(cell.config)
        folder = repeat(cell.config, place)
        again = read(folder)
        if words := next(other_facts(result, again), None):
            raise UserError(f"run again, {words}")
        different = list(other_digits(job.folder, result, folder, again))
    if not different:
        return f"run again on {place.device}: every prediction, exemplar and loss is the same"
    return within_noise(result, again, different[0], place.device, job.noise)


def repeat(config: RunConfig, place: Place) -> Path:
    """Run a cell in silence, after the run that it matches if there is one; return its folder."""
    from benchmark.cells import reference_run
    from benchmark.display import Display
    from benchmark.experiment import run_cell
    from benchmark.plan import make_plans

    before = [] if config.match_exemplars_of is None else [reference_run(config)]
    for one in (*before, config):
        (plan,) = make_plans(one)
        folder = run_cell(plan, place, Display(silent=True))
    return folder


def other_facts(result: Result, again: Result) -> Iterator[str]:
    """What two results say differently that no other machine or digit explains."""
    said, here = in_oldest(result), in_oldest(again)
    for key in _FACTS:
        if said[key] != here[key]:
            yield f"{key} differs"
    for part, but in (("config", "data_dir"), ("dataset", "name")):
        for key, value in said[part].items():
            if here[part].get(key) != value and key != but:
                yield f"{part}.{key} differs"
    if len(result["phases"]) != len(again["phases"]):
        yield "the number of phases differs"
        return
    for t, (one, other) in enumerate(zip(said["phases"], here["phases"], strict=True)):
        for key in _PHASE_FACTS:
            if one[key] != other[key]:
                yield f"phases[{t}].{key} differs"


def other_digits(folder: Path, result: Result, there: Path, again: Result) -> Iterator[str]:
    """What two runs, and the files in their folders, differ in of all that was computed."""
    for name, reader in ((PREDICTIONS, read_predictions), (EXEMPLARS, read_exemplars)):
        here: list[Any] = sorted(reader(folder / name)) if (folder / name).is_file() else []
        other: list[Any] = sorted(reader(there / name))
        if here != other:
            many = sum(one != two for one, two in zip(here, other, strict=False))
            yield f"{many + abs(len(here) - len(other)):,} of {len(other):,} rows of {name}"
    said: Any = result["phases"]
    for t, (one, phase) in enumerate(zip(said, again["phases"], strict=True)):
        two: Any = phase
        for key in _DIGITS:
            if one[key] != two[key]:
                yield f"phases[{t}].{key}"
    if result["files"][STATE] != again["files"][STATE]:
        yield f"files.{STATE}"


def within_noise(
    result: Result, again: Result, first: str, device: str, noise: float | None
) -> str:
    """Accept figures that are near enough, if a noise was stated.

    Accuracies of every classifier may differ by the noise: after each phase on the classes of each,
    and the metrics of a run. What is kept and trained on may differ by `SHARE`. Losses may differ.

    Raises:
        UserError: None was, or they are not.
    """
    apart = _apart(result, again)
    if not apart:
        raise UserError(f"run again on {device}, the classifiers differ")
    largest = max(apart, key=lambda name: abs(apart[name]))
    own = f"{result['classifier']} " if result["classifier"] else ""
    shown = (f"{own}average_incremental_accuracy", f"{own}last_accuracy", largest)
    words = ", ".join(f"{name} {apart[name]:+.2f} points" for name in dict.fromkeys(shown))
    if noise is None:
        raise UserError(f"run again on {device}, {first} differ ({words}); see --noise")
    if abs(apart[largest]) > noise:
        raise UserError(f"run again on {device}: {words}, more than the noise of {noise:g} points")
    if different := next(_unlike(result, again), None):
        raise UserError(f"run again on {device}, {different}, which no noise explains")
    return f"run again on {device}: {words}, within the stated noise of {noise:g} points"


def _apart(result: Result, again: Result) -> dict[str, float]:
    """Points between all accuracies of two runs of the same phases; {} if classifiers differ."""
    names = classifiers(result)
    if set(names) != set(classifiers(again)):
        return {}
    found: dict[str, float] = {}
    for name in names:
        of = f"{name} " if name else ""
        one, two = (_figures(as_classifier(run, name)) for run in (result, again))
        found |= {of + key: _points(value, two.get(key)) for key, value in one.items()}
    return found


def _figures(result: Result) -> dict[str, float | None]:
    found = dict(result["metrics"])
    for t, row in enumerate(result["accuracy_matrix"]):
        found[f"after phase {t + 1}"] = result["phases"][t]["accuracy"]["sample_weighted"]
        found |= {f"after phase {t + 1} on {k + 1}": value for k, value in enumerate(row)}
    return found


def _points(one: float | None, two: float | None) -> float:
    if one is None or two is None:
        return 0.0 if one is two else math.inf  # undefined for the same runs
    return two - one


def _unlike(result: Result, again: Result) -> Iterator[str]:
    """What of memory and training is further apart than other digits explain."""
    said: Any = result["phases"]
    for t, (one, phase) in enumerate(zip(said, again["phases"], strict=True)):
        two: Any = phase
        pairs = {f"memory.{key}": (one["memory"][key], two["memory"][key]) for key in _LEDGER}
        if [stage["name"] for stage in one["stages"]] != [s["name"] for s in two["stages"]]:
            yield f"phases[{t}].stages differ"
        else:
            for number, (stage, other) in enumerate(zip(one["stages"], two["stages"], strict=True)):
                pairs[f"stages[{number}].items"] = stage["items"], other["items"]
        for name, (before, after) in pairs.items():
            if not math.isclose(before, after, rel_tol=SHARE):
                yield f"phases[{t}].{name} is {before:,} instead of {after:,}"
