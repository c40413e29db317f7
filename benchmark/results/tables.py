"""Tables over many runs: everything equal but the seed makes one row, mean and deviation of it."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.config import RunConfig
from benchmark.metrics import Spread, mean_std
from benchmark.results.schema import BudgetInfo, Result
from benchmark.wording import (
    MISSING,
    bytes_words,
    exemplars_per_class,
    memory_words,
    phases_words,
    spread_words,
    title_words,
)
from mm_imagenet_r.errors import UserError

# Fields of a configuration that other keys of a result say better (with hashes), or that name a
# seed; together with the fields that cannot change results they do not tell two rows apart.
_SAID_ELSEWHERE = {
    "method", "set", "seeds", "dataset", "captions", "image_column", "caption_column",
    "label_column", "phases", "base_classes", "class_order_seed", "memory", "growth", "currency",
    "backbone", "evaluate_on",
}  # fmt: skip
_NO_EFFECT = {spec.name for spec in dataclasses.fields(RunConfig) if spec.metadata.get("where")}


@dataclass(frozen=True)
class Row:
    """All runs that differ in nothing but their seed.

    Attributes:
        scenario: Hash of data, split, class order, phases, backbone, currency and growth: what
            must agree before two accuracies may stand in one chart.
        heading: The scenario in words.
        budget: How much memory, in that currency.
        label: The method, with those settings in which it differs from its namesakes.
        seeds: The runs' seeds.
        average, last, forgetting: Sample-weighted accuracies and PILOT's forgetting.
        exemplars, bytes: Exemplars a class and bytes in all of the final memory, mean over runs.
        outside: Bytes carried on outside the memory, mean over runs.
        runs: The results themselves, by seed.
    """

    scenario: str
    heading: str
    budget: BudgetInfo
    method: str
    label: str
    seeds: tuple[int, ...]
    average: Spread
    last: Spread
    forgetting: Spread | None
    exemplars: float
    bytes: float
    outside: float
    runs: tuple[Result, ...]


def table(results: Sequence[Result]) -> list[Row]:
    """Group finished runs by everything but the seed; unfinished ones are left out.

    Returns:
        Rows ordered by scenario, budget and falling average accuracy.

    Raises:
        UserError: Two results are the same run, which would be counted twice.
    """
    groups: dict[tuple[str, str, str, str], list[Result]] = {}
    for result in results:
        if result["complete"]:
            key = (_scenario(result), _size(result), result["method"], _identity(result))
            groups.setdefault(key, []).append(result)
    labels = _labels({(key[0], *key[2:]): runs[0] for key, runs in groups.items()})
    rows = [_row(key[0], labels[(key[0], *key[2:])], runs) for key, runs in groups.items()]
    return sorted(
        rows,
        key=lambda r: (
            *(r.heading, r.budget["currency"], r.budget["growth"], r.scenario),
            *(_amount(r.budget), -r.average.mean, r.label),
        ),
    )


def by_budget(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows that may be compared directly, under a heading that names data, phases and budget."""
    for _, group in itertools.groupby(rows, lambda row: (row.scenario, memory_words(row.budget))):
        same = list(group)
        yield f"{same[0].heading}; memory: {memory_words(same[0].budget)}", same


def cells(row: Row) -> tuple[str, ...]:
    """The row as texts: label, n, average, last, forgetting, exemplars, memory, beside it."""
    return (
        row.label,
        str(row.average.n),
        spread_words(row.average),
        spread_words(row.last),
        spread_words(row.forgetting),
        f"{row.exemplars:.1f}" if row.exemplars else MISSING,
        bytes_words(row.bytes),
        bytes_words(row.outside),
    )


def _row(scenario: str, label: str, runs: Sequence[Result]) -> Row:
    runs = sorted(runs, key=lambda run: run["seed"])
    seeds = tuple(run["seed"] for run in runs)
    first = runs[0]
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise UserError(
            f"{first['method']} with seed {twice} is there {seeds.count(twice)} times in the same "
            "setting: it would be counted more than once; leave out the copies"
        )
    metrics = [run["metrics"] for run in runs]
    forgot = [m["forgetting"] for m in metrics if m["forgetting"] is not None]
    return Row(
        scenario=scenario,
        heading=_heading(first),
        budget=first["budget"],
        method=first["method"],
        label=label,
        seeds=seeds,
        average=mean_std([m["average_incremental_accuracy"] for m in metrics]),
        last=mean_std([m["last_accuracy"] for m in metrics]),
        forgetting=mean_std(forgot) if forgot else None,
        exemplars=mean_std([exemplars_per_class(run) for run in runs]).mean,
        bytes=mean_std([run["phases"][-1]["memory"]["bytes"] for run in runs]).mean,
        outside=mean_std([run["outside_memory"]["bytes"] for run in runs]).mean,
        runs=tuple(runs),
    )


def _heading(result: Result) -> str:
    data = result["dataset"]
    words = f"{data['name']}, {phases_words([len(p['classes']) for p in result['phases']])}"
    seed = result["class_order"]["seed"]
    words += ", natural class order" if seed is None else f", class order {seed}"
    words += f", backbone {result['backbone']['name']}"
    if data["captions"] not in ("", data["name"]):
        words += f", captions {data['captions']}"
    evaluated = _evaluated_on(result)
    return words if evaluated == "test" else f"{words}, evaluated on {evaluated}"


def _evaluated_on(result: Result) -> str:
    return str(result["config"].get("evaluate_on", "test"))


def _scenario(result: Result) -> str:
    data, budget = result["dataset"], result["budget"]
    parts = [data["name"], data["data_sha256"], data["split_sha256"], data["captions"]]
    parts += [result["class_order"]["sha256"], result["backbone"]["sha256"]]
    parts += [budget["currency"], budget["growth"], _evaluated_on(result)]
    return _hash([*parts, [len(phase["classes"]) for phase in result["phases"]]])


def _size(result: Result) -> str:
    budget = result["budget"]
    return _hash([budget["amount"], budget["unit"], budget["amount"] is None and budget["memory"]])


def _amount(budget: BudgetInfo) -> float:
    return -1.0 if budget["amount"] is None else budget["amount"]


def _training(result: Result) -> dict[str, Any]:
    hidden = _SAID_ELSEWHERE | _NO_EFFECT
    return {key: value for key, value in result["config"].items() if key not in hidden}


def _identity(result: Result) -> str:
    """What makes a method's row besides its name; a preset is no more than its settings."""
    return _hash([result["method_settings"], _training(result)])


def _labels(rows: dict[tuple[str, str, str], Result]) -> dict[tuple[str, str, str], str]:
    """Names within a scenario: the method alone, or with the settings that tell namesakes apart."""
    labels: dict[tuple[str, str, str], str] = {}
    for key, result in rows.items():
        kin = [other for k, other in rows.items() if k[:2] == key[:2]]
        flat = [{**_training(other), **other["method_settings"]} for other in kin]
        own = {**_training(result), **result["method_settings"]}
        differing = [k for k in own if any(other.get(k) != own[k] for other in flat)]
        extra = ", ".join(f"{k}={own[k]}" for k in differing)
        labels[key] = title_words(result["method"]) + (f" ({extra})" if extra else "")
    return labels


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
