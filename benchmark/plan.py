"""What follows from a configuration before anything is trained; `--dry-run` prints it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark import results
from benchmark.budget import Budget, make_budget
from benchmark.config import RunConfig
from benchmark.data import ColumnNames, Data, open_data
from benchmark.find_method import find, make_settings
from benchmark.memory import Kept
from benchmark.method import Method
from benchmark.wording import bytes_words
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.phases import class_order, phase_sizes


@dataclass(frozen=True)
class Plan:
    """One cell of a grid: a method, its settings, its data, its phases, its budget.

    Attributes:
        config: Of one method and one seed.
        method: Its class.
        preset: Name of the preset, "" if none.
        settings: An instance of `method.Settings`.
        data: Labels are positions in the class order.
        sizes: Number of new classes of each phase.
        budget: What the memory may hold.
    """

    config: RunConfig
    method: type[Method]
    preset: str
    settings: Any
    data: Data
    sizes: tuple[int, ...]
    budget: Budget

    def classes(self, phase: int) -> range:
        """Labels of a phase's new classes."""
        start = sum(self.sizes[:phase])
        return range(start, start + self.sizes[phase])


def check(config: RunConfig) -> None:
    """Find the faults that show before any data are opened.

    Raises:
        UserError: An unknown method or setting, a senseless budget, no run to be like.
    """
    make_budget(
        config.memory,
        currency=config.currency,
        growth=config.growth,
        num_classes=1,
        mean_sample_bytes=1.0,
    )
    for cell in config.cells():
        method, preset = find(cell.method[0])
        make_settings(method, preset, cell.settings_of(cell.method[0]))
        if cell.like is not None:
            find(cell.like)
            counts_like(cell)


def make_plans(config: RunConfig) -> list[Plan]:
    """Open the data once and plan every cell of a configuration.

    Raises:
        UserError: The data cannot be opened, or do not fit the configuration.
    """
    data = open_data(
        config.dataset,
        columns=ColumnNames(
            image=config.image_column, label=config.label_column, caption=config.caption_column
        ),
        captions=config.captions,
        test_fraction=config.test_fraction,
        split_seed=config.split_seed,
        validation=config.evaluate_on == "validation",
        bad_images=config.bad_images,
    )
    sizes = tuple(phase_sizes(data.num_classes, config.phases, config.base_classes))
    data = data.in_order(class_order(data.num_classes, config.class_order_seed))
    in_bytes = config.currency == "bytes" and config.like is None
    budget = make_budget(
        config.memory,
        currency=config.currency,
        growth=config.growth,
        num_classes=data.num_classes,
        mean_sample_bytes=mean_sample_bytes(data) if in_bytes else 1.0,
    )
    plans = []
    for cell in config.cells():
        if cell.like is not None:
            budget = Budget(0, "exemplars", cell.growth, 1.0, counts_like(cell))
        method, preset = find(cell.method[0])
        settings = make_settings(method, preset, cell.settings_of(cell.method[0]))
        plans.append(Plan(cell, method, preset, settings, data, sizes, budget))
    return plans


def mean_sample_bytes(data: Data) -> float:
    """Mean length of the record of an untouched training sample: file, caption, label, framing."""
    total = sum(Kept.whole(sample).exemplar.nbytes for sample in data.train)
    return total / len(data.train)


def counts_like(config: RunConfig) -> tuple[Mapping[int, int], ...]:
    """How many exemplars of each class the run that is to be equalled kept after each phase.

    Raises:
        UserError: That run is not finished.
    """
    model = config.model()
    path = model.folder() / results.RESULT
    if not path.exists():
        raise UserError(
            f"--like {config.like}: its result {path} is not there. Run it first: "
            f"{model.command()} --output {model.output}"
        )
    return tuple(
        {int(label): entry["exemplars"] for label, entry in phase["memory"]["per_class"].items()}
        for phase in results.read(path)["phases"]
    )


def print_plans(plans: list[Plan], console: Console) -> None:
    """Print phases, samples, room for exemplars and training steps of every cell."""
    for plan in plans:
        config, budget = plan.config, plan.budget
        name = f"\n[bold]{escape(config.method[0])}[/], seed {config.seeds[0]}"
        console.print(f"{name} -> {escape(str(config.folder()))}")
        if plan.settings != type(plan.settings)():
            console.print(f"settings: {escape(_changed(plan.settings))}")
        console.print(phase_table(plan))
        room = budget.room(0, len(plan.sizes) - 1, plan.data.num_classes)
        if plan.method.sees_all_data:
            console.print("memory: none, it sees all data of the phases so far at once")
        elif budget.currency == "bytes":
            console.print(
                f"memory at the end: {bytes_words(room * plan.data.num_classes)} "
                f"({bytes_words(room)} a class; an untouched sample is "
                f"{bytes_words(budget.unit)} in the mean)"
            )
        elif config.like is not None:
            count = sum(budget.counts[-1].values())
            console.print(f"memory at the end: {count} exemplars, as {config.like} keeps")
        else:
            console.print(f"memory at the end: {room:g} {budget.currency} a class")
        console.print(f"run it: {config.command()}", soft_wrap=True, markup=False)


def phase_table(plan: Plan) -> Table:
    """Classes, samples and least number of training steps of each phase.

    Steps count new samples and as many exemplars as whole ones fit; methods that fit more take
    more.
    """
    config, data = plan.config, plan.data
    columns = ("phase", "classes", "training", "exemplars from", config.evaluate_on, "steps from")
    table = Table(*columns, box=None, pad_edge=False)
    total = 0
    for index in range(len(plan.sizes)):
        new = plan.classes(index)
        train = len(data.train.of_classes(range(new.stop) if plan.method.sees_all_data else new))
        exemplars = 0
        if index and not plan.method.sees_all_data:
            rooms = (plan.budget.room(label, index - 1, new.start) for label in range(new.start))
            exemplars = sum(int(room / plan.budget.unit) for room in rooms)
        steps = config.epochs * math.ceil((train + exemplars) / config.batch_size)
        total += steps
        test = len(data.test.of_classes(range(new.stop)))
        table.add_row(*map(str, (index + 1, len(new), train, exemplars, test, steps)))
    table.add_row("all", str(data.num_classes), str(len(data.train)), "", "", str(total))
    return table


def _changed(settings: Any) -> str:
    default = type(settings)()
    return ", ".join(
        f"{spec.name}={getattr(settings, spec.name)}"
        for spec in dataclasses.fields(settings)
        if getattr(settings, spec.name) != getattr(default, spec.name)
    )
