"""Rows over many runs: everything equal but seed and class order makes one, mean and deviation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from benchmark.formatting import exemplars_per_class, memory_words
from benchmark.metrics import METRICS, Spread, mean_std
from benchmark.results import labels
from benchmark.results.derive import as_classifier, classifiers
from benchmark.results.labels import Key
from benchmark.results.schema import BudgetInfo, Result
from benchmark.run_files import PREDICTIONS
from mm_imagenet_r.errors import UserError


@dataclass(frozen=True)
class Row:
    """All runs that differ in nothing but their seed and class order, read by one classifier.

    `scenario` is a hash of what must agree before two accuracies may be shown in one chart (not of
    the name of the data, nor of class orders), `heading` says it in words. A method that keeps
    nothing has a row for each budget. `name` tells the row from its namesakes and is equal for all
    classifiers of the same runs; `classifier` is "" where a method has one, `own` says whether it
    is the method's own. `orders` and `seeds` are each listed once.

    Means over runs: `figures` (None where undefined), `steps` of all phases, `exemplars` per class
    and `bytes` of the final memory, `rate` (cost of an exemplar in untouched samples, None without
    any), bytes carried from phase to phase `outside` it, `parameters` trained in the last phase
    (None if unknown), `seconds` without what was done before a run was resumed.
    """

    scenario: str
    heading: str
    budget: BudgetInfo
    method: str
    classifier: str
    own: bool
    name: str
    orders: tuple[str, ...]
    seeds: tuple[int, ...]
    figures: Mapping[str, Spread | None]
    steps: float
    exemplars: float
    bytes: float
    rate: float | None
    outside: float
    parameters: float | None
    seconds: float
    resumed: bool
    tuned: str
    runs: tuple[Result, ...]
    folders: tuple[Path | None, ...]

    @property
    def label(self) -> str:
        """The name, with the classifier where it is not the method's own one."""
        return self.name if self.own else f"{self.name} · {self.classifier}"

    @property
    def average(self) -> Spread:
        """Average incremental accuracy, sample-weighted."""
        return cast(Spread, self.figures["average_incremental_accuracy"])

    @property
    def last(self) -> Spread:
        """Last accuracy, sample-weighted."""
        return cast(Spread, self.figures["last_accuracy"])

    @property
    def keeps_nothing(self) -> bool:
        """Whether the row does not depend on the memory."""
        return labels.keeps_nothing(self.runs[0])


def table(results: Sequence[Result], folders: Sequence[Path] = ()) -> list[Row]:
    """Group finished runs by everything but seed and class order, into rows as pages order them.

    Unfinished runs are left out; a duplicate with the same figures (under another name of its data,
    of its preset, ...) counts once. Methods that keep nothing stand under each memory that others
    of their scenario were run with. Without `folders` (in the same order) no row has predictions.

    Raises:
        UserError: Two results are of the same run and yet have different figures.
    """
    where = {id(run): folder for run, folder in zip(results, folders, strict=False)}
    # Of equal runs the one with predictions is taken.
    there = {i for i, folder in where.items() if (folder / PREDICTIONS).is_file()}
    able = sorted(results, key=lambda run: id(run) not in there)
    groups = {key: _once(runs) for key, runs in _groups(able).items()}
    names = labels.labels({key: runs[0] for key, runs in groups.items()})
    headings = _headings(groups)
    budgets: dict[str, dict[str, BudgetInfo]] = {}
    for key, runs in groups.items():
        if key.memory:
            budgets.setdefault(key.scenario, {})[key.memory] = runs[0]["budget"]
    rows = []
    for key, runs in groups.items():
        beside = [runs[0]["budget"]]
        if not key.memory and key.scenario in budgets:
            beside = list(budgets[key.scenario].values())
        for name in classifiers(runs[0]):
            row = _row(runs, name, names[key], [where.get(id(run)) for run in runs])
            for budget in beside:
                scenario = f"{key.scenario}-{budget['currency']}-{budget['growth']}"
                heading = headings[key.scenario]
                rows.append(replace(row, scenario=scenario, heading=heading, budget=budget))
    return sorted(
        rows,
        key=lambda r: (
            *(r.heading, r.budget["currency"], r.budget["growth"], r.scenario),
            -1.0 if r.budget["amount"] is None else r.budget["amount"],
            *(memory_words(r.budget), labels.memory_key(r.budget), *(-r.average.mean, r.label)),
        ),
    )


def copies(results: Sequence[Result]) -> int:
    """Number of finished runs that `table` leaves out as duplicates."""
    return sum(len(runs) - len(_by_run(runs)) for runs in _groups(results).values())


