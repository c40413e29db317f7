"""Tables for a terminal, a README, a paper, a program."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.formatting import MISSING
from benchmark.metrics import METRICS
from benchmark.results.tables import Row
from benchmark.table.columns import Column, columns, legend, remarks
from benchmark.table.compare import Standing, Table
from mm_imagenet_r.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

LABEL = "tab:results"


def markdown(tables: Sequence[Table]) -> str:
    """A Markdown table for each setting, then what holds for all."""
    parts = []
    for table in tables:
        shown = columns(table)
        heads = [_escape_markdown(column.head) for column in shown]
        lines = [f"**{_escape_markdown(table.heading)}**", "", _line(heads)]
        lines.append("|---|" + "--:|" * (len(shown) - 1))
        lines += [_line(cells) for cells in _cells(shown, _escape_markdown, "**{}**")]
        said = " ".join(map(_escape_markdown, remarks(table)))
        parts.append("\n".join([*lines, *(["", said] if said else [])]) + "\n")
    return "\n".join([*parts, " ".join(map(_escape_markdown, legend(tables))) + "\n"])


def latex(
    tables: Sequence[Table],
    *,
    caption: str | None = None,
    label: str = LABEL,
    wide: bool = False,
) -> str:
    r"""A table environment (package booktabs) with caption and label for each setting.

    What holds for all tables stands in the first caption, after the LaTeX of `caption`; the others
    refer to it. With several tables the labels are LABEL-1, LABEL-2, ... Without `wide` only those
    columns are written that fit a page.
    """
    parts = [
        r"% \usepackage{booktabs}; where a table is too wide: \usepackage{graphicx} and "
        r"\resizebox{\textwidth}{!}{...} around the tabular"
    ]
    for number, table in enumerate(tables, 1):
        shown = columns(table, wide=wide)
        common = map(_escape_latex, legend(tables, wide=wide))
        said = [
            *([caption] if caption else []),
            _escape_latex(f"{table.heading}."),
            *(common if number == 1 else [rf"To be read as Table~\ref{{{label}-1}}."]),
            *map(_escape_latex, remarks(table, wide=wide)),
        ]
        words = " ".join(said)
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{words}}}",
            rf"\label{{{label if len(tables) == 1 else f'{label}-{number}'}}}",
            r"\begin{tabular}{l" + "r" * (len(shown) - 1) + "}",
            r"\toprule",
            " & ".join(_escape_latex(column.head) for column in shown) + r" \\",
            r"\midrule",
        ]
        lines += [
            " & ".join(cells) + r" \\" for cells in _cells(shown, _escape_latex, r"\textbf{{{}}}")
        ]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]))
    return "\n\n".join(parts) + "\n"


def records(
    tables: Sequence[Table], more: Callable[[Row], dict[str, str]] | None = None
) -> list[dict[str, Any]]:
    """Plain numbers of every row and metric, None where undefined; `more` gives further values."""
    return [
        _plain(table, index) | (more(row) if more else {})
        for table in tables
        for index, row in enumerate(table.rows)
    ]


def json_text(tables: Sequence[Table]) -> str:
    """`records` as a JSON list."""
    return json.dumps(records(tables), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as CSV, None as an empty cell; no text is a formula."""
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0] if rows else (), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: cell(value) for k, value in row.items()} for row in rows)
    return out.getvalue()


