"""Tables over many runs: everything equal but the seed makes one row, mean and deviation of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from benchmark.config import RunConfig
from benchmark.metrics import METRICS, Spread, mean_std
from benchmark.results.derive import as_classifier, classifiers
from benchmark.results.schema import BudgetInfo, Result
from benchmark.wording import (
    MISSING,
    bytes_words,
    counted,
    exemplars_per_class,
    memory_words,
    method_title,
    order_words,
    result_phases_words,
    spread_words,
)
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import json_sha256

# Fields of a configuration that other keys of a result say better (with hashes), or that name a
# seed; together with the fields that cannot change results they do not tell two rows apart.
_SAID_ELSEWHERE = {
    "method", "set", "seeds", "dataset", "data_dir", "split_name", "partial", "captions",
    "image_column", "caption_column", "label_column", "phases", "base_classes",
    "class_order_seed", "class_order", "memory", "growth", "currency", "backbone", "evaluate_on",
    "stop_after",
}  # fmt: skip
_DEFAULTS = RunConfig().identity()
_CODE = "code sha256"  # no setting can be called so
_NO_EFFECT = {
    spec.name
    for spec in dataclasses.fields(RunConfig)
    if not spec.metadata.get("affects_result", True)
}


@dataclass(frozen=True)
class Row:
    """All runs that differ in nothing but their seed.

    Attributes:
        scenario: Hash of data, split, class order, phases (and how many of them are learnt),
            backbone, currency and growth: what must agree before two accuracies may stand in one
            chart; not how data are called.
        heading: The scenario in words.
        budget: How much memory, in that currency.
        label: Method and preset, with the settings in which they differ from their namesakes.
        seeds: The runs' seeds.
        classifier: Whose figures these are, where a method has several; else "".
        figures: Mean and deviation of each of `metrics.METRICS`; None where undefined.
        steps: The optimizer's steps of all phases, mean over runs.
        exemplars, bytes: Exemplars a class and bytes in all of the final memory, mean over runs.
        outside: Bytes carried from phase to phase outside the memory, mean over runs.
        runs: The results themselves, by seed.
    """

    scenario: str
    heading: str
    budget: BudgetInfo
    method: str
    classifier: str
    label: str
    seeds: tuple[int, ...]
    figures: Mapping[str, Spread | None]
    steps: float
    exemplars: float
    bytes: float
    outside: float
    runs: tuple[Result, ...]

    @property
    def average(self) -> Spread:
        """Average incremental accuracy, sample-weighted."""
        return cast(Spread, self.figures["average_incremental_accuracy"])

    @property
    def last(self) -> Spread:
        """Last accuracy, sample-weighted."""
        return cast(Spread, self.figures["last_accuracy"])


def table(results: Sequence[Result]) -> list[Row]:
    """Group finished runs by everything but the seed.

    Unfinished runs are left out; a run that is there again with the same figures (under another
    name of its data, of its preset, ...) counts once.

    Returns:
        Rows ordered by scenario, budget and falling average accuracy.

    Raises:
        UserError: Two results are the same run and yet have other figures.
    """
    groups = {key: _once(runs) for key, runs in _groups(results).items()}
    labels = _labels({(key[0], *key[2:]): runs[0] for key, runs in groups.items()})
    headings: dict[str, str] = {}
    for key, runs in groups.items():
        heading = min(map(_heading, runs))
        headings[key[0]] = min(heading, headings.get(key[0], heading))
    rows = [
        _row(key[0], headings[key[0]], labels[(key[0], *key[2:])], runs, name)
        for key, runs in groups.items()
        for name in classifiers(runs[0])
    ]
    return sorted(
        rows,
        key=lambda r: (
            *(r.heading, r.budget["currency"], r.budget["growth"], r.scenario),
            *(_amount(r.budget), -r.average.mean, r.label),
        ),
    )


def copies(results: Sequence[Result]) -> int:
    """Number of finished runs that `table` leaves out since their like is there."""
    groups = _groups(results).values()
    return sum(len(runs) - len({run["seed"] for run in runs}) for runs in groups)


def by_budget(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows that may be compared directly, under a heading that names data, phases and budget."""
    for _, group in itertools.groupby(rows, lambda row: (row.scenario, memory_words(row.budget))):
        same = list(group)
        yield f"{same[0].heading}; memory: {memory_words(same[0].budget)}", same


