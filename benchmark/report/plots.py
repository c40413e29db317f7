"""Accuracy over the classes seen as a figure, for a paper or a README."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.figures import check_path, look, new_figure, save, set_title, tidy
from benchmark.report.sections import overall
from benchmark.results import read
from benchmark.results.derive import classes_seen
from benchmark.results.tables import by_budget, table
from mm_imagenet_r.errors import UserError, pluralize

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_curve(folders: Sequence[Path], path: Path) -> Path:
    """Draw accuracy over classes seen, mean and deviation over runs, one panel per setting.

    The suffix of `path`, which is returned, says whether it is SVG, PDF or PNG.

    Raises:
        UserError: A result is missing or broken, none is finished, or the file cannot be written.
    """
    check_path(path)
    return save(draw(folders), path)


def draw(folders: Sequence[Path]) -> Figure:
    """The figure that `write_curve` writes."""
    panels = list(by_budget(table([read(folder) for folder in folders])))
    if not panels:
        raise UserError("none of these runs is finished: give their commands again to resume them")
    best: dict[str, float] = {}
    for row in (row for _, rows in panels for row in rows):
        best[row.label] = max(row.average.mean, best.get(row.label, 0.0))
    labels = sorted(best, key=lambda label: (-best[label], label))  # each has one color everywhere
    columns = min(len(panels), 2)
    lines = math.ceil(len(panels) / columns)
    height = max(3.9, 1.2 + 0.19 * max(len(rows) for _, rows in panels))
    figure = new_figure(7.4 * columns, height * lines)
    for index, (heading, rows) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, index + 1)
        for row in sorted(rows, key=lambda row: labels.index(row.label)):
            at, values = classes_seen(row.runs[0]), np.array([overall(run) for run in row.runs])
            mean, runs = values.mean(axis=0), pluralize(len(values), "run")
            style = look(labels.index(row.label))
            axes.plot(at, mean, markersize=4, label=f"{row.label} ({runs})", **style)
            if len(values) > 1:
                std = values.std(axis=0, ddof=1)
                band = np.clip([mean - std, mean + std], 0, 100)
                axes.fill_between(at, *band, color=style["color"], alpha=0.15, linewidth=0)
        set_title(axes, f"{heading}; mean and standard deviation")
        if len(at) <= 12:
            axes.set_xticks(at)
        axes.set_xlabel("classes seen")
        axes.set_ylabel("accuracy on all classes seen, %")
        tidy(axes)
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
