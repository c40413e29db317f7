"""Tables of rows that may be compared: who is best, and by how much each row differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from benchmark.metrics import Spread
from benchmark.option_names import method_name
from benchmark.results.tables import Row, by_budget
from benchmark.table.differences import Comparer, Difference
from mm_imagenet_r.errors import UserError, did_you_mean, printable, summarize

Reading: TypeAlias = Literal["own", "linear", "all"]
READINGS: tuple[Reading, ...] = ("all", "own", "linear")
#: What rows can be ranked by and compared in: figures that are linear in the accuracy matrix.
ACCURACIES: dict[str, str] = {
    "average": "average_incremental_accuracy",
    "last": "last_accuracy",
    "average_phase_weighted": "average_incremental_accuracy_phase_weighted",
    "last_phase_weighted": "last_accuracy_phase_weighted",
    "learning": "learning_accuracy",
}
DEFAULT = ("average", "last")


@dataclass(frozen=True)
class Standing:
    """One accuracy (a name of `ACCURACIES`) of every row of a table; rows by position.

    `differences` are those of each row to the `baseline`, None of itself. The `winner` is better
    than every other row, beyond its interval; else `level` holds the best row and those that
    cannot be told from it.
    """

    metric: str
    spreads: Sequence[Spread | None]
    baseline: int | None
    differences: Sequence[Difference | None]
    winner: int | None
    level: frozenset[int]


@dataclass(frozen=True)
class Table:
    """Rows that may be compared directly, best first, and how they stand."""

    heading: str
    rows: Sequence[Row]
    standings: Sequence[Standing]


def compare(
    rows: Sequence[Row],
    *,
    metrics: Sequence[str] = DEFAULT,
    baseline: str | None = None,
    reading: Reading = "all",
    comparer: Comparer | None = None,
) -> list[Table]:
    """Compare the rows of each table, as `results.tables.table` makes them.

    `metrics`, `baseline` and `reading` are as in `table.tables`; "linear" is the linear head of
    methods that have one beside their own classifier. A `comparer` of these metrics shares what it
    has read between calls.

    Raises:
        UserError: There is no such metric, reading or baseline.
    """
    for name in metrics:
        if name not in ACCURACIES:
            raise UserError(f"--metric {name}: {did_you_mean(name, ACCURACIES)}")
    if reading not in READINGS:
        raise UserError(f"--reading {reading}: {did_you_mean(reading, READINGS)}")
    shown = [row for row in rows if _is_read(row, rows, reading)]
    if baseline is not None and not any(_is_called(row, baseline) for row in shown):
        known = sorted({row.method for row in shown})
        raise UserError(f"--baseline {baseline} matches no row: {did_you_mean(baseline, known)}")
    comparer = comparer or Comparer([ACCURACIES[name] for name in metrics])
    tables = []
    for heading, group in by_budget(shown):
        ranked = sorted(group, key=lambda row: (-_mean(row, metrics[0]), row.label))
        base = _baseline(ranked, baseline) if baseline is not None else None
        found = [
            _standing(ranked, metric, base, comparer, fixed=baseline is not None)
            for metric in metrics
        ]
        tables.append(Table(printable(heading), ranked, found))
    return tables


def contenders(rows: Sequence[Row], metric: str) -> list[int]:
    """Positions of the rows that may win, best first: all but bounds, if there are two."""
    found = [i for i, row in enumerate(rows) if row.runs[0]["kind"] != "bound"]
    return sorted(found, key=lambda i: -_mean(rows[i], metric)) if len(found) > 1 else []


def _standing(
    rows: Sequence[Row], metric: str, base: int | None, comparer: Comparer, *, fixed: bool
) -> Standing:
    order = contenders(rows, metric)
    best = order[0] if order else None
    base = base if fixed else best
    name = ACCURACIES[metric]

    def against(other: int | None) -> dict[int, Difference]:
        if other is None:
            return {}
        return {
            i: comparer.difference(row, rows[other], name)
            for i, row in enumerate(rows)
            if i != other
        }

    to_base = against(base)
    to_best = to_base if best == base else against(best)
    # Readings of the same runs are no rivals of each other.
    rivals = [i for i in order[1:] if best is not None and rows[i].name != rows[best].name]
    open_to = {i: interval.high for i in rivals if (interval := to_best[i].interval)}
    level = {i for i, high in open_to.items() if high >= 0}
    beaten = bool(rivals) and len(open_to) == len(rivals) and not level
    return Standing(
        metric=metric,
        spreads=[row.figures[name] for row in rows],
        baseline=base,
        differences=[to_base.get(i) for i in range(len(rows))],
        winner=best if beaten else None,
        level=frozenset({best, *level}) if level and best is not None else frozenset(),
    )


def _is_read(row: Row, rows: Sequence[Row], reading: Reading) -> bool:
    if reading == "own":
        return row.own
    if reading == "linear" and row.classifier != "linear":
        runs = (row.scenario, row.budget, row.name)
        kin = (other for other in rows if (other.scenario, other.budget, other.name) == runs)
        return row.own and not any(other.classifier == "linear" for other in kin)
    return True


def _is_called(row: Row, name: str) -> bool:
    preset = row.runs[0]["preset"]
    full = f"{row.method}@{preset}" if preset else row.method
    return method_name(name) in (row.method, full) or name.lower() in (
        row.label.lower(),
        row.name.lower(),
    )


def _baseline(rows: Sequence[Row], name: str) -> int | None:
    """Position of the row of that name: the method's own reading of its only variant."""
    found = [i for i, row in enumerate(rows) if _is_called(row, name)]
    own = [i for i in found if rows[i].own]
    exact = [i for i in found if rows[i].label.lower() == name.lower()]
    found = exact or [i for i in own if not rows[i].runs[0]["preset"]] or own or found
    if len(found) > 1:
        labels = [f"'{rows[i].label}'" for i in found]
        raise UserError(f"--baseline {name} matches several rows: use one of {summarize(labels)}")
    return found[0] if found else None


def _mean(row: Row, metric: str) -> float:
    return cast(Spread, row.figures[ACCURACIES[metric]]).mean  # always defined
