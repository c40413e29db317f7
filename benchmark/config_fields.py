"""Every option of a run with its default and its help text, in the order of `--help`.

To add one, add a field here: command line, configuration file and results follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.budget import CURRENCIES, GROWTHS
from benchmark.option_names import DEFAULT_SEED
from mm_imagenet_r.catalog import CATALOG, option_takers


def _option(default: Any, text: str, **extra: Any) -> Any:
    """A field with its help text; `affects_result=False` marks what cannot change any result."""
    return field(default=default, metadata={"help": text, **extra})


def _place(default: Any, text: str, **extra: Any) -> Any:
    return _option(default, text, affects_result=False, **extra)


def _table(default: str, entries: Mapping[str, str], question: str = "") -> Any:
    """One of several words, each with what it says in the help text."""
    text = question + "; ".join(f"{name}: {says}" for name, says in entries.items())
    return _option(default, text, choices=tuple(entries))


@dataclass(frozen=True)
class Fields:
    """The fields of `benchmark.config.RunConfig`."""

    method: tuple[str, ...] = _option(
        ("exemplar_masking",),
        "names of methods (--list shows them), file.py:Class or package.module:Class; "
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
    image_column: str | None = _option(None, "image column of a table, if it is not found")
    caption_column: str | None = _option(None, "its caption column")
    label_column: str | None = _option(None, "its label column")
    bad_images: str = _option(
        "error",
        "your own images that do not decode: error names them and stops, skip leaves them out",
        choices=("error", "skip"),
    )
    test_fraction: float = _option(
        0.2, "share of each class split off for testing if the data have no test part"
    )
    split_seed: int = _option(0, "seed of that split, and of the validation split")
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
        "runs that learn the same number",
    )
    class_order_seed: int | None = _option(
        DEFAULT_SEED, "seed of the class order; 'none' keeps it natural"
    )
    class_order: str | None = _option(
        None, "instead, a published order of mm_imagenet_r: coda, coda:N, mammoth, mammoth:N"
    )

    memory: str = _option(
        "5", "what may be kept: 5 = as much as five untouched samples per class; 20MB = in total"
    )
    growth: str = _table("per-class", {name: one.option for name, one in GROWTHS.items()})
    currency: str = _table(
        "bytes",
        {name: one.option for name, one in CURRENCIES.items() if one.option},
        "what is counted; ",
    )
    match_exemplars_of: str | None = _option(
        None, "keep as many exemplars as this method did under the same options (run it first)"
    )

    backbone: str = _option(
        "tiny",
        "pretrained ViLT: tiny, a folder, or a Hub id such as dandelin/vilt-b32-mlm "
        "(ID@REVISION for one version of it)",
    )
    tuning: str | None = _option(
        None,
        "what is trained besides the head: scales and shifts, everything, or nothing (default: the "
        "method's recipe, else ssf)",
        choices=("ssf", "full", "head"),
    )
    max_text_length: int | None = _option(
        None, "longest text in tokens, the rest is cut off (default: the backbone's own)"
    )
    epochs: int = _option(
        1,
        "training steps of a phase, as passes over its new samples; every method takes the same "
        "number of steps, whatever is in its memory",
    )
    steps: int | None = _option(None, "instead, the number of training steps per phase")
    batch_size: int = _option(32, "global batch, over all processes")
    micro_batches: int = _option(
        2,
        "parts in which a batch is computed; the number of processes changes only rounding",
    )
    learning_rate: float | None = _option(
        None,
        "peak learning rate (default: the method's recipe, else 1e-2 if tuning is ssf or head, "
        "1e-3 if full)",
    )
    weight_decay: float | None = _option(
        None,
        "applies to matrices, not to scales, shifts and biases (default: the method's recipe, else "
        "0.01)",
    )
    recipe: str | None = _place(  # the settings that it fills in do affect the result
        None,
        "for all settings that you do not give, use those that python -m benchmark.tune chose "
        "under this name",
    )
    precision: str = _option(
        "no", "mixed precision; fp16 needs a GPU", choices=("no", "bf16", "fp16")
    )

    device: str = _place("auto", "where to compute: auto, cpu, cuda or mps")
    jobs: int = _place(1, "how many runs (methods x seeds) at once, each in a process of its own")
    threads: int | None = _place(
        None,
        "CPU threads of a run; numbers differ in rounding only (default: OMP_NUM_THREADS, else 1 "
        "for the tiny backbone or several jobs, else as many as there are idle cores)",
    )
    workers: int = _place(0, "additional processes that prepare batches")
    checkpoint_seconds: float = _place(60.0, "minimum seconds between two checkpoints")
    output: Path = _place(Path("runs"), "folder of all results")
    recipes: Path = _place(Path("recipes"), "folder of all recipes")
    tuned_by: Path | None = _place(
        None,
        "recipe file from which the given settings were taken, kept with the result (--recipe "
        "implies it)",
    )
    overwrite: bool = _place(False, "discard an earlier run of the same kind")
    dry_run: bool = _place(False, "print the plan, its cost and its time, train nothing")
    tracker: str = _place(
        "none",
        "also send curves of loss and accuracy there",
        choices=("none", "tensorboard", "trackio", "wandb"),
    )
