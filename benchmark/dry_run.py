"""`--dry-run`: what a command would do, what it would cost, and what would keep it from running."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark.devices import Place
from benchmark.formatting import bytes_words
from benchmark.plan import Plan
from benchmark.randomness import seeded, stream
from benchmark.run_folder import RunFolder


def print_plans(plans: list[Plan], place: Place, console: Console) -> None:
    """Print phases, samples, room for exemplars and training steps of every cell.

    Raises:
        UserError: What the run itself would stop at: the backbone cannot be read, a folder holds
            a run that was begun with something else.
    """
    tried: set[tuple[str, ...]] = set()
    for plan in plans:
        config = plan.config
        name = f"\n[bold]{escape(config.method[0])}[/], seed {config.seeds[0]}"
        console.print(f"{name} -> {escape(str(config.folder()))}", soft_wrap=True)
        if state := _state(plan, place):
            console.print(state)
        if plan.settings != type(plan.settings)():
            console.print(f"settings: {escape(_changed(plan.settings))}")
        if config.method not in tried:  # one of them is as good as all seeds
            tried.add(config.method)
            console.print(_model_words(plan), markup=False)
        console.print(phase_table(plan))
        console.print(_memory_words(plan), markup=False)
        console.print(f"run it: {config.command(place=True)}", soft_wrap=True, markup=False)


def phase_table(plan: Plan) -> Table:
    """Classes, samples and training steps of each phase; a method may take fewer steps."""
    config, data = plan.config, plan.data
    columns = (
        "phase",
        "classes",
        "training",
        "exemplars (least)",
        config.evaluate_on,
        "steps",
    )
    table = Table(*columns, box=None, pad_edge=False)
    total = 0
    for index in range(plan.num_learnt):
        new = plan.classes(index)
        added = len(data.train.of_classes(new))
        train = len(data.train.of_classes(range(new.stop))) if plan.method.sees_all_data else added
        exemplars = 0
        if index and plan.method.kind == "replay":
            exemplars = sum(_whole(plan, label, index - 1, new.start) for label in range(new.start))
        steps = plan.steps(index)
        total += steps
        test = len(data.test.of_classes(range(new.stop)))
        table.add_row(*map(str, (index + 1, len(new), train, exemplars, test, steps)))
    seen = plan.classes(plan.num_learnt - 1).stop
    train = len(data.train.of_classes(range(seen)))
    table.add_row("all", str(seen), str(train), "", "", str(total))
    return table


def _whole(plan: Plan, label: int, phase: int, seen: int) -> int:
    """How many samples of mean size a class can keep whole: no more than it has."""
    fitting = int(plan.budget.allowance(label, phase, seen) / plan.budget.unit)
    return min(fitting, len(plan.data.train.of_classes([label])))


def _state(plan: Plan, place: Place) -> str:
    """What an earlier run of the cell left, and what becomes of it."""
    folder = RunFolder(plan.config.folder(), writes=False)
    if not (folder.path / "run.json").exists():
        return ""
    if plan.config.overwrite:
        return "an earlier run of it is thrown away (--overwrite)"
    folder.check_identity(**plan.facts(place))
    if folder.is_complete():
        return "done already: nothing is left to do (--overwrite runs it again)"
    folder.reload()
    return f"begun already: resumes in phase {len(folder.done) + 1} of {plan.num_learnt}"


def _model_words(plan: Plan) -> str:
    """Make the method once, as the run would: a backbone may be absent, damaged or another model's.

    Raises:
        UserError: It is.
    """
    context = plan.context(torch.device("cpu"))
    with seeded(stream(context.seed, "harness/make")):
        model = plan.method(context, plan.settings).provenance()
    if plan.tuned is not None:
        plan.tuned.refuse_other_backbone(model)
    return f"model: {model['parameters']:,} parameters, backbone {model['name']}"


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
    if budget.currency == "bytes":
        return (
            f"memory at the end: {bytes_words(room * classes)} ({bytes_words(room)} a class; an "
            f"untouched sample is {bytes_words(budget.unit)} in the mean)"
        )
    return f"memory at the end: {room:g} {budget.currency} a class"


def _changed(settings: Any) -> str:
    default = type(settings)()
    return ", ".join(
        f"{spec.name}={getattr(settings, spec.name)}"
        for spec in dataclasses.fields(settings)
        if getattr(settings, spec.name) != getattr(default, spec.name)
    )
