"""`--dry-run`: what a command would do, what it would cost, and what would keep it from running."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark.cells import differing
from benchmark.data import Samples
from benchmark.devices import Place
from benchmark.formatting import amount_words, bytes_words, seconds_words
from benchmark.isolation import isolated
from benchmark.phase import LearnJob, TestJob, learn, test
from benchmark.plan import Plan
from benchmark.run_folder import RunFolder

_STEPS = 4  # of the trial
_SAMPLES = 64  # of the trial, about
#: By these a process knows that a launcher started several; the trial is of one.
_LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def print_plans(plans: list[Plan], place: Place, console: Console) -> None:
    """Print phases, samples, room for exemplars, training steps and time of every cell.

    Raises:
        UserError: What the run itself would stop at, such as a method that breaks its contract.
    """
    trials: dict[tuple[str, ...], Trial] = {}
    total = 0.0
    for plan in plans if place.main else ():
        config = plan.config
        name = f"\n[bold]{escape(config.method[0])}[/], seed {config.seeds[0]}"
        console.print(f"{name} -> {escape(str(config.folder()))}", soft_wrap=True)
        state, finished = _state(plan, place)
        if state:
            console.print(state)
        if changed := differing(plan.settings, type(plan.settings)()):
            console.print(f"settings: {', '.join(changed)}", markup=False)
        if config.method not in trials:  # one of them is as good as all seeds
            trials[config.method] = trial = try_out(plan, place)
            model = trial.model
            console.print(
                f"model: {model['parameters']:,} parameters, backbone {model['name']}", markup=False
            )
        console.print(phase_table(plan))
        console.print(_memory_words(plan), markup=False)
        seconds = trials[config.method].estimate(plan, finished) / place.world
        total += seconds
        console.print(
            f"estimated time: about {seconds_words(seconds)} on this machine ({_STEPS} training "
            "steps and some samples were timed)"
        )
        console.print(f"run it: {config.command(place=True)}", soft_wrap=True, markup=False)
    if len(plans) > 1:
        jobs = min(plans[0].config.jobs, len(plans))
        how = f"{jobs} at once" if jobs > 1 else "one after another"
        console.print(f"\nestimated time of all runs, {how}: about {seconds_words(total / jobs)}")


@dataclass(frozen=True)
class Trial:
    """How long a method takes here."""

    model: dict[str, Any]  # name and size of its backbone
    process: float  # seconds until a process is ready, and ends
    step: float  # seconds of a training step
    sample: float  # seconds for each new sample, before and after training
    predicted: float  # seconds for each predicted sample

    def estimate(self, plan: Plan, finished: int = 0) -> float:
        """Seconds of the phases of a plan that are not finished."""
        seconds, data = 0.0, plan.data
        for index in range(finished, plan.num_learnt):
            new = plan.classes(index)
            trained = range(new.stop) if plan.method.sees_all_data else new
            test = data.test.count(range(new.stop))
            seconds += 2 * self.process + self.step * plan.steps(index)
            seconds += self.sample * data.train.count(trained) + self.predicted * test
        return seconds


def try_out(plan: Plan, place: Place) -> Trial:
    """Learn and test a few samples of the first phase, as the run would, in a temporary folder."""
    new, place = plan.classes(0), Place(place.device, threads=place.threads)
    train = _some(plan.data.train.of_classes(new), len(new))
    tested = _some(plan.data.test.of_classes(new), len(new))
    times: list[float] = []

    def report(event: str, *what: Any) -> None:
        if event == "step":
            times.append(time.perf_counter())

    launched = {name: os.environ.pop(name) for name in _LAUNCHED if name in os.environ}
    try:
        with tempfile.TemporaryDirectory() as name:
            folder, cell, imports = Path(name), plan.cell, plan.method.imports
            job = LearnJob(cell, place, folder, 0, new, train.apart(), None, 0, _STEPS)
            start = time.perf_counter()
            learnt = isolated(learn, job, report, imports)
            middle = time.perf_counter()
            parts = (tested.apart(anonymous=True), learnt["memory"], learnt["state"])
            isolated(test, TestJob(cell, place, folder, 0, new.stop, *parts), report, imports)
            end = time.perf_counter()
            model = RunFolder(folder, writes=False).identity("backbone")
    finally:
        os.environ.update(launched)
    laps = learnt["seconds"]
    process = max(0.0, middle - start - sum(laps.values()))
    return Trial(
        model=model,
        process=process,
        step=(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0,
        sample=(laps["prepare"] + laps["select"]) / max(1, len(train)),
        predicted=max(0.0, end - middle - process) / max(1, 2 * len(tested)),  # each one is twice
    )


def _some(samples: Samples, num_classes: int) -> Samples:
    """A few samples of each class."""
    labels, few = samples.labels, max(2, _SAMPLES // num_classes)
    chosen = [np.flatnonzero(labels == label)[:few] for label in np.unique(labels)]
    return samples.select(np.concatenate(chosen)) if chosen else samples


def phase_table(plan: Plan) -> Table:
    """Classes, samples and training steps of each phase; a method may take fewer steps."""
    config, data = plan.config, plan.data
    columns = ("phase", "classes", "training", "exemplars (least)", config.evaluate_on, "steps")
    table = Table(*columns, box=None, pad_edge=False)
    total = 0
    for index in range(plan.num_learnt):
        new = plan.classes(index)
        added = data.train.count(new)
        train = data.train.count(range(new.stop)) if plan.method.sees_all_data else added
        exemplars = 0
        if index and plan.method.kind == "replay":
            exemplars = sum(_whole(plan, label, index - 1, new.start) for label in range(new.start))
        steps = plan.steps(index)
        total += steps
        test = data.test.count(range(new.stop))
        table.add_row(*map(str, (index + 1, len(new), train, exemplars, test, steps)))
    seen = plan.classes(plan.num_learnt - 1).stop
    train = data.train.count(range(seen))
    table.add_row("all", str(seen), str(train), "", "", str(total))
    return table


def _whole(plan: Plan, label: int, phase: int, seen: int) -> int:
    """How many samples of mean size a class can keep whole: no more than it has."""
    fitting = int(plan.budget.allowance(label, phase, seen) / plan.budget.unit)
    return min(fitting, plan.data.train.count([label]))


def _state(plan: Plan, place: Place) -> tuple[str, int]:
    """What an earlier run of the cell left, and how many phases of it count."""
    folder = RunFolder(plan.config.folder(), writes=False)
    if not (folder.path / "run.json").exists():
        return "", 0
    if plan.config.overwrite:
        return "an earlier run of it is discarded (--overwrite)", 0
    folder.check_identity(**plan.facts(place))
    if folder.is_complete():
        return "finished: nothing is left to do (--overwrite runs it again)", plan.num_learnt
    done = len(folder.read_done())
    return f"started: resumes in phase {done + 1} of {plan.num_learnt}", done


def _memory_words(plan: Plan) -> str:
    config, budget = plan.config, plan.budget
    classes = plan.classes(plan.num_learnt - 1).stop
    room = budget.allowance(0, plan.num_learnt - 1, classes)
    if plan.method.sees_all_data:
        return "memory: none, it sees all data of the phases so far at once"
    if plan.method.kind != "replay":
        return "memory: none, the method keeps no sample"
    if config.match_exemplars_of is not None:
        count = sum(budget.counts[-1].values())
        return f"memory at the end: {count} exemplars, as {config.match_exemplars_of} keeps"
    words = f"memory at the end: {amount_words(room, budget.currency)} per class"
    if budget.currency != "samples":
        words += (
            f", {amount_words(room * classes, budget.currency)} in total; an untouched sample has "
            f"{bytes_words(budget.sample_bytes)} on average"
        )
    return words