def cells(row: Row) -> tuple[str, ...]:
    """The row as texts: label, n, average, last, forgetting, steps, exemplars, memory, outside."""
    return (
        row.label,
        str(row.average.n),
        spread_words(row.average),
        spread_words(row.last),
        spread_words(row.figures["forgetting"]),
        f"{row.steps:.0f}",
        f"{row.exemplars:.1f}" if row.exemplars else MISSING,
        bytes_words(row.bytes),
        bytes_words(row.outside),
    )


def best(rows: Sequence[Row], column: int) -> set[int]:
    """Positions of the rows whose accuracy is the best as it is printed; bounds take no part.

    Args:
        rows: The rows of one table.
        column: Of `cells`: 2 is the average, 3 the last accuracy.

    Returns:
        All that tie; none where there is nothing to compare.
    """
    means = {
        index: cells(row)[column].partition(" ")[0]
        for index, row in enumerate(rows)
        if row.runs[0]["kind"] != "bound"
    }
    highest = max(map(float, means.values()), default=None)
    return {i for i, mean in means.items() if float(mean) == highest} if len(means) > 1 else set()


def _groups(results: Sequence[Result]) -> dict[tuple[str, str, str, str], list[Result]]:
    """Finished runs that differ in their seed only, by scenario, size, method and identity."""
    groups: dict[tuple[str, str, str, str], list[Result]] = {}
    for result in results:
        if result["complete"]:
            key = (_scenario(result), _size(result), result["method"], _identity(result))
            groups.setdefault(key, []).append(result)
    return groups


def _once(runs: Sequence[Result]) -> list[Result]:
    """One run of each seed, in their order."""
    found: dict[int, Result] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        other = found.setdefault(run["seed"], run)
        if _figures(other) != _figures(run):
            raise UserError(
                f"{run['method']} with seed {run['seed']} is there more than once in the same "
                "setting and with different figures (of other versions or another machine?): "
                "leave out all but one"
            )
    return list(found.values())


def _figures(run: Result) -> Any:
    others = [phase["other_classifiers"] for phase in run["phases"]]
    return run["accuracy_matrix"], others, [phase["memory"] for phase in run["phases"]]


def _row(scenario: str, heading: str, label: str, runs: Sequence[Result], name: str) -> Row:
    """The row of one classifier; all but the method's own one are named in the label."""
    first = runs[0]
    if name != first["classifier"]:
        label = f"{label} · {name}"
        runs = [as_classifier(run, name) for run in runs]
    values = [run["metrics"] for run in runs]
    steps = [sum(phase["steps"] for phase in run["phases"]) for run in runs]
    return Row(
        scenario=scenario,
        heading=heading,
        budget=first["budget"],
        method=first["method"],
        classifier=name,
        label=label,
        seeds=tuple(run["seed"] for run in runs),
        figures={name: _spread([of[name] for of in values]) for name in METRICS},
        steps=mean_std(steps).mean,
        exemplars=mean_std([exemplars_per_class(run) for run in runs]).mean,
        bytes=mean_std([run["phases"][-1]["memory"]["bytes"] for run in runs]).mean,
        outside=mean_std([outside_bytes(run) for run in runs]).mean,
        runs=tuple(runs),
    )


def outside_bytes(result: Result) -> int:
    """What a run carried on outside its memory after the last phase."""
    outside = result["phases"][-1]["outside_memory"]
    return outside["bytes"] if outside else 0


def _spread(values: Sequence[float | None]) -> Spread | None:
    defined = [value for value in values if value is not None]
    return mean_std(defined) if defined else None


