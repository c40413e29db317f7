"""One frozen dataclass is the command line, the configuration file and the provenance of a result.

Nothing heavy is imported here: `--help` and `--list` must answer at once.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.class_order import DEFAULT_SEED
from benchmark.config_check import check
from benchmark.option_names import NAMED, amount, dashed, method_name, names_of
from benchmark.paths import last_part, safe_name, same_path
from benchmark.recipe import (
    DEFAULTS,
    DEFAULTS_VERSION,
    LEARNING_RATES,
    RECIPE,
    Recipe,
    resolve_recipe,
)
from mm_imagenet_r.catalog import CATALOG, full_name, option_takers
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.splits import canonical

__all__ = [
    "DEFAULTS", "DEFAULTS_VERSION", "LEARNING_RATES", "NAMED", "RECIPE", "Recipe", "RunConfig",
    "dashed", "method_name", "names_of", "resolve_recipe",
]  # fmt: skip
_FILES = ("captions", "data_dir", "tuned_by")


def _option(default: Any, text: str, **extra: Any) -> Any:
    """A field with its help text; `affects_result=False` marks what cannot change any result."""
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on. With one method and one seed it is a cell of a grid.

    A field's name with dashes is its command-line option; a TOML or JSON file uses the names as
    they stand here.
    """

    method: tuple[str, ...] = _option(
        ("exemplar_masking",),
        "names of methods (--list shows them), or file.py:Class, or package.module:Class; "
        "NAME@PRESET takes a preset of one",
    )
    set: tuple[str, ...] = _option(
        (),
        "the method's own settings as key=value (--list METHOD shows them); METHOD.key=value "
        "where several methods run, or for the one of --match-exemplars-of",
    )
    seeds: tuple[int, ...] = _option(
        (0,), "one run of each method per seed (of initial weights, data order, masks)"
    )

    dataset: str = _option(
        "mini",
        ", ".join(f"{name}:CAPTIONSET" if one.captions else name for name, one in CATALOG.items())
        + ", a folder <class>/*.jpg or {train,test}/<class>/*.jpg, Parquet, or a Hub id "
        "org/name[@REVISION][:CONFIG]",
    )
    data_dir: Path | None = _option(
        None,
        f"folder of {option_takers('data_dir')} (default of mm_imagenet_r: that in "
        "MM_IMAGENET_R_DATA_DIR)",
    )
    split_name: str | None = _option(
        None,
        f"split of {option_takers('split_name')}: seed42, coda, seeded:N, folder (default: folder "
        "where the images are in train/ and test/, else seed42)",
    )
    partial: bool = _option(
        False,
        f"continue where images or captions of {option_takers('partial')} are absent or broken",
    )
    captions: Path | None = _option(
        None, "csv, tsv, jsonl or Parquet with the columns file_name and caption"
    )
    image_column: str | None = _option(
        None, "image column of a table, if it is not found by itself"
    )
    caption_column: str | None = _option(None, "its caption column")
    label_column: str | None = _option(None, "its label column")
    bad_images: str = _option(
        "error",
        "your own images that do not decode: error names them and stops, skip leaves them out",
        choices=("error", "skip"),
    )
    test_fraction: float = _option(
        0.2, "share of each class cut off for testing if the data has no test part"
    )
    split_seed: int = _option(0, "seed of that cut, and of the validation cut")
    evaluate_on: str = _option(
        "test",
        "validation: hold out a fifth of the training data instead, for choosing settings",
        choices=("test", "validation"),
    )

    phases: int = _option(10, "number of phases the classes are divided into")
    base_classes: int | None = _option(None, "classes of the first phase (default: equal phases)")
    stop_after: int | None = _option(
        None,
        "learn only this many of the phases (default: all); tables compare such a run only with "
        "runs that learn as many",
    )
    class_order_seed: int | None = _option(
        DEFAULT_SEED, "seed of the class order; 'none' keeps it natural"
    )
    class_order: str | None = _option(
        None, "in its place a published order of mm_imagenet_r: coda, coda:N, mammoth, mammoth:N"
    )

    memory: str = _option(
        "5", "what may be kept: 5 = as much as five untouched samples a class; 20MB = in total"
    )
    growth: str = _option(
        "per-class",
        "per-class: the memory grows with the classes; total: it is fixed and divided among them",
        choices=("per-class", "total"),
    )
    currency: str = _option(
        "bytes",
        "what is counted: real bytes of all that is kept, or the share of each image's pixels",
        choices=("bytes", "samples"),
    )
    match_exemplars_of: str | None = _option(
        None,
        "keep as many exemplars as this method did under the same options (run it first)",
    )

    backbone: str = _option(
        "tiny", "pretrained ViLT: tiny, a folder, or a Hub id such as dandelin/vilt-b32-mlm"
    )
    tuning: str | None = _option(
        None,
        "what is trained beside the head: scales and shifts, everything, or nothing (default: the "
        "method's recipe, else ssf)",
        choices=("ssf", "full", "head"),
    )
    max_text_length: int | None = _option(
        None, "longest text in tokens, the rest is cut off (default: the backbone's own)"
    )
    epochs: int = _option(
        1,
        "training steps of a phase, as passes over its new samples; the same number of steps for "
        "every method, whatever its memory holds",
    )
    steps: int | None = _option(None, "in its place the number of training steps a phase")
    batch_size: int = _option(32, "global batch, over all processes")
    micro_batches: int = _option(
        2,
        "parts a batch is computed in; any number of processes gives the same, but for rounding",
    )
    learning_rate: float | None = _option(
        None,
        "peak learning rate (default: the method's recipe, else 1e-2 if tuning is ssf or head, "
        "1e-3 if full)",
    )
    weight_decay: float | None = _option(
        None,
        "of matrices; scales, shifts and biases have none (default: the method's recipe, else "
        "0.01)",
    )
    recipe: str | None = _option(
        None,
        "fill in what python -m benchmark.tune chose under this name for each method, where you "
        "give nothing",
        affects_result=False,  # the settings do, and they are written out
    )
    precision: str = _option(
        "no", "mixed precision; fp16 needs a GPU", choices=("no", "bf16", "fp16")
    )

    device: str = _option("auto", "where to compute: auto, cpu, cuda or mps", affects_result=False)
    workers: int = _option(0, "further processes that prepare batches", affects_result=False)
    checkpoint_seconds: float = _option(
        60.0, "least seconds between two checkpoints", affects_result=False
    )
    output: Path = _option(Path("runs"), "folder of all results", affects_result=False)
    recipes: Path = _option(Path("recipes"), "folder of all recipes", affects_result=False)
    tuned_by: Path | None = _option(
        None,
        "recipe file that the settings given are from, to be kept with the result (--recipe gives "
        "it itself)",
        affects_result=False,
    )
    overwrite: bool = _option(
        False, "throw away an earlier run of the same kind", affects_result=False
    )
    dry_run: bool = _option(
        False, "print the plan and its cost, train nothing", affects_result=False
    )
    tracker: str = _option(
        "none",
        "where curves of loss and accuracy are sent too",
        choices=("none", "tensorboard", "trackio", "wandb"),
        affects_result=False,
    )

    def __post_init__(self) -> None:
        """Write names and paths in one way; refuse what is seen to be wrong without any data.

        Raises:
            UserError: See `benchmark.config_check`.
        """
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
            for seed in self.seeds:
                cells.append(
                    dataclasses.replace(self, method=(method,), seeds=(seed,), set=(*own, *alike))
                )
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

    def reference_run(self) -> RunConfig:
        """The run whose numbers of exemplars `match_exemplars_of` asks for, as it is written.

        `benchmark.cells.reference_run` writes it as every cell is written.
        """
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
            **{k: (p := getattr(self, k)) and Path(same_path(str(p))) for k in _FILES},
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
        budget = f"{self.memory}-{self.currency}"
        if self.match_exemplars_of:
            budget += f"-matching-{self.match_exemplars_of}"
        phases = f"{self.stop_after}of{self.phases}" if self.stop_after else f"{self.phases}"
        setting = f"{safe_name(last_part(self.dataset))}-{phases}phases-{safe_name(budget)}"
        method = safe_name(last_part(self.method[0]).replace(".py:", "-").replace(":", "-"))
        return self.output / setting / method / f"seed{self.seeds[0]}-{self.fingerprint()[:8]}"

    def to_json(self) -> dict[str, Any]:
        """All fields as plain types; `from_mapping` reads them back."""
        return {spec.name: _plain(getattr(self, spec.name)) for spec in dataclasses.fields(self)}

    def command(self) -> str:
        """The shortest command that gives this configuration again."""
        words = ["python -m benchmark.run"]
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if value == spec.default or not spec.metadata.get("affects_result", True):
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
