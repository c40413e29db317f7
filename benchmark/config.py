"""One frozen dataclass is the command line, the configuration file and the provenance of a result.

Nothing heavy is imported here: `--help` and `--list` must answer at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mm_imagenet_r.errors import UserError, did_you_mean


def _option(default: Any, text: str, **extra: Any) -> Any:
    """A field with its help text; `where=True` marks what cannot change any result."""
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on. With one method and one seed it is a cell of a grid.

    A field's name with dashes is its command-line option; a TOML or JSON file uses the names as
    they stand here.
    """

    method: tuple[str, ...] = _option(
        ("exemplar_masking",),
        "one or more of --list, 'package.module:Class' or 'file.py:Class'; '@NAME' picks a preset",
    )
    set: tuple[str, ...] = _option(
        (),
        "a method's own settings as key=value; method.key=value where several run, or for --like",
    )
    seeds: tuple[int, ...] = _option((0,), "one run per seed (initialisation, data order, masks)")

    dataset: str = _option(
        "mini", "mini, a folder <class>/*.jpg or {train,test}/<class>/*.jpg, Parquet, or a Hub id"
    )
    captions: Path | None = _option(None, "captions file (csv, jsonl, parquet) of an image folder")
    image_column: str | None = _option(None, "image column of a Parquet or Hub data set")
    caption_column: str | None = _option(None, "caption column")
    label_column: str | None = _option(None, "label column")
    bad_images: str = _option(
        "error", "what to do with images that do not decode", choices=("error", "skip")
    )
    test_fraction: float = _option(0.2, "share cut off as test where the data has no test split")
    split_seed: int = _option(0, "seed of that cut, and of the validation cut")
    evaluate_on: str = _option(
        "test",
        "validation: hold out a fifth of the training data instead, for choosing settings",
        choices=("test", "validation"),
    )

    phases: int = _option(10, "number of phases the classes are divided into")
    base_classes: int | None = _option(None, "classes of the first phase (default: equal phases)")
    class_order_seed: int | None = _option(1993, "seed of the class order; 'none' keeps it natural")

    memory: str = _option("5", "budget: 5 = five untouched samples a class; 20MB = in total")
    growth: str = _option(
        "per-class",
        "per-class: grows with the classes; total: fixed, divided among the classes seen",
        choices=("per-class", "total"),
    )
    currency: str = _option(
        "bytes",
        "bytes: real bytes of all that is kept; samples: fraction of an image's pixels kept",
        choices=("bytes", "samples"),
    )
    like: str | None = _option(
        None,
        "instead of a budget: as many exemplars as METHOD kept in the same setting (run it first)",
    )

    backbone: str = _option("tiny", "tiny, a folder, or a Hub id such as dandelin/vilt-b32-mlm")
    tuning: str = _option("ssf", "what is trained", choices=("ssf", "full", "head"))
    max_text_length: int | None = _option(None, "text tokens; default: the backbone's own length")
    epochs: int = _option(4, "epochs a phase")
    batch_size: int = _option(32, "global batch, over all processes")
    micro_batches: int = _option(
        2, "equal parts a batch is computed in: results do not depend on how many processes share"
    )
    learning_rate: float | None = _option(
        None, "peak; default by tuning: 1e-2 for ssf and head, 1e-3 for full"
    )
    weight_decay: float = _option(0.01, "of matrices; never of scales, shifts and biases")
    precision: str = _option("no", "mixed precision", choices=("no", "bf16", "fp16"))

    device: str = _option("auto", "auto, cpu, cuda, mps", where=True)
    workers: int = _option(0, "processes that prepare batches", where=True)
    checkpoint_seconds: float = _option(60.0, "least time between two checkpoints", where=True)
    output: Path = _option(Path("runs"), "folder of all results", where=True)
    overwrite: bool = _option(False, "throw away an earlier run of the same cell", where=True)
    dry_run: bool = _option(False, "print the plan and its cost, train nothing", where=True)
    tracker: str = _option(
        "none",
        "where to send curves too",
        choices=("none", "tensorboard", "trackio", "wandb"),
        where=True,
    )

    def __post_init__(self) -> None:
        """Refuse values that can be seen to be wrong without opening any data."""
        for spec in dataclasses.fields(self):
            choices = spec.metadata.get("choices")
            value = getattr(self, spec.name)
            if choices and value not in choices:
                raise UserError(
                    f"--{dashed(spec.name)} {value}: {did_you_mean(str(value), choices)}"
                )
        for name in ("method", "seeds"):
            values = getattr(self, name)
            if not values:
                raise UserError(f"--{name} needs at least one value")
            if len(set(values)) < len(values):
                raise UserError(f"--{name} {' '.join(map(str, values))}: give each one once")
        least = {"phases": 1, "batch_size": 1, "micro_batches": 1, "max_text_length": 2}
        not_negative = ("epochs", "weight_decay", "split_seed", "workers", "checkpoint_seconds")
        for name, smallest in (least | dict.fromkeys(not_negative, 0)).items():
            value = getattr(self, name)
            if value is not None and not smallest <= value < math.inf:
                raise UserError(f"--{dashed(name)} must be at least {smallest}, not {value}")
        if min(self.seeds) < 0:
            raise UserError(f"--seeds cannot be negative: {min(self.seeds)}")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise UserError(f"--learning-rate must be positive, not {self.learning_rate}")
        if not 0 < self.test_fraction < 1:
            raise UserError(f"--test-fraction lies between 0 and 1, not {self.test_fraction}")
        for owner, key, _ in self._settings():
            if owner and owner not in _names(*self.method, self.like):
                raise UserError(
                    f"--set {owner}.{key}: {owner} is none of the methods that run: "
                    + did_you_mean(owner, self.method)
                )

    def cells(self) -> list[RunConfig]:
        """One configuration per method and seed, seeds innermost; `set` holds what it needs."""
        cells = []
        for method in self.method:
            own = [f"{key}={value}" for key, value in sorted(self.settings_of(method).items())]
            alike = [
                f"{owner}.{key}={value}"
                for owner, key, value in self._settings()
                if owner in _names(self.like) and owner not in _names(method)
            ]
            for seed in self.seeds:
                cells.append(
                    dataclasses.replace(self, method=(method,), seeds=(seed,), set=(*own, *alike))
                )
        return cells

    def settings_of(self, method: str) -> dict[str, str]:
        """The `--set` items meant for `method`; one that names the method wins.

        >>> config = RunConfig(method=("ssf", "joint"), set=("tau=1", "ssf.tau=2", "joint.a=3"))
        >>> config.settings_of("ssf")
        {'tau': '2'}
        """
        items = sorted(self._settings(), key=lambda item: len(item[0]))
        return {key: value for owner, key, value in items if owner in ("", *_names(method))}

    def model(self) -> RunConfig:
        """The run whose numbers of exemplars `like` asks for."""
        assert self.like is not None
        own = [f"{k}={v}" for owner, k, v in self._settings() if owner in _names(self.like)]
        return dataclasses.replace(self, method=(self.like,), like=None, set=tuple(own)).cells()[0]

    def _settings(self) -> Iterator[tuple[str, str, str]]:
        """Owner ("" if none is named), key and value of each `--set` item."""
        for item in self.set:
            name, equals, value = item.partition("=")
            owner, _, key = name.rpartition(".")
            if not equals or not key:
                raise UserError(f"--set {item}: write key=value, for example --set swap=0")
            yield owner, key, value

    def identity(self) -> dict[str, Any]:
        """All that may change a result, as plain types: the `config` of a result.json."""
        return {
            spec.name: _plain(getattr(self, spec.name))
            for spec in dataclasses.fields(self)
            if not spec.metadata.get("where")
        }

    def fingerprint(self) -> str:
        """Hash of everything that may change a result; two equal ones are the same experiment."""
        (cell,) = self.cells()  # in which settings stand in one order and one way of writing
        return hashlib.sha256(json.dumps(cell.identity(), sort_keys=True).encode()).hexdigest()

    def folder(self) -> Path:
        """Where this cell's results lie: readable, and unique through the fingerprint."""
        budget = f"{self.memory}-{self.currency}" + (f"-like-{self.like}" if self.like else "")
        setting = f"{_safe(Path(self.dataset).name)}-{self.phases}phases-{_safe(budget)}"
        method = _safe(Path(self.method[0]).name.replace(".py:", "-").replace(":", "-"))
        return self.output / setting / method / f"seed{self.seeds[0]}-{self.fingerprint()[:8]}"

    def to_json(self) -> dict[str, Any]:
        """All fields as plain types; `from_mapping` reads them back."""
        return {spec.name: _plain(getattr(self, spec.name)) for spec in dataclasses.fields(self)}

    def command(self) -> str:
        """The shortest command that gives this configuration again."""
        words = ["python -m benchmark.run"]
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if value == spec.default or spec.metadata.get("where"):
                continue
            texts = value if isinstance(value, tuple) else ("none" if value is None else value,)
            words.append(f"--{dashed(spec.name)} {shlex.join(map(str, texts))}")
        return " ".join(words)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def dashed(name: str) -> str:
    """A field's name as an option, without the two dashes."""
    return name.replace("_", "-")


def _names(*methods: str | None) -> set[str]:
    """What may stand before the dot of `--set`: a method with or without its preset."""
    return {name for method in methods if method for name in (method, method.partition("@")[0])}


def _safe(text: str) -> str:
    """A name that is fit for a folder on every system."""
    return "".join(c if c.isalnum() or c in "-._@" else "_" for c in text)[:80]