def by_budget(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows that may be compared directly, under a heading that names data, phases and budget."""
    for _, group in itertools.groupby(rows, lambda r: (r.scenario, labels.memory_key(r.budget))):
        same = list(group)
        yield f"{same[0].heading}; memory: {memory_words(same[0].budget)}", same


def run_key(run: Result) -> tuple[str, int]:
    """Class order and seed: what two methods must share for their runs to make a pair."""
    return run["class_order"]["sha256"], run["seed"]


def outside_bytes(result: Result) -> int:
    """What a run carried on outside its memory after the last phase."""
    outside = result["phases"][-1]["outside_memory"]
    return outside["bytes"] if outside else 0


def stored_rate(result: Result) -> float | None:
    """Mean cost of an exemplar in the final memory, in untouched samples; None without any."""
    memory = result["phases"][-1]["memory"]
    if not memory["exemplars"]:
        return None
    return memory["cost"] / memory["exemplars"] / (result["budget"]["unit"] or 1)


def total_seconds(result: Result) -> float:
    """What all phases took, evaluation and all; of a resumed phase what is known."""
    return sum(sum(phase["seconds"].values()) for phase in result["phases"])


def _groups(results: Sequence[Result]) -> dict[Key, list[Result]]:
    """Finished runs that differ in seed and class order only."""
    groups: dict[Key, list[Result]] = {}
    for result in results:
        if result["complete"]:
            groups.setdefault(labels.key_of(result), []).append(result)
    return groups


def _by_run(runs: Sequence[Result]) -> dict[tuple[str, int], Result]:
    """The first run of each class order and seed."""
    found: dict[tuple[str, int], Result] = {}
    for run in runs:
        other = found.setdefault(run_key(run), run)
        if figures(other) != figures(run):
            raise UserError(
                f"{run['method']} with seed {run['seed']} occurs more than once in the same "
                "setting, with different figures (from other versions or another machine?): "
                "leave out all but one"
            )
    return found


def _once(runs: Sequence[Result]) -> list[Result]:
    """One run of each class order and seed, in their order."""
    return sorted(_by_run(runs).values(), key=lambda run: (labels.order_name(run), *run_key(run)))


def figures(run: Result) -> Any:
    """What two results of the same run must agree in."""
    others = [phase["other_classifiers"] for phase in run["phases"]]
    memory = [] if labels.keeps_nothing(run) else [phase["memory"] for phase in run["phases"]]
    return run["accuracy_matrix"], others, memory


def _headings(groups: Mapping[Key, Sequence[Result]]) -> dict[str, str]:
    """Each scenario in words; where its data have several names, the first of them."""
    runs: dict[str, list[Result]] = {}
    for key, group in groups.items():
        runs.setdefault(key.scenario, []).extend(group)
    found = {}
    for scenario, group in runs.items():
        orders = sorted({labels.order_name(run) for run in group})
        found[scenario] = min(labels.heading(run, orders) for run in group)
    return found


def _row(runs: Sequence[Result], classifier: str, name: str, folders: Sequence[Path | None]) -> Row:
    """The row of one classifier, with the first run's scenario and budget."""
    own = classifier == runs[0]["classifier"]
    read = [as_classifier(run, classifier) for run in runs]
    last = [run["phases"][-1] for run in runs]
    rates = [rate for run in runs if (rate := stored_rate(run)) is not None]
    parameters = [n for phase in last if (n := phase["trainable_parameters"]) is not None]
    return Row(
        scenario="",
        heading="",
        budget=runs[0]["budget"],
        method=runs[0]["method"],
        classifier=classifier,
        own=own,
        name=name,
        orders=tuple(dict.fromkeys(map(labels.order_name, runs))),
        seeds=tuple(sorted({run["seed"] for run in runs})),
        figures={key: _spread([run["metrics"][key] for run in read]) for key in METRICS},
        steps=_mean([sum(phase["steps"] for phase in run["phases"]) for run in runs]),
        exemplars=_mean([exemplars_per_class(run) for run in runs]),
        bytes=_mean([phase["memory"]["bytes"] for phase in last]),
        rate=_mean(rates) if rates else None,
        outside=_mean([outside_bytes(run) for run in runs]),
        parameters=_mean(parameters) if parameters else None,
        seconds=_mean([total_seconds(run) for run in runs]),
        resumed=any(phase["resumed"] for run in runs for phase in run["phases"]),
        tuned=", ".join(dict.fromkeys(words for run in runs if (words := labels.tuned_words(run)))),
        runs=tuple(read),
        folders=tuple(folders),
    )


def _mean(values: Sequence[float]) -> float:
    return mean_std(values).mean


def _spread(values: Sequence[float | None]) -> Spread | None:
    defined = [value for value in values if value is not None]
    return mean_std(defined) if defined else None
