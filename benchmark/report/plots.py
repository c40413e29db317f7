"""The accuracy curves as a picture for a README, where no page can be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from benchmark.figures import check_path, new_figure, save
from benchmark.report.comparison import colours_of, curves, finished
from benchmark.results import read
from benchmark.results.tables import by_budget, table

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
    panels = list(by_budget(finished(table([read(folder) for folder in folders]))))
    columns = min(len(panels), 2)
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(6.4 * columns, 3.9 * lines)
    colours = colours_of([row for _, rows in panels for row in rows])
    for index, (heading, rows) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, index + 1)
        drawn = curves(rows, colours)
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
