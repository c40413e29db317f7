"""What a run shows: a progress bar with accuracy so far and time left, and a line per phase."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from benchmark.wording import bytes_words

if TYPE_CHECKING:
    from benchmark.config import RunConfig
    from benchmark.experiment import Plan


class Display:
    """Writes to a console; silent on all processes but the first."""

    def __init__(self, console: Console | None = None, *, silent: bool = False) -> None:
        self.console = console or Console(quiet=silent, highlight=False)
        self._progress: Progress | None = None
        self._phases = 0
        self._accuracy = ""

    def start(self, config: RunConfig, plan: Plan, finished: int) -> None:
        """A run begins, or goes on."""
        self._phases, self._accuracy = len(plan.sizes), ""
        budget = plan.budget
        amount = (
            f"as many exemplars as {config.like}"
            if config.like
            else f"memory {config.memory} in {budget.currency}, {config.growth}"
        )
        self.console.print(
            f"[bold]{config.method[0]}[/] on {config.dataset}: {len(plan.order)} classes in "
            f"{len(plan.sizes)} phases, {len(plan.data.train)} training and "
            f"{len(plan.data.test)} {config.evaluate_on} samples, {amount}, seed {config.seeds[0]}"
        )
        if finished:
            self.console.print(f"going on after phase {finished} of {self._phases}")
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("phase {task.fields[phase]}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._progress.add_task(
            "", total=self._phases, completed=finished, phase=f"{finished + 1}/{self._phases}",
            note="",
        )  # fmt: skip
        if finished < self._phases:
            self._progress.start()

    def stage(self, index: int, what: str) -> None:
        """Something other than training goes on."""
        self._show(index, what, None)

    def step(self, index: int, step: int, steps: int, loss: float) -> None:
        """A training step is done."""
        # Work per phase grows with the memory; within a phase, training is nine tenths of it.
        self._show(index, f"loss {loss:.2f}", index + 0.9 * step / steps)

    def phase_done(self, index: int, record: dict[str, Any], plan: Plan) -> None:
        """One line per phase: classes seen, accuracy, exemplars a class, bytes of the budget."""
        result, seen = record["result"], record["seen"]
        memory, accuracy = result["memory"], result["accuracy"]["sample_weighted"]
        self._accuracy = f"accuracy {accuracy:.1f}  "
        currency = plan.budget.currency
        words = bytes_words(memory["bytes"])
        if currency == "bytes":
            words += f" of {bytes_words(memory['budget'])}"
        elif currency == "samples":
            words = f"{memory['cost']:.1f} of {memory['budget']:g} samples ({words})"
        self.console.print(
            f"phase {index + 1:>2}/{self._phases}  {seen:>3} classes  "
            f"accuracy [bold]{accuracy:5.1f}[/]  "
            f"{memory['exemplars'] / seen:5.1f} exemplars a class  {words}  "
            f"[dim]{sum(result['seconds'].values()):.1f} s[/]"
        )
        self._show(index + 1, "", index + 1)
        if self._progress and index + 1 == self._phases:
            self._progress.stop()

    def stop(self) -> None:
        """Leave the terminal as it was, whatever happened."""
        if self._progress:
            self._progress.stop()

    def already_done(self, folder: Path) -> None:
        """The same command was given again and its result is there."""
        self.console.print(f"done before: {folder} (--overwrite runs it anew)", soft_wrap=True)

    def _show(self, index: int, note: str, completed: float | None) -> None:
        if self._progress:
            self._progress.update(
                self._task,
                phase=f"{min(index + 1, self._phases)}/{self._phases}",
                note=self._accuracy + note,
                completed=completed,
            )
