"""The tables of `tables` for a terminal, a README, a paper, a program."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.results.tables import Row, by_budget, cells
from benchmark.wording import MISSING

if TYPE_CHECKING:
    from rich.console import Console

_HEADS = ("Method", "n", "Average acc.", "Last acc.", "Forgetting", "Exemplars/class", "Memory",
          "Outside it")  # fmt: skip
_SHORT_HEADS = ("Method", "n", "Average\naccuracy", "Last\naccuracy", "Forgetting",
                "Exemp.\n/class", "Memory", "Outside")  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table for each setting."""
    parts = []
    for heading, group in by_budget(rows):
        lines = [f"**{_escape_markdown(heading)}**", "", "| " + " | ".join(_HEADS) + " |"]
        lines.append("|---|" + "--:|" * (len(_HEADS) - 1))
        for row in group:
            lines.append("| " + " | ".join(map(_escape_markdown, cells(row))) + " |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def latex(rows: Sequence[Row]) -> str:
    """A tabular (package booktabs) for each setting, the best mean of a column in bold."""
    parts = []
    for heading, group in by_budget(rows):
        lines = [f"% {heading}", r"\begin{tabular}{l" + "r" * (len(_HEADS) - 1) + "}", r"\toprule"]
        lines += [" & ".join(map(_escape_latex, _HEADS)) + r" \\", r"\midrule"]
        best = [max(group, key=lambda row: row.average.mean), max(group, key=lambda r: r.last.mean)]
        for row in group:
            escaped = [_escape_latex(cell) for cell in cells(row)]
            for column, winner in zip((2, 3), best, strict=True):
                if row is winner and len(group) > 1:
                    escaped[column] = rf"\textbf{{{escaped[column]}}}"
            lines.append(" & ".join(escaped) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n")
    return "\n".join(parts)


def csv_text(rows: Sequence[Row]) -> str:
    """One line per row with plain numbers; an undefined deviation or forgetting is empty."""
    columns: dict[str, Callable[[Row], Any]] = {
        "scenario": lambda r: r.scenario,
        "setting": lambda r: r.heading,
        "currency": lambda r: r.budget["currency"],
        "growth": lambda r: r.budget["growth"],
        "memory": lambda r: r.budget["memory"],
        "memory_amount": lambda r: r.budget["amount"],
        "memory_unit": lambda r: r.budget["unit"],
        "method": lambda r: r.method,
        "label": lambda r: r.label,
        "n": lambda r: r.average.n,
        "seeds": lambda r: " ".join(map(str, r.seeds)),
        "average_accuracy": lambda r: round(r.average.mean, 4),
        "average_accuracy_std": lambda r: _rounded(r.average.std),
        "last_accuracy": lambda r: round(r.last.mean, 4),
        "last_accuracy_std": lambda r: _rounded(r.last.std),
        "forgetting": lambda r: _rounded(r.forgetting and r.forgetting.mean),
        "forgetting_std": lambda r: _rounded(r.forgetting and r.forgetting.std),
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
        console.print("Forgetting: best accuracy on each phase less the last, in the mean (PILOT).")


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
