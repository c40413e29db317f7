"""Several runs on one page: methods side by side, mean and deviation over their seeds.

Only what was learnt from the same data in the same order, under a memory counted in the same
currency, stands in one chart; and only rows under the same budget stand in one table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmark.metrics import METRICS, mean_std
from benchmark.report import sections
from benchmark.report.charts import Line, legend, line_chart
from benchmark.report.page import page
from benchmark.results import read
from benchmark.results.tables import Row, best, by_budget, cells, copies, table
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
_HEADS = ("Method", "n", "Average accuracy, %", "Last accuracy, %", "Forgetting, points",
          "Steps", "Exemplars a class", "Memory", "Outside it")  # fmt: skip


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
    rows = finished(table(results))
    left_out = {
        "unfinished": sum(not result["complete"] for result in results),
        "repeated with equal figures": copies(results),
    }
    scenarios = [list(same) for _, same in itertools.groupby(rows, lambda row: row.scenario)]
    seeds = sorted({seed for row in rows for seed in row.seeds})
    body = join(
        el(
            "header",
            el("p", "MM-ImageNet-R · comparison", class_="eyebrow"),
            el("h1", _title(rows)),
            el(
                "p",
                f"{counted(sum(row.average.n for row in rows), 'run')} in ",
                f"{counted(len(scenarios), 'setting')}. Figures are means over seeds (",
                f"{', '.join(map(str, seeds))}), with the standard deviation where there is "
                "more than one. Numbers of different settings, or of different currencies of "
                "memory, are not comparable, so each has its own chart.",
                class_="lead",
            ),
            [
                el("p", f"Left out: {counted(count, 'run')} {what}.", class_="warning")
                for what, count in left_out.items()
                if count
            ],
        ),
        el("main", [_scenario(same) for same in scenarios]),
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


def _scenario(rows: Sequence[Row]) -> Html:
    colours = colours_of(rows)
    budget = rows[0].budget
    parts: list[Child] = [_against_memory(rows, colours)]
    for _, same in by_budget(rows):
        lines = curves(same, colours)
        side = el("div", el("h3", memory_words(same[0].budget)), class_="side")
        chart = line_chart(lines, x_label="classes seen", ticks_at=lines[0].x)
        content = el("div", chart, _table(same), _every_figure(same))
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
    content = el("div", legend(by_amount), el("div", charts, class_="pair"))
    return el("div", side, content, class_="budget")


def _table(rows: Sequence[Row]) -> Html:
    winners = {column: best(rows, column) for column in (2, 3)}
    body = [
        [
            el("span", cell, class_="best" if index in winners.get(i, ()) else None)
            for i, cell in enumerate(cells(row))
        ]
        for index, row in enumerate(rows)
    ]
    return sections.plain_table(_HEADS, body, numbers=range(1, len(_HEADS)))


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
