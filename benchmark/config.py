"""One frozen dataclass is the command line, the configuration file and the provenance of a result.

Nothing heavy is imported here: `--help` and `--list` must answer at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
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
        (), "a method's own settings as key=value, or method.key=value where several methods run"
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
    epochs: int = _option(10, "epochs a phase")
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
                    f"--{_dashed(spec.name)} {value}: {did_you_mean(str(value), choices)}"
                )
        for name in ("method", "seeds"):
            if not getattr(self, name):
                raise UserError(f"--{name} needs at least one value")
        for name in ("phases", "batch_size", "micro_batches"):
            if getattr(self, name) < 1:
                raise UserError(f"--{_dashed(name)} must be at least 1, not {getattr(self, name)}")
        if self.epochs < 0 or self.workers < 0:
            raise UserError("--epochs and --workers cannot be negative")
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise UserError(f"--learning-rate must be positive, not {self.learning_rate}")
        if not 0 < self.test_fraction < 1:
            raise UserError(f"--test-fraction lies between 0 and 1, not {self.test_fraction}")

    def cells(self) -> list[RunConfig]:
        """One configuration per method and seed, seeds innermost."""
        return [
            dataclasses.replace(self, method=(method,), seeds=(seed,))
            for method in self.method
            for seed in self.seeds
        ]

    def settings_of(self, method: str) -> dict[str, str]:
        """The `--set` items meant for `method`, as strings.

        >>> RunConfig(set=("tau=1", "ssf.tau=2")).settings_of("ssf@paper")
        {'tau': '2'}
        """
        found: dict[str, str] = {}
        for item in sorted(self.set, key=lambda text: "." in text.split("=", 1)[0]):
            key, equals, value = item.partition("=")
            if not equals or not key:
                raise UserError(f"--set {item}: write key=value, for example --set augment=0")
            owner, dot, name = key.rpartition(".")
            if not dot:
                found[key] = value
            elif owner == method.partition("@")[0]:
                found[name] = value
        return found

    def fingerprint(self) -> str:
        """Hash of everything that may change a result; two equal ones are the same experiment."""
        relevant = {
            spec.name: _plain(getattr(self, spec.name))
            for spec in dataclasses.fields(self)
            if not spec.metadata.get("where")
        }
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()

    def folder(self) -> Path:
        """Where this cell's results lie: readable, and unique through the fingerprint."""
        budget = f"like-{_safe(self.like)}" if self.like else f"{self.memory}-{self.currency}"
        setting = f"{_safe(Path(self.dataset).name)}-{self.phases}phases-{_safe(budget)}"
        method = _safe(self.method[0].replace(".py:", "-").replace(":", "-"))
        return self.output / setting / method / f"seed{self.seeds[0]}-{self.fingerprint()[:8]}"

    def to_json(self) -> dict[str, Any]:
        """Plain types only; `from_mapping` reads it back."""
        return {spec.name: _plain(getattr(self, spec.name)) for spec in dataclasses.fields(self)}

    def command(self) -> str:
        """The shortest command that gives this configuration again."""
        words = ["python -m benchmark.run"]
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if value == spec.default or spec.metadata.get("where"):
                continue
            text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"--{_dashed(spec.name)} {text.lower() if value is None else text}")
        return " ".join(words)


def from_mapping(values: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Check and convert the fields of a configuration file.

    Raises:
        UserError: An unknown name, or a value of another type than the field's.
    """
    hints = typing.get_type_hints(RunConfig)
    converted: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise UserError(f"{source}: unknown option {name!r}: {did_you_mean(name, hints)}")
        converted[name] = _convert(value, hints[name], f"{source}: {name}")
    return converted


def read_file(path: Path) -> dict[str, Any]:
    """Read a TOML or JSON configuration; a result.json serves too (its `config` is taken)."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--config {path} cannot be read ({error.strerror}): check the path"
        ) from error
    try:
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise UserError(f"--config {path} is neither valid TOML nor JSON: {error}") from error
    if "schema_version" in values:
        values = values["config"]
    return from_mapping(values, source=str(path))


def parser() -> argparse.ArgumentParser:
    """The command line of `python -m benchmark.run`, made from the fields above."""
    command = argparse.ArgumentParser(
        prog="python -m benchmark.run",
        description="Run class-incremental methods under one memory budget.",
        epilog=(
            "examples:\n"
            "  python -m benchmark.run --method exemplar_masking\n"
            "  python -m benchmark.run --method ssf exemplar_masking --memory 1 --seeds 0 1 2\n"
            "  python -m benchmark.run --method exemplar_masking@paper --currency samples\n"
            "  python -m benchmark.run --method mine.py:MyMethod --dataset photos/ --phases 5\n"
            "A run that was stopped goes on when the same command is given again."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    command.add_argument("--list", nargs="?", const="", metavar="METHOD",
                         help="list the methods, or one method's settings, and stop")  # fmt: skip
    command.add_argument(
        "--config", type=Path, help="TOML or JSON file (or a result.json); options override it"
    )
    hints = typing.get_type_hints(RunConfig)
    for spec in dataclasses.fields(RunConfig):
        text = spec.metadata["help"].replace("%", "%%")
        many = typing.get_origin(hints[spec.name]) is tuple
        default: Any = spec.default
        shown = " ".join(map(str, default)) if many else default
        if default not in (None, (), False):
            text += f" (default: {shown})"
        kind: dict[str, Any]
        if hints[spec.name] is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        else:
            kind = {"nargs": "+" if many else None, "metavar": _metavar(spec, hints[spec.name])}
        command.add_argument(f"--{_dashed(spec.name)}", help=text, **kind)
    return command


def parse(arguments: Sequence[str] | None = None) -> tuple[RunConfig, argparse.Namespace]:
    """Command line over configuration file over defaults.

    Raises:
        UserError: Anything that is not a valid configuration.
    """
    given = parser().parse_args(arguments)
    values = read_file(given.config) if "config" in given else {}
    named = {k: v for k, v in vars(given).items() if k not in ("config", "list")}
    values.update(from_mapping(named, source="command line"))
    return RunConfig(**values), given


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Turn a string or a JSON value into the type a field has."""
    if typing.get_origin(hint) is tuple:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_convert(item, typing.get_args(hint)[0], where) for item in items)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    try:
        if hint is bool:
            if not isinstance(value, bool):
                raise ValueError
            return value
        if hint is int and isinstance(value, float):
            raise ValueError
        if hint is str and not isinstance(value, (str, int, float)):
            raise ValueError
        return hint(value)
    except (ValueError, TypeError):
        raise UserError(f"{where}: {value!r} is no {hint.__name__}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _metavar(spec: dataclasses.Field[Any], hint: Any) -> str:
    if spec.metadata.get("choices"):
        return "{" + ",".join(spec.metadata["choices"]) + "}"
    kinds = [kind for kind in typing.get_args(hint) if kind not in (type(None), Ellipsis)]
    kind = kinds[0] if kinds else hint
    return {"int": "N", "float": "X", "Path": "PATH"}.get(kind.__name__, "TEXT")


def _safe(text: str) -> str:
    """A name that is fit for a folder on every system."""
    return "".join(c if c.isalnum() or c in "-._@" else "_" for c in text)