def cell(value: Any) -> Any:
    r"""A value for a spreadsheet: names are whatever their authors say, and some are formulas.

    >>> cell("=1+1"), cell("\t=1+1"), cell(" @a"), cell(-1.5)
    ("'=1+1", '\\t=1+1', "' @a", -1.5)
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def print_terminal(tables: Sequence[Table], console: Console, *, wide: bool = False) -> None:
    """Print each table, in several parts below each other where lines are too short for it."""
    for table in tables:
        console.print(table.heading, style="bold", markup=False, highlight=False)
        names = console.width // (2 if wide else 6)  # longer ones are broken
        for part in _parts(columns(table, wide=wide), console.width, names):
            console.print(_rich(part))
        for words in remarks(table, wide=wide):
            console.print(words, markup=False)
        console.print()
    for words in legend(tables, wide=wide) if tables else ():
        console.print(words, markup=False)
    if tables and not wide:
        console.print("Memory, forgetting, steps, time: python -m benchmark.table RUNS --wide")


def _parts(shown: Sequence[Column], width: int, most: int) -> Iterator[list[Column]]:
    """The columns in as many parts as fit lines of `width`, each with names of at most `most`."""
    names, *rest = shown
    first = min(_width(names), most)
    part: list[Column] = []
    while rest:
        group = [rest.pop(0)]
        while rest and rest[0].joined:
            group.append(rest.pop(0))
        if part and first + sum(map(_width, [*part, *group])) - 1 > width:
            yield [names, *part]
            part = []
        part += group
    yield [names, *part]


def _width(column: Column) -> int:
    return max(map(len, [*_head(column.head).split("\n"), *map(_narrow, column.cells)])) + 2


def _head(text: str) -> str:
    return text.replace(" ", "\n", 1).replace("/", "\n/")


def _narrow(cell: str) -> str:
    return cell.replace(" ± ", "±")


def _rich(shown: Sequence[Column]) -> RichTable:
    import rich.box
    from rich.markup import escape
    from rich.table import Table as RichTable

    table = RichTable(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, column in enumerate(shown):
        table.add_column(
            escape(_head(column.head)), justify="right" if index else "left", no_wrap=index > 0
        )
    for cells in _cells(shown, escape, "[bold]{}[/]"):
        table.add_row(*map(_narrow, cells))
    return table


def _cells(shown: Sequence[Column], escape: Callable[[str], str], bold: str) -> Iterator[list[str]]:
    for index in range(len(shown[0].cells)):
        escaped = [escape(column.cells[index]) for column in shown]
        yield [
            bold.format(cell) if index in column.bold else cell
            for column, cell in zip(shown, escaped, strict=True)
        ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(table: Table, index: int) -> dict[str, Any]:
    row = table.rows[index]
    found = {
        "scenario": row.scenario,
        "setting": row.heading,
        "currency": row.budget["currency"],
        "growth": row.budget["growth"],
        "memory": row.budget["memory"],
        "memory_amount": row.budget["amount"],
        "memory_unit": row.budget["unit"],
        "method": row.method,
        "kind": row.runs[0]["kind"],
        "classifier": row.classifier,
        "label": row.label,
        "n": row.average.n,
        "class_orders": " ".join(row.orders),
        "seeds": " ".join(map(str, row.seeds)),
        "tuned": row.tuned,
    }
    for name in METRICS:
        spread = row.figures[name]
        found[name] = _rounded(spread.mean if spread else None)
        found[f"{name}_std"] = _rounded(spread.std if spread else None)
    for standing in table.standings:
        found |= _plain_difference(standing, table, index)
    return found | {
        "exemplars_per_class": round(row.exemplars, 4),
        "stored_rate": _rounded(row.rate),
        "memory_bytes": round(row.bytes),
        "outside_memory_bytes": round(row.outside),
        "trainable_parameters": _rounded(row.parameters),
        "steps": round(row.steps, 4),
        "seconds": round(row.seconds, 4),
    }


def _plain_difference(standing: Standing, table: Table, index: int) -> dict[str, Any]:
    metric = standing.metric
    base, difference = standing.baseline, standing.differences[index]
    interval = difference.interval if difference else None
    best = "winner" if index == standing.winner else "level" if index in standing.level else ""
    return {
        f"{metric}_baseline": "" if base is None else table.rows[base].label,
        f"{metric}_difference": _rounded(difference.mean if difference else None),
        f"{metric}_low": _rounded(interval.low if interval else None),
        f"{metric}_high": _rounded(interval.high if interval else None),
        f"{metric}_p": interval.p if interval else None,
        f"{metric}_orders": difference.orders if difference else None,
        f"{metric}_seeds": (difference.seeds or None) if difference else None,
        f"{metric}_best": best,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _escape_markdown(text: str) -> str:
    r"""Keep a cell's text from being read as Markdown or HTML.

    >>> print(_escape_markdown("a|b <i>"))
    a\|b &lt;i&gt;
    """
    for character in "\\`*_|[]":
        text = text.replace(character, "\\" + character)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escape_latex(text: str) -> str:
    r"""Keep text from being read as LaTeX; numbers with a sign are set as such.

    >>> _escape_latex("50 % of a_b")
    '50 \\% of a\\_b'
    >>> _escape_latex("66.2 ± 0.5 ≈"), _escape_latex("-0.6 [-1.4, +0.2]")
    ('66.2 $\\pm$ 0.5 $\\approx$', '$-0.6$ [$-1.4$, $+0.2$]')
    """
    special = {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "±": r"$\pm$", "≈": r"$\approx$", "≥": r"$\geq$", "·": r"$\cdot$", MISSING: "--",
        "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
        **{c: "\\" + c for c in "&%$#_{}"},
    }  # fmt: skip
    text = "".join(special.get(character, character) for character in text)
    text = re.sub(r"(?<![\w.$-])[+-]\d+(?:\.\d+)?(?![\w.])", r"$\g<0>$", text)
    return re.sub(r"^\[", "{[}", text)  # after a line's end it would be an option of that
