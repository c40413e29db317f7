"""What stands in the columns of a table, whichever way it is written, and the words below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.formatting import MISSING, bytes_words, seconds_words, spread_words
from benchmark.metrics import METRICS
from benchmark.results.tables import Row
from benchmark.table.compare import Standing, Table
from benchmark.table.differences import Difference
from mm_imagenet_r.errors import pluralize, printable, summarize

LEVEL = "≈"
_HEADS = {"average": "Average acc.", "last": "Last acc."}


@dataclass(frozen=True)
class Column:
    """A column: a text for each row, and which of these are set in bold.

    One that is `joined` belongs to the column at its left. Whatever it is made from, its texts can
    be printed, each on one line.
    """

    head: str
    cells: Sequence[str]
    bold: frozenset[int] = frozenset()
    joined: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "head", printable(self.head))
        object.__setattr__(self, "cells", tuple(map(printable, self.cells)))


#: Columns that a narrow table goes without; the rows' labels name other classifiers anyway.
_WIDE_ONLY = {
    "Read by", "Stored rate", "Memory", "Outside it", "Parameters", "Steps", "Time",
}  # fmt: skip


def columns(table: Table, *, wide: bool = True) -> list[Column]:
    """The columns, less those that say nothing of any row.

    Without `wide`: method, accuracies, differences, exemplars and tuning alone.
    """
    rows = table.rows

    def plain(head: str, text: Callable[[Row], str]) -> Column:
        return Column(head, [text(row) for row in rows])

    found = [
        plain("Method", lambda row: row.label),
        plain("Read by", lambda row: row.classifier or MISSING),
        plain("n", lambda row: str(row.average.n)),
        plain("Orders", lambda row: str(len(row.orders)))
        if any(len(row.orders) != row.average.n for row in rows)
        else None,
    ]
    for standing in table.standings:
        found += [_accuracy(standing), _differences(standing, rows)]
    found += [
        *(
            plain(one.column, lambda row, name=name: spread_words(row.figures[name]))  # type: ignore[misc]
            for name, one in METRICS.items()
            if one.column and wide
        ),
        plain("Exemplars/class", lambda row: _number(row.exemplars or None, ".1f")),
        plain("Stored rate", lambda row: _number(row.rate, ".2f")),
        plain("Memory", lambda row: bytes_words(row.bytes)),
        plain("Outside it", lambda row: bytes_words(row.outside)),
        plain("Parameters", lambda row: _number(row.parameters, ",.0f")),
        plain("Steps", lambda row: f"{row.steps:.0f}"),
        plain("Time", lambda row: "≥ " * row.resumed + seconds_words(row.seconds)),
        plain("Tuned", lambda row: row.tuned or MISSING),
    ]
    return [
        column
        for column in found
        if column and (wide or column.head not in _WIDE_ONLY) and set(column.cells) - {MISSING, ""}
    ]


def legend(tables: Sequence[Table], *, wide: bool = True) -> list[str]:
    """Sentences that hold for every table, on those of its `columns` that are shown."""
    words = ["Accuracy in %, mean ± standard deviation over n runs."]
    standings = [standing for table in tables for standing in table.standings]
    differences = [d for s in standings for d in s.differences if d is not None]
    if any(difference.interval for difference in differences):
        words += [
            "Differences in points, over the class orders that both rows have, with 95 % intervals "
            "(paired: test images resampled, Student's t over class orders; over seeds where there "
            "is one order only).",
            f"Bold: above every other row, beyond its interval. {LEVEL}: no difference to the best "
            "row is shown. Bounds do not compete.",
        ]
    elif differences:
        words.append("Differences in points. Without intervals nothing is in bold.")
    if not wide:
        return words
    if any(row.figures["forgetting"] for table in tables for row in table.rows):
        words.append(
            "Forgetting: best accuracy on each phase minus the last one, on average (PILOT)."
        )
    if any(row.rate is not None for table in tables for row in table.rows):
        words.append("Stored rate: cost of an exemplar in untouched samples.")
    return words


def remarks(table: Table, *, wide: bool = True) -> list[str]:
    """Sentences on this table: where there are no intervals and why, and whether steps differ."""
    why: dict[str, dict[str, None]] = {}
    for standing in table.standings:
        for row, difference in zip(table.rows, standing.differences, strict=True):
            if difference is not None and difference.why:
                why.setdefault(difference.why, {})[row.label] = None
    said = [f"No interval, {reason}: {summarize(list(of), most=8)}." for reason, of in why.items()]
    if not why and any(standing.baseline is None for standing in table.standings):
        said.append("Nothing to compare with.")
    if any(d is not None and d.seeds for s in table.standings for d in s.differences):
        said.append("Intervals over seeds hold for one class order: others may differ more.")
    steps = {round(row.steps) for row in table.rows}
    if len(steps) > 1:
        said.append(f"Training steps differ, from {min(steps)} to {max(steps)}.")
    if wide and any(row.resumed for row in table.rows):
        said.append("Time: ≥ where a run was resumed; only the time since then is known.")
    return said


def head_of(metric: str) -> str:
    """A metric as the title of a column."""
    words = metric.replace("_", " ")
    return _HEADS.get(metric, words[:1].upper() + words[1:])


def difference_words(difference: Difference | None) -> str:
    """Points with their interval; a digit more where rounding would move a bound onto zero.

    >>> from benchmark.bootstrap import Interval
    >>> difference_words(Difference(-2.04, Interval(-2.04, -3.9, -0.2), 5, ""))
    '-2.0 [-3.9, -0.2]'
    >>> difference_words(Difference(0.31, Interval(0.31, 0.04, 0.58), 5, ""))
    '+0.31 [+0.04, +0.58]'
    >>> difference_words(Difference(1.0, None, 1, "one class order")), difference_words(None)
    ('+1.0', '–')
    >>> difference_words(Difference(2.0, Interval(2.0, 1.5, 2.5), 1, "", seeds=3))
    '+2.0 [+1.5, +2.5] (3 seeds)'
    """  # noqa: RUF002 (the en dash that stands for "no value")
    if difference is None or difference.mean is None:
        return MISSING
    if difference.interval is None:
        return f"{difference.mean:+.1f}"
    bounds = difference.interval[1:3]
    digits = 2 if difference.shown and min(map(abs, bounds)) < 0.05 else 1
    low, high = (f"{bound:+.{digits}f}" for bound in bounds)
    seeds = f" ({difference.seeds} seeds)" if difference.seeds else ""
    return f"{difference.mean:+.{digits}f} [{low}, {high}]{seeds}"


def paired_words(difference: Difference | None, row: Row, base: Row) -> str:
    """`difference_words`, with the number of class orders where not all are in both rows."""
    words = difference_words(difference)
    orders = {len(row.orders), len(base.orders)}
    if difference is not None and difference.orders and {difference.orders} != orders:
        words += f" ({pluralize(difference.orders, 'order')})"
    return words


def _accuracy(standing: Standing) -> Column:
    cells = [
        f"{LEVEL} {spread_words(spread)}" if i in standing.level else spread_words(spread)
        for i, spread in enumerate(standing.spreads)
    ]
    bold = frozenset() if standing.winner is None else frozenset({standing.winner})
    return Column(head_of(standing.metric), cells, bold)


def _differences(standing: Standing, rows: Sequence[Row]) -> Column:
    base = standing.baseline
    if base is None:
        return Column("", [""] * len(rows))
    cells = [
        paired_words(difference, row, rows[base])
        for row, difference in zip(rows, standing.differences, strict=True)
    ]
    return Column(f"vs. {rows[base].label}", cells, joined=True)


def _number(value: float | None, form: str) -> str:
    return MISSING if value is None else format(value, form)