def _heading(result: Result) -> str:
    data = result["dataset"]
    words = f"{data['name']}, {result_phases_words(result)}"
    words += f", class order {order_words(result['class_order']).removeprefix('seed ')}"
    words += f", backbone {result['backbone']['name']}"
    if data["captions"] not in ("", *data["name"].split(":")):
        words += f", captions {data['captions']}"
    if data["split"] not in ("as given", data["name"]):
        words += f", split {data['split']}"
    if data["left_out"]:
        words += f", {counted(data['left_out'], 'image')} left out"
    evaluated = _evaluated_on(result)
    return words if evaluated == "test" else f"{words}, evaluated on {evaluated}"


def _evaluated_on(result: Result) -> str:
    return str(result["config"].get("evaluate_on", "test"))


def _scenario(result: Result) -> str:
    data, budget = result["dataset"], result["budget"]
    parts = [data["data_sha256"], data["split_sha256"], result["class_order"]["sha256"]]
    parts.append(result["backbone"]["sha256"] or result["backbone"]["name"])
    parts += [budget["currency"], budget["growth"], _evaluated_on(result)]
    if result["config"].get("stop_after"):  # the beginning of a run is like no whole one
        parts.append(f"{len(result['phases'])} of {result['config']['phases']} phases")
    return _hash([*parts, [len(phase["classes"]) for phase in result["phases"]]])


def _size(result: Result) -> str:
    budget = result["budget"]
    return _hash([budget["amount"], budget["unit"], budget["amount"] is None and budget["memory"]])


def _amount(budget: BudgetInfo) -> float:
    return -1.0 if budget["amount"] is None else budget["amount"]


def _training(result: Result) -> dict[str, Any]:
    hidden = _SAID_ELSEWHERE | _NO_EFFECT
    config = {**_DEFAULTS, **result["config"]}  # a result may be older than an option
    return {key: value for key, value in config.items() if key not in hidden}


def _asked(result: Result) -> dict[str, Any]:
    """How a run was told to be trained: without what was left to the method's recipe."""
    left = result["from_recipe"]
    return {key: value for key, value in _training(result).items() if key not in left}


def _own(result: Result) -> dict[str, Any]:
    """What makes a method's row besides its name; a preset is no more than its settings."""
    own = {**_training(result), **result["method_settings"], _CODE: result["method_sha256"][:8]}
    own |= {f"classifier {name}": True for name in classifiers(result)[1:]}
    if reference := result["match_exemplars_of"]:
        copied = {**reference["method_settings"], _CODE: reference["method_sha256"][:8]}
        own |= {f"{reference['method']}.{key}": value for key, value in copied.items()}
    return own


def _identity(result: Result) -> str:
    return _hash(_own(result))


def _labels(rows: dict[tuple[str, str, str], Result]) -> dict[tuple[str, str, str], str]:
    """Names within a scenario: method and preset, and the settings that tell namesakes apart.

    How they were told to be trained is said of all methods as soon as it differs between any two.
    """
    labels: dict[tuple[str, str, str], str] = {}
    for key, result in rows.items():
        preset = result["preset"] or ""
        kin = [r for k, r in rows.items() if k[:2] == key[:2] and (r["preset"] or "") == preset]
        flat, own = list(map(_own, kin)), _own(result)
        differing = [k for k in own if any(other.get(k) != own[k] for other in flat)]
        trained = [_asked(r) for k, r in rows.items() if k[0] == key[0]]
        named = _asked(result)
        differing += [k for k in named if any(t.get(k) != named[k] for t in trained)]
        differing = list(dict.fromkeys(differing))
        extra = ", ".join(f"{k}={own[k]}" for k in differing)
        name = method_title(result) + (f" @{preset}" if preset else "")
        labels[key] = f"{name} ({extra})" if extra else name
    return labels


def _hash(value: Any) -> str:
    return json_sha256(value)[:12]
