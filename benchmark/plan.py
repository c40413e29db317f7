"""What follows from a configuration before anything is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark import results, run_files
from benchmark.budget import CURRENCIES, Budget, make_budget
from benchmark.cells import cells, reference_run
from benchmark.config import RunConfig
from benchmark.data import ColumnNames, Data, DatasetOptions, open_data
from benchmark.exemplar import record_bytes
from benchmark.formatting import amount_words
from benchmark.load_method import load_method, make_settings
from benchmark.method import Method, MethodContext
from benchmark.older_runs import finished_elsewhere
from benchmark.recipe import Recipe, resolve_recipe
from benchmark.result_of import asked_for, read_result_of
from benchmark.results.schema import Result
from benchmark.source_hash import harness_sha256, method_sources, sources_sha256
from benchmark.tuned_recipe import TunedRecipe
from benchmark.tuned_recipe import read as read_tuned
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.phases import phase_sizes

if TYPE_CHECKING:
    import torch

    from benchmark.devices import Place


@dataclass(frozen=True)
class Cell:
    """One cell of a grid without its data: what the process of a phase is handed."""

    config: RunConfig  # of one method and one seed
    method: type[Method]  # its class
    preset: str  # name of the preset, "" if none
    settings: Any  # an instance of `method.Settings`
    recipe: Recipe  # how it is trained where stages do not say otherwise
    sizes: tuple[int, ...]  # number of new classes of each phase
    budget: Budget  # what the memory may hold

    def __reduce__(self) -> tuple[Any, ...]:
        """Hand over names: the process that reads this finds the class of a file again."""
        return find_cell, (self.config, self.sizes, self.budget)

    @property
    def num_learnt(self) -> int:
        """Number of phases that are learned: all, unless the run stops before."""
        return self.config.stop_after or len(self.sizes)

    def classes(self, phase: int) -> range:
        """Labels of a phase's new classes."""
        start = sum(self.sizes[:phase])
        return range(start, start + self.sizes[phase])

    def context(self, device: torch.device, rank: int = 0, world: int = 1) -> MethodContext:
        """What the method is given once."""
        return MethodContext(
            num_classes=sum(self.sizes),
            phase_sizes=self.sizes,
            backbone=self.config.backbone,
            tuning=self.recipe.tuning,
            max_text_length=self.config.max_text_length,
            batch_size=self.config.batch_size,
            seed=self.config.seeds[0],
            device=device,
            rank=rank,
            world=world,
        )


def find_cell(config: RunConfig, sizes: tuple[int, ...], budget: Budget) -> Cell:
    """Find method, settings and recipe of a cell; raise UserError if there is no such one."""
    (name,) = config.method
    method, preset = load_method(name)
    settings = make_settings(method, preset, config.settings_of(name))
    return Cell(config, method, preset, settings, resolve_recipe(config, method), sizes, budget)


def find_cell_of(result: Result) -> Cell:
    """The cell of a finished run; raise UserError if its method or a setting is gone."""
    said = result["budget"]
    budget = Budget(
        said["amount"] or 0.0, said["currency"], said["growth"], said["unit"] or 1.0,
        said["sample_bytes"] or 0.0,
    )  # fmt: skip
    (config,) = cells(asked_for(result))
    sizes, _ = divide(config, result["dataset"]["num_classes"])
    return find_cell(config, sizes, budget)


@dataclass(frozen=True)
class Plan(Cell):
    """One cell of a grid with its data."""

    data: Data  # labels are positions in the class order
    #: The files that the method is written in, as they were when it was imported
    sources: Mapping[str, bytes]
    #: The result whose numbers of exemplars are matched, None without
    reference: Result | None = None
    notes: tuple[str, ...] = ()  # what a user should know before it runs
    tuned: TunedRecipe | None = None  # the recipe file that its settings are from, None without

    def steps(self, phase: int) -> int:
        """Training steps of a phase; a bound that starts again in each has those of all so far."""
        first = 0 if self.method.sees_all_data else phase
        new = (self.data.train.count(self.classes(t)) for t in range(first, phase + 1))
        return sum(map(self.config.phase_steps, new))

    @property
    def cell(self) -> Cell:
        """The cell alone, without its data."""
        return Cell(**{spec.name: getattr(self, spec.name) for spec in dataclasses.fields(Cell)})

    def facts(self, place: Place) -> dict[str, Any]:
        """What a run is started with, and may not be resumed without; see `RunFolder`."""
        return {
            "device": place.device,
            "config": self.config.changed(),
            "data": self.data.data_sha256,
            "split": self.data.split_sha256,
            "method": sources_sha256(self.sources.values()),
            "harness": harness_sha256(),
            "counts": json_sha256(self.budget.counts),
        }


