"""Accuracy and exemplars over memory in one figure: lines above, bars below.

The paper's Fig. 5 has both in one panel; here two panels share the axis of memory, since two scales
in one panel can be made to cross anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmark import figures
from benchmark.budget import GROWTHS
from benchmark.metrics import Spread
from benchmark.results.tables import Row
from benchmark.table.columns import head_of
from benchmark.table.compare import ACCURACIES, Table
from mm_imagenet_r.errors import UserError, pluralize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DODGE = 0.04  # between lines, of the distance of two amounts, so that error bars stay visible
_BARS = 0.8  # share of that distance which bars take together
_BAR = 0.2  # the most of it that one takes
_GAP = 0.055  # between two names at the right, of the panel's height


@dataclass(frozen=True)
class Panel:
    """One scenario: rows by name and amount of memory, and rows that no memory changes."""

    heading: str
    axis: str
    amounts: Sequence[float]
    lines: dict[str, dict[float, Row]]
    flat: dict[str, Row]


def write_curve(tables: Sequence[Table], path: Path) -> Path:
    """Draw the first metric of some tables over memory, one column of panels per scenario.

    Each method has one line, of its own classifier where there are several; methods that keep no
    exemplars are dashed lines. Rows of a single amount of memory are left out (`left_out`). The
    suffix of `path` says whether it is SVG, PDF or PNG.

    Raises:
        UserError: No row has two amounts of memory, or the file cannot be written.
    """
    figures.check_path(path)
    return figures.save(draw(tables), path)


def draw(tables: Sequence[Table]) -> Figure:
    """The figure that `write_curve` writes."""
    shown = panels(tables)
    if not shown:
        raise UserError(
            "a memory curve needs runs of a method with at least two amounts of memory: "
            "repeat the runs with another --memory. Accuracy over phases is drawn by "
            "python -m benchmark.report RUNS --curve FILE"
        )
    metric = tables[0].standings[0].metric
    names = list(dict.fromkeys(name for panel in shown for name in panel.lines))
    figure = figures.new_figure(5.6 * len(shown), 5.4)
    axes = cast(
        "Sequence[Sequence[Axes]]",
        figure.subplots(2, len(shown), squeeze=False, height_ratios=(3, 1.3), sharex="col"),
    )
    for column, panel in enumerate(shown):
        _lines(axes[0][column], panel, names, ACCURACIES[metric])
        _bars(axes[1][column], panel, names)
        axes[0][column].set_ylabel(f"{head_of(metric).replace('acc.', 'accuracy')}, %")
    handles: dict[str, Any] = {}
    for axis in axes[0]:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    columns = min(len(handles), 3 * len(shown))
    figure.legend(
        [handles[name] for name in names], names, loc="outside upper center", ncols=columns,
        frameon=False, fontsize=9,
    )  # fmt: skip
    return figure


def panels(tables: Sequence[Table]) -> list[Panel]:
    """What there is to draw, a panel for each scenario with a method at two amounts of memory."""
    found = []
    rows = [row for table in tables for row in table.rows if row.budget["amount"] is not None]
    for scenario in dict.fromkeys(row.scenario for row in rows):
        same = [row for row in _one_reading(rows) if row.scenario == scenario]
        lines: dict[str, dict[float, Row]] = {}
        for row in same:
            lines.setdefault(row.name, {})[row.budget["amount"] or 0.0] = row
        flat = {
            name: next(iter(of.values()))
            for name, of in lines.items()
            if all(row.keeps_nothing for row in of.values())
        }
        lines = {name: of for name, of in lines.items() if len(of) > 1 and name not in flat}
        if lines:
            amounts = sorted({amount for of in lines.values() for amount in of})
            lines = dict(
                sorted(lines.items(), key=lambda item: -item[1][max(item[1])].average.mean)
            )
            found.append(Panel(same[0].heading, _axis(same[0]), amounts, lines, flat))
    return found


def left_out(tables: Sequence[Table]) -> list[str]:
    """Names of rows that `write_curve` leaves out: they stand at one amount of memory alone."""
    drawn = {name for panel in panels(tables) for name in (*panel.lines, *panel.flat)}
    return sorted({row.name for table in tables for row in table.rows} - drawn)


def _lines(axes: Axes, panel: Panel, names: Sequence[str], metric: str) -> None:
    position = {amount: index for index, amount in enumerate(panel.amounts)}
    for place, (name, rows) in enumerate(panel.lines.items()):
        number = names.index(name)
        spreads = {a: cast(Spread, rows[a].figures[metric]) for a in sorted(rows)}
        shift = (place - (len(panel.lines) - 1) / 2) * _DODGE
        axes.errorbar(
            [position[amount] + shift for amount in spreads],
            [spread.mean for spread in spreads.values()],
            yerr=[spread.std or 0.0 for spread in spreads.values()],
            label=name, capsize=2.5, elinewidth=1, linewidth=1.6, markersize=5, zorder=3,
            **figures.look(number),
        )  # fmt: skip
    counts = {row.average.n for rows in panel.lines.values() for row in rows.values()}
    low, high = min(counts), max(counts)
    runs = pluralize(low, "run") if low == high else f"{low} to {high} runs"
    figures.set_title(axes, f"{panel.heading}; mean and standard deviation of {runs}")
    figures.tidy(axes)
    flat = {name: cast(Spread, row.figures[metric]).mean for name, row in panel.flat.items()}
    _flat_lines(axes, flat)


def _flat_lines(axes: Axes, heights: dict[str, float]) -> None:
    """What no memory changes, named at the right; far from the curves only by its number."""
    low, high = axes.get_ylim()
    near = [height for height in heights.values() if 2 * low - high < height < 2 * high - low]
    for height in near:
        axes.axhline(height, color="#777777", linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    places = [min(max((height - low) / (high - low), 0.0), 1.0) for height in heights.values()]
    for (name, height), at in zip(heights.items(), figures.spread_out(places, _GAP), strict=True):
        arrow = " ↑" if height > high else " ↓" if height < low else ""
        axes.text(
            1.01, at, f"{name} {height:.1f}{arrow}",
            transform=axes.transAxes, va="center", fontsize=8, color="#555555",
        )  # fmt: skip


def _bars(axes: Axes, panel: Panel, names: Sequence[str]) -> None:
    width, colours = min(_BARS / len(panel.lines), _BAR), figures.COLOURS
    for place, (name, rows) in enumerate(panel.lines.items()):
        number = names.index(name)
        left = (place - (len(panel.lines) - 1) / 2) * width
        axes.bar(
            [panel.amounts.index(amount) + left for amount in sorted(rows)],
            [rows[amount].exemplars for amount in sorted(rows)],
            width, color=colours[number % len(colours)], edgecolor="white", linewidth=0.6, zorder=3,
            hatch="///" if number >= len(colours) else None,
        )  # fmt: skip
    axes.set_xticks(range(len(panel.amounts)), [f"{amount:g}" for amount in panel.amounts])
    axes.set_xlabel(panel.axis)
    axes.set_ylabel("exemplars\nper class")
    figures.tidy(axes)


def _one_reading(rows: Sequence[Row]) -> list[Row]:
    """Of rows of the same runs the method's own one where it is there."""
    own = {(row.scenario, str(row.budget), row.name) for row in rows if row.own}
    return [row for row in rows if row.own or (row.scenario, str(row.budget), row.name) not in own]


def _axis(row: Row) -> str:
    per, currency = GROWTHS[row.budget["growth"]].words, row.budget["currency"]
    return f"memory: untouched samples {per}, counted in {currency}"
