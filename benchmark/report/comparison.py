"""Several runs on one page: methods side by side, mean and deviation over class orders and seeds.

Only what was learnt from the same data, under a memory counted in the same currency, stands in one
chart; and only rows under the same budget stand in one table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmark.metrics import METRICS, mean_std
from benchmark.report import sections
from benchmark.report.charts import Line, line_chart
from benchmark.report.charts import legend as chart_legend
from benchmark.report.page import page
from benchmark.results import read
from benchmark.results.tables import Row, copies, table
from benchmark.table.columns import columns, legend, remarks
from benchmark.table.compare import Table, compare
from benchmark.wording import counted, memory_words, spread_words
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.markup import Child, Html, el, join

_CURRENCIES = {
    "bytes": "Memory is counted in bytes: every byte kept of a sample is charged.",
    "samples": "Memory is counted in samples: an exemplar costs the share of its image that is "
    "kept, whatever it weighs on disk.",
    "exemplars": "Memory is counted in exemplars: only their number is limited, whatever they "
    "weigh.",
}


def write_comparison(folders: Sequence[Path], path: Path) -> Path:
    """Write a page that compares runs.

    Args:
        folders: The runs' folders.
        path: The page to write.

    Returns:
        `path`.

    Raises:
        UserError: A result is missing or broken, none is finished, or one is there twice with
            other figures.
    """
    results = [read(folder) for folder in folders]
    rows = finished(table(results, folders))
    left_out = {
        "unfinished": sum(not result["complete"] for result in results),
        "repeated with equal figures": copies(results),
    }
    tables = compare(rows)
    scenarios = [
        list(same) for _, same in itertools.groupby(tables, lambda one: one.rows[0].scenario)
    ]
    orders = sorted({order for row in rows for order in row.orders})
    seeds = sorted({seed for row in rows for seed in row.seeds})
    count = len(results) - sum(left_out.values())
    body = join(
        el(
            "header",
            el("p", "MM-ImageNet-R · comparison", class_="eyebrow"),
            el("h1", _title(rows)),
            el(
                "p",
                f"{counted(count, 'run')} in {counted(len(scenarios), 'setting')}. Figures are "
                f"means over class orders ({', '.join(orders)}) and seeds "
                f"({', '.join(map(str, seeds))}), with the standard deviation where there is more "
                "than one run. Numbers of different settings, or of different currencies of "
                "memory, are not comparable, so each has its own chart.",
                class_="lead",
            ),
            [
                el("p", f"Left out: {counted(number, 'run')} {what}.", class_="warning")
                for what, number in left_out.items()
                if number
            ],
        ),
        el(
            "main",
            [_scenario(same) for same in scenarios],
            el("p", " ".join(legend(tables)), class_="note"),
        ),
    )
    write_atomic(path, page(_title(rows), body).encode())
    return path


def finished(rows: list[Row]) -> list[Row]:
    """The rows, of which there must be one.

    Raises:
        UserError: There is none.
    """
    if not rows:
        raise UserError("none of these runs is finished: give their commands again to resume them")
    return rows


def curves(rows: Sequence[Row], colours: dict[str, int]) -> list[Line]:
    """Accuracy over the classes seen, one line with a band for each row."""
    lines = []
    for row in rows:
        phases = row.runs[0]["phases"]
        seen = list(itertools.accumulate(len(phase["classes"]) for phase in phases))
        spreads = [
            mean_std([run["phases"][t]["accuracy"]["sample_weighted"] for run in row.runs])
            for t in range(len(phases))
        ]
        lines.append(
            Line(
                row.label,
                seen,
                [spread.mean for spread in spreads],
                [spread.std for spread in spreads],
                colours[row.label],
                notes=[f"n = {spread.n}" for spread in spreads],
            )
        )
    return lines


def colours_of(rows: Sequence[Row]) -> dict[str, int]:
    """A colour for each label of a scenario, the same in all of its charts."""
    labels = sorted({row.label for row in rows})
    best = {k: max(row.average.mean for row in rows if row.label == k) for k in labels}
    return {label: i for i, label in enumerate(sorted(labels, key=lambda k: -best[k]))}


def _scenario(tables: Sequence[Table]) -> Html:
    rows = [row for one in tables for row in one.rows]
    colours = colours_of(rows)
    budget = rows[0].budget
    parts: list[Child] = [_against_memory(rows, colours)]
    for one in tables:
        lines = curves(one.rows, colours)
        side = el("div", el("h3", memory_words(one.rows[0].budget)), class_="side")
        chart = line_chart(lines, x_label="classes seen", ticks_at=lines[0].x)
        content = el("div", chart, _table(one), _every_figure(one.rows))
        parts.append(el("div", side, content, class_="budget"))
    currency = budget["currency"]
    note = _CURRENCIES.get(currency, f"Memory is counted in {currency}.")
    return el(
        "section",
        el("p", f"memory in {currency}", class_="eyebrow"),
        el("h2", rows[0].heading),
        el("p", note, class_="note"),
        parts,
        class_="setting",
    )


def _against_memory(rows: Sequence[Row], colours: dict[str, int]) -> Html | None:
    """Average accuracy against what may be kept and against how many exemplars that is."""
    amounts = sorted({row.budget["amount"] for row in rows if row.budget["amount"] is not None})
    if len(amounts) < 2:
        return None
    per = "a class" if rows[0].budget["growth"] == "per-class" else "in total"
    currency = rows[0].budget["currency"]
    unit = f"memory, untouched samples {per} ({currency})"

    def lines(x: Callable[[Row], float]) -> list[Line]:
        found = []
        for label, colour in colours.items():
            kin = sorted((row for row in rows if row.label == label), key=x)
            found.append(
                Line(
                    label,
                    [x(row) for row in kin],
                    [row.average.mean for row in kin],
                    [row.average.std for row in kin],
                    colour,
                    notes=[f"memory: {memory_words(row.budget)}" for row in kin],
                )
            )
        return found

    average = "average incremental accuracy, %"
    by_amount = lines(lambda row: row.budget["amount"] or 0)
    by_count = lines(lambda row: row.exemplars)
    charts = (
        line_chart(by_amount, x_label=unit, y_label=average, ticks_at=amounts, keyed=False),
        line_chart(by_count, x_label="exemplars a class", y_label=average, ends=False, keyed=False),
    )
    side = el("div", el("h3", "Accuracy against memory"), class_="side")
    content = el("div", chart_legend(by_amount), el("div", charts, class_="pair"))
    return el("div", side, content, class_="budget")


def _table(table: Table) -> Html:
    shown = columns(table)
    body = [
        [
            el("span", column.cells[index], class_="best" if index in column.bold else None)
            for column in shown
        ]
        for index in range(len(table.rows))
    ]
    heads = [column.head for column in shown]
    return join(
        [
            sections.plain_table(heads, body, numbers=range(1, len(heads))),
            el("p", " ".join(remarks(table)), class_="note"),
        ]
    )


def _every_figure(rows: Sequence[Row]) -> Html:
    """All metrics, both weightings among them: a row each, a column for each method."""
    body: list[Sequence[Child]] = [
        (
            el("span", name.replace("_", " "), title=metric.definition),
            *(spread_words(row.figures[name], digits=2) for row in rows),
        )
        for name, metric in METRICS.items()
    ]
    heads = ("% or points", *(row.label for row in rows))
    table = sections.plain_table(heads, body, numbers=range(1, len(heads)))
    words = "Both weightings, and every other figure"
    return el("div", el("details", el("summary", words), table), class_="more")


def _title(rows: Sequence[Row]) -> str:
    labels = list(dict.fromkeys(row.label for row in sorted(rows, key=lambda r: -r.average.mean)))
    shown = ", ".join(labels[:3]) + (" and others" if len(labels) > 3 else "")
    return shown if len(labels) < 3 else shown[:1].upper() + shown[1:]
