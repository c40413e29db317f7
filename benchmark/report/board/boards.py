"""What the page shows, as plain data: boards of rows that may be compared, and their rows.

A board is one scenario and one budget, found by its facets, so no two boards share a table. Rows
are stored once, as entries: a method without a memory stands in many boards.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from benchmark.formatting import memory_words, result_phases_words
from benchmark.metrics import METRICS, Spread, mean_std
from benchmark.report.board.collect import Collection, Shown
from benchmark.report.board.document import clean
from benchmark.results import labels
from benchmark.results.derive import classes_seen
from benchmark.results.schema import BudgetInfo, Result
from benchmark.results.tables import Row, table
from benchmark.table.columns import difference_words, remarks
from benchmark.table.compare import ACCURACIES, DEFAULT, READINGS, Reading, Standing, Table, compare
from benchmark.table.differences import Comparer, Difference
from mm_imagenet_r.hashes import json_sha256

#: A JSON object; what stands in it is said by the function that makes it.
Json: TypeAlias = dict[str, Any]

#: By what a board is chosen, in this order: a later one is chosen among what the former leave.
FACETS: dict[str, str] = {
    "data": "Data",
    "captions": "Captions",
    "split": "Split",
    "phases": "Phases",
    "training": "Training",
    "backbone": "Backbone",
    "currency": "Memory in",
    "memory": "Memory",
}
_DIGITS = 3


class _Value(NamedTuple):
    """A facet of a board: in words, and what must agree for two boards to share it."""

    words: str
    identity: str


#: The tables in each reading, of the same rows.
Ranked: TypeAlias = Mapping[Reading, Sequence[Table]]


def rank(found: Collection) -> Ranked:
    """The tables of all results, in each reading.

    Raises:
        UserError: Two results are of the same run and yet have different figures.
    """
    shown = found.shown
    rows = table([one.result for one in shown], [one.folder for one in shown])
    comparer = Comparer([ACCURACIES[name] for name in DEFAULT])
    return {reading: compare(rows, reading=reading, comparer=comparer) for reading in READINGS}


def describe(
    found: Collection,
    ranked: Ranked,
    pages: Mapping[str, str],
    levels: Sequence[tuple[str, str]] = (),
) -> Json:
    """Everything the page shows; a board names its entries by their positions.

    `ranked` holds the tables, `pages` the address of each method's page, `levels` word and meaning
    of each level of verification, from the lowest.
    """
    entries = _Entries(found, pages)
    boards: dict[tuple[str, str], Json] = {}
    facets = []
    for reading, tables in ranked.items():
        for one in tables:
            first = one.rows[0]
            key = (first.scenario, labels.memory_key(first.budget))
            if key not in boards:
                boards[key] = _board(first)
                facets.append(_facets(first.runs[0], first.budget))
            boards[key]["readings"][reading] = _ranking(one, entries)
    for board, words in zip(boards.values(), _words(facets), strict=True):
        board["facets"], found_in = words, board["readings"]
        board["readings"] = {  # another one with the same rows as "own" says nothing new
            name: one
            for name, one in found_in.items()
            if name == "own" or one["rows"] != found_in["own"]["rows"]
        }
    return {
        "facets": [[name, title] for name, title in FACETS.items()],
        "metrics": {name: metric.definition for name, metric in METRICS.items()},
        "levels": [list(level) for level in levels],
        "entries": entries.made,
        "boards": list(boards.values()),
        "left_out": [[clean(str(folder)), clean(why)] for folder, why in found.left_out],
    }


class _Entries:
    """Rows as plain data, each once."""

    def __init__(self, found: Collection, pages: Mapping[str, str]) -> None:
        self._shown = {one.folder: one for one in found.shown}
        self._pages = pages
        self._index: dict[int, int] = {}
        self.made: list[Json] = []

    def index(self, row: Row) -> int:
        """Position of a row's entry; a row beside several budgets has the same runs in each."""
        if id(row.runs) not in self._index:
            self._index[id(row.runs)] = len(self.made)
            self.made.append(self._entry(row))
        return self._index[id(row.runs)]

    def doubts(self, one: Table) -> Iterator[str]:
        """What nobody could check of the data that a table is about."""
        shown = [self._shown[folder] for row in one.rows for folder in row.folders if folder]
        if found := dict.fromkeys(fact for one in shown for fact in one.unchecked):
            yield (
                "Not checked for results that are only consistent, as nothing is shipped to "
                f"compare with: {', '.join(found)}."
            )

    def _entry(self, row: Row) -> Json:
        first = row.runs[0]
        preset = f"@{first['preset']}" if first["preset"] else ""
        shown = [self._shown[folder] for folder in row.folders if folder is not None]
        levels = [one.level for one in shown if one.level is not None]
        return {
            "name": clean(row.label),
            "method": clean(f"{row.method}{preset}"),
            "page": self._pages.get(row.method),
            "kind": first["kind"],
            "classifier": clean(row.classifier),
            "own": row.own,
            "level": min(levels, default=None),
            "orders": len(row.orders),
            "runs": [_run(run, one) for run, one in zip(row.runs, shown, strict=True)],
            "figures": {name: _spread(row.figures[name]) for name in METRICS},
            "curve": [
                _spread(
                    mean_std([run["phases"][t]["accuracy"]["sample_weighted"] for run in row.runs])
                )
                for t in range(len(first["phases"]))
            ],
            "exemplars": _rounded(row.exemplars),
            "bytes": round(row.bytes),
            "outside": round(row.outside),
            "rate": _rounded(row.rate),
            "parameters": _rounded(row.parameters),
            "steps": _rounded(row.steps),
            "seconds": round(row.seconds, 1),
            "resumed": row.resumed,
            "tuned": clean(row.tuned),
        }


