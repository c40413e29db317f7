"""What the docs show of the result files in results/: tables, claims, curve and leaderboard.

    python -m benchmark.sweep --config studies/published.toml --results results
    python -m studies.published

Nothing is computed here that `python -m benchmark.table` does not compute; this chooses what the
page shows and says in words what the intervals show, what was lost first.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmark.formatting import MISSING, spread_words
from benchmark.leaderboard.build import build
from benchmark.registry import REGISTRY
from benchmark.results.tables import Row
from benchmark.table import tables, write_curve
from benchmark.table.compare import Table
from benchmark.table.differences import Difference
from mm_imagenet_r import command_line
from mm_imagenet_r.files import replace_section

PAGE: Final = Path("docs/results.md")
README: Final = Path("README.md")
CURVE: Final = Path("docs/images/memory_curve.svg")
BOARD: Final = Path("docs/leaderboard")
OURS: Final = "exemplar_masking"
#: In currency `samples` these are charged shares of a file's length, the others shares of its
#: pixels: they are compared, and marked.
BY_FILE_SIZE: Final = frozenset({"mrdc", "codec"})
#: Accuracy in percent on MM-ImageNet-R in 10 phases at 5 samples a class, from the table on the
#: project page of arXiv 2412.09549; which accuracy it is, average or last, is not said there.
PUBLISHED: Final = {
    "l2p": 69.21,
    "dualprompt": 75.57,
    "ease": 76.84,
    "replay": 77.03,
    "mrdc": 78.66,
    "cim": 78.21,
    f"{OURS}@figures": 80.55,
}
#: Mean stored rate that the numbers of exemplars in its Fig. 5 imply.
PUBLISHED_RATES: Final = {OURS: 0.36, "cim": 0.515}
#: What presets are, for the short table; what methods are stands in the registry.
_PRESETS: Final = {
    f"{OURS}@whole": "exemplar masking that keeps all patches: the control for its codec",
    f"{OURS}@figures": "exemplar masking as the paper's figures and captions show it",
}
_OUTCOMES: Final = (
    "Exemplar masking is below",
    "No difference is shown to",
    "Exemplar masking is above",
)
_NOTHING: Final = "No run is here yet."
_METRICS: Final = {"average": "average accuracy", "last": "last accuracy"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the generated parts of the docs; return the exit code."""
    return command_line.run(_main, arguments)


