"""What a sweep shows: a line for each cell that ends, and a bar over the grid with time left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from benchmark.config import RunConfig
from benchmark.formatting import MISSING, seconds_words
from benchmark.results.schema import Result
from benchmark.sweep.grid import Names
from benchmark.sweep.ledger import Failure, Ledger
from mm_imagenet_r.errors import pluralize


class Estimate:
    """How long cells take, after what cells like them took."""

    def __init__(self) -> None:
        """Nothing is known at first."""
        self._seconds: dict[tuple[Any, ...], list[float]] = {}

    def add(self, cell: RunConfig, result: Result) -> None:
        """Learn from a result."""
        for key in self._keys(cell):
            self._seconds.setdefault(key, []).append(seconds(result))

    def of(self, cell: RunConfig) -> float | None:
        """Seconds: the mean over cells that are most like it; None if nothing is known."""
        for key in self._keys(cell):
            if found := self._seconds.get(key):
                return sum(found) / len(found)
        return None

    @staticmethod
    def _keys(cell: RunConfig) -> list[tuple[Any, ...]]:
        alike = {**cell.identity(), "seeds": (), "class_order_seed": None}
        method, data = cell.method[0], cell.dataset
        return [
            tuple(str(value) for value in alike.values()),
            (method, data, cell.phases),
            (method, data),
            (data,),
        ]


def seconds(result: Result) -> float:
    """What all phases of a run took."""
    return sum(sum(phase["seconds"].values()) for phase in result["phases"])


def figures(result: Result) -> str:
    """Average and last accuracy, and what they took, in words."""
    metrics = result["metrics"]
    words = []
    for name, key in (("average", "average_incremental_accuracy"), ("last", "last_accuracy")):
        value: Any = metrics[key]
        words.append(f"{name} {MISSING if value is None else f'{value:.1f}'}")
    return ", ".join([*words, seconds_words(seconds(result))])


class Progress:
    """Counts the cells of a grid."""

    def __init__(
        self,
        grid: Sequence[RunConfig],
        missing: Sequence[RunConfig],
        slots: int | None,
        console: Console,
    ) -> None:
        """Nothing is shown yet.

        Args:
            grid: All cells.
            missing: Those that are not done.
            slots: How many run at once; None if only the engine knows.
            console: Where to write.
        """
        self.name = Names(grid)
        self.estimate = Estimate()
        self._console = console
        self._all = len(grid)
        self._left = len(missing)
        self._slots = slots
        self._waits = False
        self._remaining: float | None = None
        self._bar = Bar(
            TextColumn("{task.fields[cells]} cells"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=self._all, cells="", note="")

    def __enter__(self) -> Progress:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()

    def left(
        self, under_way: Iterable[tuple[RunConfig, float]], waiting: Sequence[RunConfig]
    ) -> float | None:
        """Seconds until all is done; None if nothing is known of some cell."""
        shares = [*under_way, *((cell, 0.0) for cell in waiting)]
        found = [(self.estimate.of(cell), share) for cell, share in shares]
        known = [one * (1 - share) for one, share in found if one is not None]
        if self._slots is None or len(known) < len(found):
            return None
        return sum(known) / max(1, min(self._slots, len(known)))

    def done(self, cell: RunConfig, ledger: Ledger, *, elsewhere: bool = False) -> None:
        """A cell is finished; `elsewhere`: by another process."""
        self._left -= 1
        result = ledger.result(cell)
        words = "done"
        if result is not None:
            self.estimate.add(cell, result)
            words = figures(result)
        if elsewhere:
            words += " (by another process)"
        self._line(f"{self.name(cell)}: {words}")

    def failed(self, failure: Failure) -> None:
        """A cell has failed."""
        self._left -= 1
        self._line(f"{self.name(failure.cell)}: FAILED: {failure.reason}")

    def show(
        self, under_way: Sequence[tuple[RunConfig, float]], waiting: Sequence[RunConfig]
    ) -> None:
        """Bring the bar up to date."""
        self._remaining = self.left(under_way, waiting)
        ended = self._all - self._left
        if not under_way and waiting:
            note = f"waiting: another process runs {pluralize(len(waiting), 'cell')}"
            if not self._waits:
                self._console.print(note)
            self._waits = True
        else:
            queued = " or waiting for a worker" if self._slots is None else ""
            note = f"{len(under_way)} running{queued}{self._time_left()}"
        self._bar.update(
            self._task,
            completed=ended + sum(share for _, share in under_way),
            cells=f"{ended}/{self._all}",
            note=note,
        )

    def _time_left(self) -> str:
        return "" if self._remaining is None else f", about {seconds_words(self._remaining)} left"

    def _line(self, text: str) -> None:
        count = f"{self._all - self._left}/{self._all}"
        left = self._time_left() if self._left and not self._console.is_terminal else ""
        self._console.print(f"{count}  {text}{left}", markup=False)
