"""`--dry-run`: what a configuration would do and what it would cost, without training anything."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from benchmark.config import RunConfig
from benchmark.experiment import Plan, make_plan, open_data_of
from benchmark.method import find
from benchmark.wording import bytes_words


def print_plan(config: RunConfig, console: Console | None = None) -> None:
    """Print phases, samples, room for exemplars and training steps of every cell."""
    console = console or Console(highlight=False)
    data = open_data_of(config)
    for cell in config.cells():
        plan = make_plan(cell, data)
        console.print(f"\n[bold]{cell.method[0]}[/], seed {cell.seeds[0]} -> {cell.folder()}")
        console.print(phase_table(plan))
        memory = plan.budget.room(0, len(plan.sizes) - 1, len(plan.order))
        if plan.budget.currency == "bytes":
            console.print(
                f"memory at the end: {bytes_words(memory * len(plan.order))} "
                f"({bytes_words(memory)} a class; an untouched sample is "
                f"{bytes_words(plan.budget.unit)} in the mean)"
            )
        else:
            console.print(f"memory at the end: {memory:g} {plan.budget.currency} a class")
        console.print(f"run it: {cell.command()}", soft_wrap=True)


def phase_table(plan: Plan) -> Table:
    """Classes, samples and least number of training steps of each phase.

    Steps count new samples and as many exemplars as whole ones fit; methods that fit more take
    more.
    """
    config = plan.config
    everything = find(config.method[0])[0].sees_all_data
    columns = ("phase", "classes", "training", "exemplars from", config.evaluate_on, "steps from")
    table = Table(*columns, box=None, pad_edge=False)
    total = 0
    for index in range(len(plan.sizes)):
        new = plan.classes(index)
        train = len(plan.data.train.of_classes(range(new.stop) if everything else new))
        exemplars = 0
        if index and not everything:
            room = plan.budget.room(0, index, new.start) / plan.budget.unit
            exemplars = int(room * new.start)
        steps = config.epochs * math.ceil((train + exemplars) / config.batch_size)
        total += steps
        test = len(plan.data.test.of_classes(range(new.stop)))
        table.add_row(*map(str, (index + 1, len(new), train, exemplars, test, steps)))
    table.add_row("all", str(len(plan.order)), str(len(plan.data.train)), "", "", str(total))
    return table
