"""The accuracy curves as a picture for a README, where no page can be shown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from benchmark.figures import check_path, new_figure, save
from benchmark.metrics import mean_std
from benchmark.report.charts import Line
from benchmark.results import read
from benchmark.results.tables import Row, by_budget, table
from mm_imagenet_r.errors import UserError

_COLOURS = ("#0f7480", "#d1622b", "#5a5fc0", "#b23a73", "#66811c", "#2f74bd", "#96691f", "#67717d")


def write_curve(folders: Sequence[Path], path: Path) -> Path:
    """Draw accuracy over classes seen, mean and deviation over runs, one panel a setting.

    Args:
        folders: The runs' folders.
        path: What to write; its suffix says whether PNG, SVG or PDF.

    Returns:
        `path`.

    Raises:
        UserError: A result is missing or broken, none is finished, or the file cannot be written.
    """
    check_path(path)
    panels = list(by_budget(_finished(table([read(folder) for folder in folders]))))
    columns = min(len(panels), 2)
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(6.4 * columns, 3.9 * lines)
    colours = _colours_of([row for _, rows in panels for row in rows])
    for index, (heading, rows) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, index + 1)
        drawn = _curves(rows, colours)
        for line in drawn:
            colour = _COLOURS[line.colour % len(_COLOURS)]
            axes.plot(line.x, line.y, "o-", color=colour, markersize=4, label=line.label)
            if any(line.spread):
                low, high = (
                    [y + sign * (s or 0) for y, s in zip(line.y, line.spread, strict=True)]
                    for sign in (-1, 1)
                )
                axes.fill_between(line.x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(heading.replace("; ", "\n"), fontsize=9, loc="left")
        if len(drawn[0].x) <= 12:
            axes.set_xticks(drawn[0].x)
        axes.set_xlabel("classes seen")
        axes.set_ylabel("accuracy on all classes seen, %")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False, fontsize=9)
    return save(figure, path)


def _finished(rows: list[Row]) -> list[Row]:
    """The rows, of which there must be one.

    Raises:
        UserError: There is none.
    """
    if not rows:
        raise UserError("none of these runs is finished: give their commands again to resume them")
    return rows


def _curves(rows: Sequence[Row], colours: dict[str, int]) -> list[Line]:
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


def _colours_of(rows: Sequence[Row]) -> dict[str, int]:
    """A colour for each label of a scenario, the same in all of its charts."""
    labels = sorted({row.label for row in rows})
    best = {k: max(row.average.mean for row in rows if row.label == k) for k in labels}
    return {label: i for i, label in enumerate(sorted(labels, key=lambda k: -best[k]))}