def open_config_data(config: RunConfig) -> Data:
    """Open the data in their own class order; raise UserError if they cannot be opened."""
    return open_data(
        config.dataset,
        columns=ColumnNames(
            image=config.image_column, label=config.label_column, caption=config.caption_column
        ),
        captions=config.captions,
        archive=DatasetOptions(config.data_dir, config.split_name, config.partial),
        test_fraction=config.test_fraction,
        split_seed=config.split_seed,
        validation=config.evaluate_on == "validation",
        bad_images=config.bad_images,
    )


def divide(config: RunConfig, num_classes: int) -> tuple[tuple[int, ...], list[int]]:
    """Number of new classes of each phase, and class order; raise UserError if they do not fit."""
    sizes = tuple(phase_sizes(num_classes, config.phases, config.base_classes))
    return sizes, config.label_order(num_classes)


def make_plans(config: RunConfig) -> list[Plan]:
    """Open the data once and plan every cell; raise UserError if they cannot be or do not fit."""
    data = open_config_data(config)
    sizes, order = divide(config, data.num_classes)
    data = data.in_order(order)
    sizes_in_bytes = whole_bytes(data)
    costs = [1] * len(data.train) if CURRENCIES[config.currency].noun else sizes_in_bytes
    budget = make_budget(
        config.memory,
        currency=config.currency,
        growth=config.growth,
        num_classes=data.num_classes,
        mean_sample_bytes=sum(sizes_in_bytes) / len(sizes_in_bytes),
    )
    notes = data.notes
    keeps = any(load_method(name)[0].kind == "replay" for name in config.method)
    if keeps and config.match_exemplars_of is None:
        notes += _too_small(config.memory, budget, data, costs)
    plans = []
    for one in cells(config):
        reference = None
        if one.match_exemplars_of is not None:
            reference = read_reference(one, data.data_sha256)
            counts = tuple(
                {int(k): kept["exemplars"] for k, kept in phase["memory"]["per_class"].items()}
                for phase in reference["phases"]
            )
            budget = Budget(0, "exemplars", one.growth, 1.0, counts=counts)
        cell = find_cell(one, sizes, budget)
        sources = method_sources(cell.method)
        plan = Plan(**vars(cell), data=data, sources=sources, reference=reference, notes=notes)
        if one.tuned_by is not None:
            tuned = read_tuned(one.tuned_by)
            tuned.refuse_other(one, data.data_sha256)
            own = tuned.notes(one, sources_sha256(sources.values()))
            plan = dataclasses.replace(plan, tuned=tuned, notes=(*notes, *own))
        plans.append(plan)
    return plans


def whole_bytes(data: Data) -> list[int]:
    """Length of each training sample if it is kept untouched: file, caption, label, framing."""
    lengths = zip(data.train.image_bytes, data.train.captions, strict=True)
    return [record_bytes(image, len(caption.encode())) for image, caption in lengths]


def _too_small(memory: str, budget: Budget, data: Data, costs: Sequence[int]) -> tuple[str, ...]:
    """A note if at the end the memory is too small for one whole sample of every class."""
    smallest: dict[int, int] = {}
    for label, cost in zip(data.train.labels.tolist(), costs, strict=True):
        smallest[label] = min(cost, smallest.get(label, cost))
    room = budget.allowance(0, 0, data.num_classes)
    without = sum(cost > room for cost in smallest.values())
    if not without or not room:  # no memory at all is meant so
        return ()
    enough = math.ceil(100 * max(smallest.values()) / budget.unit) / 100
    return (
        f"with --memory {memory} a class may keep {amount_words(room, budget.currency)} at the "
        f"end. That is less than any whole sample of {without} of the {data.num_classes} classes, "
        "so methods that keep whole samples keep none of them; --memory "
        f"{enough:g} holds one of each class",
    )


def read_reference(config: RunConfig, data_sha256: str | None = None) -> Result:
    """The result of the run to be matched, of data with this hash if it is given.

    Raises:
        UserError: It is not finished, damaged, or that of another run or of other data.
    """
    reference = reference_run(config)
    path = reference.folder() / run_files.RESULT
    if path.exists():
        result = read_result_of(reference, path.parent)
    elif (older := finished_elsewhere(reference, data_sha256)) is not None:
        result = results.read(older)
    else:
        raise UserError(
            f"--match-exemplars-of {config.match_exemplars_of}: there is no {path} yet. Run it "
            "first: " + dataclasses.replace(reference, overwrite=False).command(place=True)
        )
    if data_sha256 not in (None, result["dataset"]["data_sha256"]):
        raise UserError(
            f"{path} was computed on other data: restore these data, or choose another --output"
        )
    return result
