"""What a run shows: a line per phase, and its progress meanwhile.

On a terminal that is a bar with accuracy and time left; in a log, a line at least every minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from benchmark.budget import CURRENCIES
from benchmark.formatting import MISSING, bytes_words, seconds_words
from benchmark.results.schema import MemoryLedger
from mm_imagenet_r.errors import pluralize
from mm_imagenet_r.progress import make_console

if TYPE_CHECKING:
    from benchmark.plan import Plan
    from benchmark.results.schema import PhaseRecord

_REFRESH = 0.1  # seconds between two states of the progress bar
_LINE = 45.0  # seconds between two lines of a log, so that a step later it is within a minute


class Display:
    """Writes to a console; silent on all processes but the first."""

    def __init__(
        self, *, silent: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Show nothing yet; `clock` counts seconds."""
        self.console = make_console(silent=silent)
        self._clock = clock
        self._plan: Plan
        self._progress: Progress | None = None
        self._phases = 0
        self._accuracy = ""
        self._shown = self._begun = 0.0
        self._done = self._done_before = 0.0  # phases

    def notes(self, notes: Iterable[str]) -> None:
        """What a user should know about how the data were read."""
        for words in notes:
            self.note(words)

    def note(self, words: str) -> None:
        """One thing that a user should know."""
        self.console.print(f"note: {words}", markup=False, soft_wrap=True)

    def start(self, plan: Plan, finished: int) -> None:
        """A run begins, or is resumed."""
        config, data = plan.config, plan.data
        self._plan, self._phases, self._accuracy = plan, plan.num_learnt, ""
        phases = pluralize(len(plan.sizes), "phase")
        if config.stop_after is not None:
            phases += f" (the run stops after {config.stop_after})"
        if plan.method.sees_all_data:
            memory = "all data at once"
        elif config.match_exemplars_of:
            memory = f"as many exemplars as {config.match_exemplars_of}"
        else:
            memory = f"memory {config.memory} in {config.currency}, {config.growth}"
        self.console.print(
            f"[bold]{escape(config.method[0])}[/] on {escape(config.dataset)}: {data.num_classes} "
            f"classes in {phases}, {len(data.train)} training and "
            f"{len(data.test)} {config.evaluate_on} samples, {escape(memory)}, "
            f"seed {config.seeds[0]}"
        )
        if finished:
            self.console.print(f"resuming after phase {finished} of {self._phases}")
        header = f"{'':<12}{'classes':>7}  {'accuracy':>8}{'exemplars/class':>17}  "
        self.console.print(f"[dim]{header}{f'memory ({plan.budget.currency})':<22}{'time':>9}[/]")
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
            # No thread of its own: the processes of phases are forked from this one.
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(
            "", total=self._phases, completed=finished, phase=f"{finished + 1}/{self._phases}",
            note="",
        )  # fmt: skip
        self._begun = self._shown = self._clock()
        self._done = self._done_before = finished
        if finished < self._phases:
            self._progress.start()

    def stage(self, index: int, what: str) -> None:
        """Something other than training started."""
        self._show(index, what)

    def step(self, index: int, stage: str, step: int, steps: int, loss: float) -> None:
        """A training step is done."""
        # Work per phase grows with the memory; within a phase, training is nine tenths of it.
        self._done = index + 0.9 * step / steps
        note = f"loss {loss:.2f}" if stage == "train" else f"{stage}: loss {loss:.2f}"
        self._show(index, note, f"step {step} of {steps}, ")

    def report(self, event: str, *what: Any) -> None:
        """What the process of a phase reports: `stage`, `step` or `note`."""
        events: dict[str, Callable[..., None]] = {
            "stage": self.stage, "step": self.step, "note": self.note,
        }  # fmt: skip
        events[event](*what)

    def phase_done(self, index: int, record: PhaseRecord, accuracy: float) -> None:
        """One line per phase: classes seen, accuracy, exemplars per class, their cost, time."""
        result = record["result"]
        seen = result["classes"][-1] + 1
        self._accuracy = f"accuracy {accuracy:.1f}  "
        count, memory = f"{result['memory']['exemplars'] / seen:.1f}", self._kept(result["memory"])
        if self._plan.method.sees_all_data:
            count = memory = MISSING
        self.console.print(
            f"phase {index + 1:>2}/{self._phases:<3}{seen:>7}  [bold]{accuracy:>8.1f}[/]"
            f"{count:>17}  {memory:<22}[dim]{seconds_words(sum(result['seconds'].values())):>9}[/]"
        )
        self._done, self._shown = index + 1, self._clock()
        self._show(index + 1, "")
        if self._progress and index + 1 == self._phases:
            self._progress.stop()

    def stop(self) -> None:
        """Leave the terminal as it was, whatever happened."""
        if self._progress:
            self._progress.stop()

    def already_done(self, folder: Path, note: str = "") -> None:
        """The same command was given again and its result is there."""
        words = f"done{note and ', '}{note}: {folder} (--overwrite runs it again)"
        self.console.print(words, soft_wrap=True, markup=False)  # a path is copied whole

    def wrote(self, what: str, path: Path) -> None:
        """A page is there to be looked at."""
        self.console.print(f"{what}: {path}", soft_wrap=True, markup=False)

    def _kept(self, memory: MemoryLedger) -> str:
        currency, size = self._plan.budget.currency, bytes_words(memory["bytes"])
        if self._plan.reference is not None:
            return size
        if CURRENCIES[currency].noun:
            return f"{memory['cost']:.1f} of {memory['budget']:g} ({size})"
        return f"{size} of {bytes_words(memory['budget'] or 0)}"

    def _show(self, index: int, note: str, step: str = "") -> None:
        """Bring the bar, or the log, up to date."""
        if self._progress is None:
            return
        phase, now = f"{min(index + 1, self._phases)}/{self._phases}", self._clock()
        if not self.console.is_terminal:
            if now - self._shown >= _LINE:
                done = self._done - self._done_before
                seconds = (now - self._begun) / done * (self._phases - self._done) if done else 0
                left = f", about {seconds_words(seconds)} left" if done else ""
                self.console.print(f"phase {phase}: {step}{note}{left}", markup=False)
                self._shown = now
            return
        self._progress.update(
            self._task, phase=phase, note=self._accuracy + note, completed=self._done
        )
        if now - self._shown > _REFRESH:
            self._progress.refresh()
            self._shown = now