def _run(run: Result, shown: Shown) -> Json:
    """One run, read by the classifier of its row."""
    return {
        "order": clean(labels.order_name(run)),
        "seed": run["seed"],
        "values": [_rounded(run["metrics"][ACCURACIES[name]]) for name in DEFAULT],
        "level": shown.level,
        "folder": clean(shown.name),
        "report": shown.report,
    }


def _board(row: Row) -> Json:
    budget = row.budget
    return {
        "heading": clean(row.heading),
        "scenario": row.scenario,
        "budget": clean(memory_words(budget)),
        "amount": budget["amount"],
        "seen": classes_seen(row.runs[0]),
        "readings": {},
    }


def _ranking(one: Table, entries: _Entries) -> Json:
    """Rows of a table by position of their entry, and how they stand in each accuracy."""
    sentences = (*remarks(one, wide=False), *entries.doubts(one))
    return {
        "rows": [entries.index(row) for row in one.rows],
        "standings": [_standing(standing) for standing in one.standings],
        "remarks": [clean(sentence) for sentence in sentences],
    }


def _standing(standing: Standing) -> Json:
    return {
        "best": standing.baseline,
        "winner": standing.winner,
        "level": sorted(standing.level),
        "differences": [_difference(one) for one in standing.differences],
    }


def _difference(one: Difference | None) -> Json | None:
    """In words, the mean and bounds that are drawn, and over how many class orders."""
    if one is None or one.mean is None:
        return None
    bounds = one.interval[1:3] if one.interval else (None, None)
    values = [_rounded(value) for value in (one.mean, *bounds)]
    return {"words": difference_words(one), "values": values, "orders": one.orders}


def _facets(result: Result, budget: BudgetInfo) -> dict[str, _Value]:
    data, backbone = result["dataset"], result["backbone"]
    sizes = [len(phase["classes"]) for phase in result["phases"]]
    part = labels.evaluated_on(result)
    evaluated = "" if part == "test" else f", evaluated on {part}"
    left_out = f", {data['left_out']} images left out" if data["left_out"] else ""
    return {
        "data": _Value(data["name"] + left_out, data["data_sha256"]),
        "captions": _Value(data["captions"] or "its own", data["captions_id"]),
        "split": _Value(data["split"] + evaluated, data["split_sha256"] + evaluated),
        "phases": _Value(
            result_phases_words(result), json_sha256([sizes, result["config"].get("stop_after")])
        ),
        "training": _Value(words := labels.length_words(result), words),
        "backbone": _Value(backbone["name"], backbone["sha256"] or backbone["name"]),
        "currency": _Value(budget["currency"], budget["currency"]),
        "memory": _Value(_amount_words(budget), labels.memory_key(budget)),
    }


def _amount_words(budget: BudgetInfo) -> str:
    """The budget without its currency, which has a facet of its own."""
    return memory_words(budget).removesuffix(f", in {budget['currency']}").partition(" = ")[0]


def _words(found: Sequence[Mapping[str, _Value]]) -> list[list[str]]:
    """The facets of each board in words that no two boards have in common (else with hashes)."""
    columns = [_column([board[name] for board in found], name) for name in FACETS]
    boards = [list(words) for words in zip(*columns, strict=True)]
    for board, words in zip(found, boards, strict=True):
        if boards.count(words) > 1:
            words[-1] += f" ({board['memory'].identity[:8]})"
    return boards


def _column(values: Sequence[_Value], facet: str) -> list[str]:
    names: dict[str, set[str]] = defaultdict(set)
    for value in values:
        names[value.identity].add(value.words)
    first = {identity: min(words) for identity, words in names.items()}
    # A memory is called alike in all scenarios, although its unit is that of the data.
    often = Counter() if facet == "memory" else Counter(first.values())
    return [
        clean(words) + (f" ({value.identity[:8]})" if often[words] > 1 else "")
        for value in values
        if (words := first[value.identity])
    ]


def _spread(spread: Spread | None) -> list[float | None] | None:
    return None if spread is None else [_rounded(spread.mean), _rounded(spread.std), spread.n]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