def _main(arguments: Sequence[str] | None) -> None:
    command = command_line.Parser(
        prog="python -m studies.published",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--results", type=Path, default=Path("results"), help="result files")
    command.add_argument("--page", type=Path, default=PAGE, help="page whose sections are written")
    command.add_argument("--readme", type=Path, default=README, help="with its short table")
    command.add_argument("--curve", type=Path, default=CURVE, help="where the curve is drawn")
    command.add_argument("--board", type=Path, default=BOARD, help="where the leaderboard goes")
    given = command.parse_args(arguments)
    for name, text in sections(given.results).items():
        replace_section(given.readme if name == "findings" else given.page, name, text)
    write_curve(_curve_tables(given.results), given.curve)
    build(given.results, given.board)
    print(f"{given.page}, {given.curve}, {given.board}")


def sections(results: Path) -> dict[str, str]:
    """The generated parts of the page, by name."""
    against_ours = tables([results], baseline=OURS)
    ten = {_setting(table): table for table in against_ours if _phases(table) == 10}
    return {
        "findings": _findings(ten["5", "bytes"]),
        "claims": "".join(_claims(ten)),
        "rows": _every_row(ten["5", "bytes"]),
        "headline": "".join(_headline(ten)),
        "phases": _other_phases(against_ours),
        "rates": _rates(ten["5", "samples"]) if ("5", "samples") in ten else f"{_NOTHING}\n",
    }


def _curve_tables(results: Path) -> list[Table]:
    return [t for t in tables([results], reading="own") if _phases(t) == 10]


def _setting(table: Table) -> tuple[str, str]:
    """Memory and currency."""
    budget = table.rows[0].budget
    return str(budget["memory"]), budget["currency"]


def _phases(table: Table) -> int:
    return len(table.rows[0].runs[0]["phases"])


def _own(table: Table) -> list[int]:
    """Positions of the rows by the methods' own classifiers."""
    return [i for i, row in enumerate(table.rows) if row.own]


def _claims(ten: dict[tuple[str, str], Table]) -> Iterator[str]:
    """What the intervals show, in sentences: losses, then what is not shown, then gains."""
    said: dict[str, list[str]] = {title: [] for title in _OUTCOMES}
    counts = dict.fromkeys(_OUTCOMES, 0)
    for (memory, currency), table in ten.items():
        if memory not in ("1", "5"):
            continue
        for metric, words in _METRICS.items():
            for title, rivals in _outcomes(table, metric).items():
                counts[title] += len(rivals)
                if rivals:
                    where = f"{words}, memory {memory} in {currency}"
                    said[title].append(f"{where}: {', '.join(rivals)}")
    for title, lines in said.items():
        yield f"\n**{title}** ({counts[title]} of {sum(counts.values())} comparisons)\n\n"
        yield "".join(f"- {line}\n" for line in lines) or "- none\n"


def _outcomes(table: Table, metric: str) -> dict[str, list[str]]:
    """The rivals that exemplar masking lies below, is level with and lies above, with intervals."""
    found: dict[str, list[str]] = {title: [] for title in _OUTCOMES}
    below, level, above = _OUTCOMES
    for i in _rivals(table):
        one = _difference(table, metric, i)
        if one is None or one.interval is None:
            continue
        # The table says rival less ours; the sentence says it of ours.
        low, high = -one.interval.high, -one.interval.low
        title = below if high < 0 else above if low > 0 else level
        row = table.rows[i]
        words = f"{-(one.mean or 0):+.1f} [{low:+.1f}, {high:+.1f}]"
        found[title].append(f"`{_full_name(row)}`{_mark(row)} {words}")
    return found


def _rivals(table: Table) -> list[int]:
    """Positions of the rows that exemplar masking is compared with: all but bounds."""
    return [
        i
        for i in _own(table)
        if (row := table.rows[i]).runs[0]["kind"] != "bound" and _full_name(row) != OURS
    ]


def _mark(row: Row) -> str:
    """A dagger where the budget counts another thing than it does for exemplar masking."""
    counted = row.budget["currency"] == "samples" and row.method in BY_FILE_SIZE
    return " †" if counted else ""


def _full_name(row: Row) -> str:
    """Method and preset; the oracle has a name of its own."""
    preset = row.runs[0]["preset"]
    matched = " (oracle)" if row.runs[0]["match_exemplars_of"] else ""
    return f"{row.method}@{preset}{matched}" if preset else f"{row.method}{matched}"


def _ours(table: Table) -> int:
    return next(i for i in _own(table) if _full_name(table.rows[i]) == OURS)


def _difference(table: Table, metric: str, index: int) -> Difference | None:
    (standing,) = (s for s in table.standings if s.metric == metric)
    return standing.differences[index]


def _every_row(table: Table) -> str:
    heads = ["method", "orders", "average", "last", "read by", "linear: average", "last",
             "exemplars per class", "kB outside", "steps", "published"]  # fmt: skip
    rows = []
    for row in (table.rows[i] for i in _own(table)):
        kin = (other for other in table.rows if other.name == row.name)  # the same runs
        linear = next((other for other in kin if other.classifier == "linear"), None)
        published = PUBLISHED.get(_full_name(row))
        cells = [row.name, str(len(row.orders)), *_accuracies(row), row.classifier or "its own"]
        cells += [*_accuracies(linear), _kept(row), f"{row.outside / 1000:,.0f}"]
        rows.append([*cells, f"{row.steps:,.0f}", f"{published:.2f}" if published else MISSING])
    return _markdown(heads, rows)


def _findings(table: Table) -> str:
    """The rows in short, and in a sentence how exemplar masking stands among them."""
    shown = []
    for row in (table.rows[i] for i in _own(table)):
        name, outside = _full_name(row), f"{row.outside / 1000:,.0f}"
        what = _PRESETS.get(name) or REGISTRY[row.method].summary
        shown.append([f"`{name}`", *_accuracies(row), _kept(row), outside, what])
    heads = ["method", "average", "last", "exemplars per class", "kB outside", "what it is"]
    outcomes = _outcomes(table, "average").items()
    said = "".join(f"- {title}: {', '.join(rivals)}\n" for title, rivals in outcomes if rivals)
    return (
        f"{_markdown(heads, shown)}\nDifferences in average accuracy with 95 % intervals:\n\n{said}"
    )


def _headline(ten: dict[tuple[str, str], Table]) -> Iterator[str]:
    heads = ["method", "orders", "average", "less masking", "last", "less masking",
             "exemplars per class"]  # fmt: skip
    for (memory, currency), table in sorted(ten.items(), key=lambda item: item[0][::-1]):
        if memory not in ("1", "5"):
            continue
        rows = []
        for i in [_ours(table), *_rivals(table)]:
            row = table.rows[i]
            average, last = (_interval(_difference(table, m, i)) for m in _METRICS)
            cells = [f"{row.name}{_mark(row)}", str(len(row.orders)), spread_words(row.average)]
            rows.append([*cells, average, spread_words(row.last), last, _kept(row)])
        rows.sort(key=lambda cells: -float(cells[2].split()[0]))
        yield f"\n**Memory {memory}, in {currency}**\n\n{_markdown(heads, rows)}"


def _other_phases(found: Sequence[Table]) -> str:
    by_phases = {
        _phases(t): {t.rows[i].name: t.rows[i] for i in _own(t)}
        for t in found
        if _setting(t) == ("5", "bytes") and _phases(t) != 10
    }
    counts = sorted(by_phases)
    heads = ["method", *(head for n in counts for head in (f"{n} phases: average", "last"))]
    names = dict.fromkeys(name for n in counts for name in by_phases[n])
    rows = [[x, *(c for n in counts for c in _accuracies(by_phases[n].get(x)))] for x in names]
    return _markdown(heads, rows) if rows else f"{_NOTHING}\n"


def _accuracies(row: Row | None) -> list[str]:
    return [spread_words(row.average), spread_words(row.last)] if row else [MISSING] * 2


def _kept(row: Row) -> str:
    return MISSING if row.keeps_nothing else f"{row.exemplars:.1f}"


def _rates(table: Table) -> str:
    rows = [
        [row.name, f"{row.rate:.3f}", f"{PUBLISHED_RATES[row.method]:g}"]
        for i in _own(table)
        if _full_name(row := table.rows[i]) in PUBLISHED_RATES and row.rate is not None
    ]
    return _markdown(["method", "mean stored rate", "implied by Fig. 5"], rows)


def _interval(found: Difference | None) -> str:
    if found is None:
        return MISSING
    if found.interval is None:
        return f"{found.mean:+.1f}" if found.mean is not None else MISSING
    return f"{found.mean:+.1f} [{found.interval.low:+.1f}, {found.interval.high:+.1f}]"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    words = ("method", "what it is")
    lines = [heads, ["---" if head in words else "--:" for head in heads], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
