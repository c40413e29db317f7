"""What a sweep shows: a line for each cell that ends, and a bar over the grid with time left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from benchmark.config import RunConfig
from benchmark.formatting import MISSING, seconds_words
from benchmark.results.schema import Result
from benchmark.results.tables import total_seconds
from benchmark.sweep.grid import Names
from benchmark.sweep.ledger import Failure, Ledger
from mm_imagenet_r.errors import pluralize


class Estimate:
    """How long cells take, judging by similar ones."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, ...], list[float]] = {}

    def add(self, cell: RunConfig, result: Result) -> None:
        """Learn from a result."""
        for key in self._keys(cell):
            self._seconds.setdefault(key, []).append(total_seconds(result))

    def of(self, cell: RunConfig) -> float | None:
        """Seconds: the mean over the cells most like it; None if nothing is known."""
        known = (self._seconds[key] for key in self._keys(cell) if key in self._seconds)
        return next((sum(found) / len(found) for found in known), None)

    @staticmethod
    def _keys(cell: RunConfig) -> list[tuple[str, ...]]:
        """From all that is alike to the data alone."""
        alike = {**cell.identity(), "seeds": (), "class_order_seed": None}
        about = (cell.dataset, cell.method[0], str(cell.phases))
        return [tuple(map(str, alike.values())), about, about[:2], about[:1]]


def figures(result: Result) -> str:
    """Average and last accuracy, and the time the run took, in words."""
    words = []
    for name, key in (("average", "average_incremental_accuracy"), ("last", "last_accuracy")):
        value = result["metrics"][key]
        words.append(f"{name} {MISSING if value is None else f'{value:.1f}'}")
    return ", ".join([*words, seconds_words(total_seconds(result))])


class Progress:
    """Counts the cells of a grid."""

    def __init__(
        self,
        grid: Sequence[RunConfig],
        missing: Sequence[RunConfig],
        slots: int | None,
        console: Console,
    ) -> None:
        """Show nothing yet; `slots` cells run at once, None if only the engine knows."""
        self.name = Names(grid)
        self.estimate = Estimate()
        self._console = console
        self._all = len(grid)
        self._ended = len(grid) - len(missing)
        self._slots = slots
        self._waits = False
        self._time_left = ""
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
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def left(
        self, under_way: Iterable[tuple[RunConfig, float]], waiting: Iterable[RunConfig]
    ) -> float | None:
        """Seconds until all is done; None if nothing is known of some cell."""
        shares = [*under_way, *((cell, 0.0) for cell in waiting)]
        found = [(self.estimate.of(cell), share) for cell, share in shares]
        known = [one * (1 - share) for one, share in found if one is not None]
        if self._slots is None or len(known) < len(found):
            return None
        return sum(known) / max(1, min(self._slots, len(known)))

    def done(self, cell: RunConfig, ledger: Ledger, *, elsewhere: bool = False) -> None:
        """Report a finished cell; `elsewhere`: by another process."""
        words = "done"
        if (result := ledger.result(cell)) is not None:
            self.estimate.add(cell, result)
            words = figures(result)
        self._line(cell, words + " (by another process)" * elsewhere)

    def failed(self, failure: Failure) -> None:
        """Report a failed cell."""
        self._line(failure.cell, f"FAILED: {failure.reason}")

    def show(
        self, under_way: Sequence[tuple[RunConfig, float]], waiting: Sequence[RunConfig]
    ) -> None:
        """Bring the bar up to date."""
        left = self.left(under_way, waiting)
        self._time_left = "" if left is None else f", about {seconds_words(left)} left"
        if not under_way and waiting:
            note = f"waiting: another process runs {pluralize(len(waiting), 'cell')}"
            if not self._waits:
                self._console.print(note)
            self._waits = True
        else:
            queued = " or waiting for a worker" if self._slots is None else ""
            note = f"{len(under_way)} running{queued}{self._time_left}"
        self._bar.update(
            self._task,
            completed=self._ended + sum(share for _, share in under_way),
            cells=f"{self._ended}/{self._all}",
            note=note,
        )

    def _line(self, cell: RunConfig, words: str) -> None:
        self._ended += 1
        unseen = self._ended < self._all and not self._console.is_terminal
        text = f"{self._ended}/{self._all}  {self.name(cell)}: {words}"
        self._console.print(text + self._time_left * unseen, markup=False)
