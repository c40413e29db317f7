"""One frozen dataclass is the command line, the configuration file and the provenance of a result.

Nothing heavy is imported here: `--help` and `--list` must answer at once.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.config_check import check, check_texts
from benchmark.config_fields import Fields
from benchmark.option_names import NAMED, amount, dashed, method_name, names_of
from benchmark.paths import last_part, safe_name, same_path, shortened
from benchmark.recipe import DEFAULTS_VERSION
from mm_imagenet_r.catalog import full_name
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.orders import class_order, named_order
from mm_imagenet_r.splits import canonical


@dataclass(frozen=True)
class RunConfig(Fields):
    """Everything a run depends on. With one method and one seed it is a cell of a grid.

    A field's name with dashes is its command-line option; configuration files use the field names.
    """

    def __post_init__(self) -> None:
        """Write names and paths in one way; raise UserError as `benchmark.config_check.check`."""
        for name in ("method", "set", "seeds"):
            value = getattr(self, name)
            values = (value,) if isinstance(value, (str, int)) else tuple(value)
            object.__setattr__(self, name, values)
        check_texts(self)
        for name, value in self._written().items():
            object.__setattr__(self, name, value)
        check(self)

    def cells(self) -> list[RunConfig]:
        """One configuration per method and seed, seeds innermost; `set` holds what it needs."""
        cells = []
        for method in self.method:
            own = [f"{key}={value}" for key, value in sorted(self.settings_of(method).items())]
            alike = [
                f"{owner}.{key}={value}"
                for owner, key, value in self.set_items()
                if owner in names_of(self.match_exemplars_of) and owner not in names_of(method)
            ]
            only: dict[str, Any] = {"method": (method,), "set": (*own, *alike)}
            cells += [dataclasses.replace(self, seeds=(seed,), **only) for seed in self.seeds]
        return cells

    def settings_of(self, method: str) -> dict[str, str]:
        """The `--set` items meant for `method`; one that names the method wins.

        >>> names, items = ("replay", "joint"), ("tau=1", "replay.tau=2", "joint.a=3")
        >>> config = RunConfig(method=names, set=items)
        >>> config.settings_of("replay")
        {'tau': '2'}
        """
        items = sorted(self.set_items(), key=lambda item: len(item[0]))
        return {key: value for owner, key, value in items if owner in ("", *names_of(method))}

    def phase_steps(self, new_samples: int) -> int:
        """Training steps of a phase that brings so many samples.

        >>> RunConfig(epochs=2, batch_size=32).phase_steps(100), RunConfig(steps=5).phase_steps(100)
        (8, 5)
        """
        if self.steps is not None:
            return self.steps if new_samples else 0
        return self.epochs * math.ceil(new_samples / self.batch_size)

    def label_order(self, num_classes: int) -> list[int]:
        """The data set's own number of the class at each position of the class order.

        Raises:
            UserError: There is no such order, or it is one of other classes.

        >>> RunConfig().label_order(4), RunConfig(class_order_seed=None).label_order(4)
        ([0, 2, 3, 1], [0, 1, 2, 3])
        """
        if self.class_order is None:
            return class_order(num_classes, self.class_order_seed)
        order = named_order(self.class_order)
        if len(order) != num_classes:
            raise UserError(
                f"--class-order {self.class_order} orders {len(order)} classes, the data set has "
                f"{num_classes}: give --class-order-seed instead"
            )
        return order

    def reference_run(self) -> RunConfig:
        """The run that `match_exemplars_of` names, as the user wrote it; see `benchmark.cells`."""
        name = self.match_exemplars_of
        assert name is not None
        own = tuple(f"{k}={v}" for owner, k, v in self.set_items() if owner in names_of(name))
        changed = dataclasses.replace(
            self, method=(name,), match_exemplars_of=None, set=own, tuned_by=None
        )
        return changed.cells()[0]

    def _written(self) -> dict[str, Any]:
        """The fields that can be written in several ways, in one of them."""
        return {
            "method": tuple(map(method_name, self.method)),
            "match_exemplars_of": self.match_exemplars_of and method_name(self.match_exemplars_of),
            **{
                k: (p := getattr(self, k)) and Path(same_path(str(p)))
                for k in ("captions", "data_dir", "tuned_by")
            },
            "output": Path(self.output),
            "recipes": Path(self.recipes),
            "stop_after": None if self.stop_after == self.phases else self.stop_after,
            "memory": amount(str(self.memory)),
            "split_name": self.split_name and canonical(self.split_name),
            "dataset": same_path(full_name(self.dataset), NAMED["dataset"]),
            "backbone": same_path(self.backbone, NAMED["backbone"]),
        }

    def set_items(self) -> Iterator[tuple[str, str, str]]:
        """Owner ("" if none is named), key and value of each `--set` item."""
        for item in self.set:
            name, equals, value = item.partition("=")
            owner, _, key = name.rpartition(".")
            if not equals or not key:
                raise UserError(
                    f"--set {item}: write key=value, for example --set text_swap_prob=0"
                )
            yield method_name(owner), key, value

    def identity(self) -> dict[str, Any]:
        """All that may change a result, as plain types: the `config` of a result.json."""
        return {
            spec.name: _plain(getattr(self, spec.name))
            for spec in dataclasses.fields(self)
            if spec.metadata.get("affects_result", True)
        }

    def fingerprint(self) -> str:
        """Hash of everything that may change a result; two equal ones are the same experiment.

        Only what differs from the defaults takes part, so an option that is added later with a
        neutral default changes no fingerprint.
        """
        return json_sha256({"defaults": DEFAULTS_VERSION, **self.changed()})

    def changed(self) -> dict[str, Any]:
        """What may change a result and differs from the defaults, as plain types."""
        (cell,) = self.cells()  # in which settings stand in one order and one way of writing
        default = RunConfig().identity()
        return {name: value for name, value in cell.identity().items() if value != default[name]}

    def folder(self) -> Path:
        """Where this cell's results lie: readable, and unique through the fingerprint."""
        if len(self.method) * len(self.seeds) != 1:
            raise UserError(
                "each method and seed has its own folder: give a single method and a single seed"
            )
        budget = f"{self.memory}-{self.currency}"
        if self.match_exemplars_of:
            budget += f"-matching-{self.match_exemplars_of}"
        phases = f"{self.stop_after}of{self.phases}" if self.stop_after else f"{self.phases}"
        setting = f"{safe_name(last_part(self.dataset))}-{phases}phases-{safe_name(budget)}"
        method = safe_name(last_part(self.method[0]).replace(".py:", "-").replace(":", "-"))
        seed = f"seed{self.seeds[0]}-{self.fingerprint()[:8]}"
        return self.output / shortened(setting) / method / seed

    def to_json(self) -> dict[str, Any]:
        """All fields as plain types; `from_mapping` reads them back."""
        return {spec.name: _plain(getattr(self, spec.name)) for spec in dataclasses.fields(self)}

    def command(self, *, place: bool = False) -> str:
        """The shortest command for this configuration; `place`: also where it runs and writes."""
        words = ["python -m benchmark.run"]
        for spec in dataclasses.fields(self):
            value, affects = getattr(self, spec.name), spec.metadata.get("affects_result", True)
            if value == spec.default or not (affects or (place and spec.name != "dry_run")):
                continue
            if isinstance(value, bool):
                words.append(f"--{'' if value else 'no-'}{dashed(spec.name)}")
                continue
            texts = value if isinstance(value, tuple) else ("none" if value is None else value,)
            words.append(f"--{dashed(spec.name)} {shlex.join(map(str, texts))}")
        return " ".join(words)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
