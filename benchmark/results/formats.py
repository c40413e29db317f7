"""The tables of `tables` for a terminal, a README, a paper, a program."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.metrics import METRICS
from benchmark.results.tables import Row, best, by_budget, cells
from benchmark.wording import MISSING

if TYPE_CHECKING:
    from rich.console import Console

_HEADS = ("Method", "n", "Average acc.", "Last acc.", "Forgetting", "Steps", "Exemplars/class",
          "Memory", "Outside it")  # fmt: skip
_SHORT_HEADS = ("Method", "n", "Average\naccuracy", "Last\naccuracy", "Forgetting", "Steps",
                "Exemp.\n/class", "Memory", "Outside")  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table for each setting, the best mean of a column in bold."""
    parts = []
    for heading, group in by_budget(rows):
        lines = [f"**{_escape_markdown(heading)}**", "", "| " + " | ".join(_HEADS) + " |"]
        lines.append("|---|" + "--:|" * (len(_HEADS) - 1))
        bold = _bold(group, _escape_markdown, "**{}**")
        lines += ["| " + " | ".join(row) + " |" for row in bold]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def latex(rows: Sequence[Row]) -> str:
    """A tabular (package booktabs) for each setting, the best mean of a column in bold."""
    parts = []
    for heading, group in by_budget(rows):
        lines = [f"% {heading}", r"\begin{tabular}{l" + "r" * (len(_HEADS) - 1) + "}", r"\toprule"]
        lines += [" & ".join(map(_escape_latex, _HEADS)) + r" \\", r"\midrule"]
        bold = _bold(group, _escape_latex, r"\textbf{{{}}}")
        lines += [" & ".join(row) + r" \\" for row in bold]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n")
    return "\n".join(parts)


def csv_text(rows: Sequence[Row]) -> str:
    """One line per row with plain numbers, every metric by its name; what is undefined is empty."""
    columns: dict[str, Callable[[Row], Any]] = {
        "scenario": lambda r: r.scenario,
        "setting": lambda r: r.heading,
        "currency": lambda r: r.budget["currency"],
        "growth": lambda r: r.budget["growth"],
        "memory": lambda r: r.budget["memory"],
        "memory_amount": lambda r: r.budget["amount"],
        "memory_unit": lambda r: r.budget["unit"],
        "method": lambda r: r.method,
        "kind": lambda r: r.runs[0]["kind"],
        "classifier": lambda r: r.classifier,
        "label": lambda r: r.label,
        "n": lambda r: r.average.n,
        "seeds": lambda r: " ".join(map(str, r.seeds)),
    }
    for name in METRICS:
        columns[name] = functools.partial(_mean, name)
        columns[f"{name}_std"] = functools.partial(_std, name)
    columns |= {
        "steps": lambda r: round(r.steps, 4),
        "exemplars_per_class": lambda r: round(r.exemplars, 4),
        "memory_bytes": lambda r: round(r.bytes),
        "outside_memory_bytes": lambda r: round(r.outside),
    }
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([column(row) for column in columns.values()] for row in rows)
    return out.getvalue()


def print_terminal(rows: Sequence[Row], console: Console) -> None:
    """Print a table for each setting."""
    import rich.box
    import rich.markup
    import rich.table

    for heading, group in by_budget(rows):
        shown = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
        for index, head in enumerate(_SHORT_HEADS):
            shown.add_column(head, justify="right" if index else "left", no_wrap=index > 0)
        for row in group:
            shown.add_row(*(rich.markup.escape(cell.replace(" ± ", "±")) for cell in cells(row)))
        console.print(heading, style="bold", markup=False, highlight=False)
        console.print(shown)
    if rows:
        console.print("Accuracy in %, sample-weighted; mean ± standard deviation over n seeds.")
        console.print("Forgetting: best accuracy on each phase less the last, on average (PILOT).")
        console.print("Steps: all training steps of a run.")


def _bold(rows: Sequence[Row], escape: Callable[[str], str], pattern: str) -> Iterator[list[str]]:
    """The cells of each row, escaped, the best of averages and of last accuracies in bold."""
    winners = {column: best(rows, column) for column in (2, 3)}
    for index, row in enumerate(rows):
        escaped = [escape(cell) for cell in cells(row)]
        for column, positions in winners.items():
            if index in positions:
                escaped[column] = pattern.format(escaped[column])
        yield escaped


def _mean(name: str, row: Row) -> float | None:
    spread = row.figures[name]
    return None if spread is None else round(spread.mean, 4)


def _std(name: str, row: Row) -> float | None:
    spread = row.figures[name]
    return None if spread is None or spread.std is None else round(spread.std, 4)


def _escape_markdown(text: str) -> str:
    r"""Keep a cell's text from being read as Markdown or HTML.

    >>> print(_escape_markdown("a|b <i>"))
    a\|b &lt;i&gt;
    """
    for character in "\\`*_|[]":
        text = text.replace(character, "\\" + character)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escape_latex(text: str) -> str:
    r"""Keep text from being read as LaTeX.

    >>> _escape_latex("50 % of a_b")
    '50 \\% of a\\_b'
    >>> _escape_latex("66.2 ± 0.5")
    '66.2 $\\pm$ 0.5'
    """
    special = {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "±": r"$\pm$", MISSING: "--", **{c: "\\" + c for c in "&%$#_{}"},
    }  # fmt: skip
    return "".join(special.get(character, character) for character in text)
