"""From a result of somebody else's to a cell that may run here: nothing of theirs is executed.

Only methods that are registered run, and only where a result names the code that is installed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmark.config import RunConfig
from benchmark.leaderboard.rules import is_named
from benchmark.option_names import NAMED
from benchmark.options import from_mapping
from benchmark.registry import REGISTRY
from benchmark.results.derive import given_config
from benchmark.results.schema import Result
from mm_imagenet_r.errors import UserError, few
from mm_imagenet_r.hashes import json_sha256

if TYPE_CHECKING:
    from benchmark.data import Data
    from benchmark.plan import Cell

#: What of a data set a result says by itself; the name may be another one of the same data.
_DATA: Final = (
    "num_classes", "train", "test", "left_out", "data_sha256", "split", "split_sha256", "captions",
    "captions_id",
)  # fmt: skip
_DECLARED: Final = ("kind", "sees_all_data", "shares_allowance", "about")


@dataclass(frozen=True)
class Means:
    """What a maintainer has and allows.

    `data_dir` holds `mm_imagenet_r` or `upmc_food101`. `trusted` names data sets, backbones and
    caption files that may be opened besides those known by name. The device `auto` is the one
    that a result was computed on, if it is here.
    """

    data_dir: Path | None = None
    trusted: tuple[str, ...] = ()
    device: str = "auto"


def cell_of(result: Result, means: Means, output: Path) -> Cell:
    """The cell of a consistent result, to be computed by the installed code in a folder `output`.

    Raises:
        UserError: Its method is not registered, of another version or declares something else; it
            asks for data or a backbone that may not be opened.
    """
    _refuse_strangers(result, means)
    config = _config(result)

    from benchmark.plan import find_cell_of
    from benchmark.same_code import same_code
    from benchmark.source_hash import harness_sha256, method_sha256

    cell = find_cell_of({**result, "config": config})
    (name,) = cell.config.method
    for what, said, here in (
        ("method", result["method_sha256"], method_sha256(cell.method)),
        ("harness", result["harness_sha256"], harness_sha256()),
    ):
        if not same_code(said, here):
            of = f" of {name}" if what == "method" else ""
            raise UserError(
                f"the code of the {what}{of} differs from the installed one (hash {said[:8]}, not "
                f"{here[:8]}): install that version of this program to verify it further"
            )
    recipe = dataclasses.asdict(cell.recipe)
    for key, said, here in (
        *((key, result[key], getattr(cell.method, key)) for key in _DECLARED),
        ("method_settings", result["method_settings"], dataclasses.asdict(cell.settings)),
        *(
            (f"config.{key}", config[key], None if key in cell.method.unused else value)
            for key, value in recipe.items()
        ),
    ):
        if json_sha256(said) != json_sha256(here):
            raise UserError(f"{key} is {few(said)}, but {name} has {few(here)}")
    return dataclasses.replace(
        cell,
        config=dataclasses.replace(
            cell.config, data_dir=means.data_dir, output=output, device=_device(result, means)
        ),
    )


def open_known(cell: Cell, result: Result) -> Data:
    """The data of a cell in its class order, if they are those of the result.

    Raises:
        UserError: They cannot be opened, or are others.
    """
    data, mean = _open(_data_only(cell.config))
    data = data.in_order(result["class_order"]["order"])
    info: Any = data.info()
    said: Any = result["dataset"]
    for key in _DATA:
        if info[key] != said[key]:
            raise UserError(f"dataset.{key} is {few(said[key])}, but here it is {few(info[key])}")
    if list(data.class_names) != result["class_order"]["names"]:
        raise UserError("class_order.names are not those of the data")
    budget = result["budget"]
    in_bytes = budget["currency"] == "bytes"
    matched = result["match_exemplars_of"] is not None
    for name, value, mean_bytes in (
        ("unit", budget["unit"], mean if in_bytes else 1.0),
        ("sample_bytes", budget["sample_bytes"], 0.0 if matched else mean),
    ):
        if not math.isclose(value or 0.0, mean_bytes, rel_tol=1e-9):
            raise UserError(f"budget.{name} is {value}, but {mean_bytes} for these data")
    return data


def _refuse_strangers(result: Result, means: Means) -> None:
    config = result["config"]
    for name in filter(None, (config["method"][0], config.get("match_exemplars_of"))):
        if str(name).partition("@")[0] not in REGISTRY:
            raise UserError(
                f"this would run the code of {name}, and only registered methods are run: read its "
                "source, and run it yourself if you trust it"
            )
    for option, harmless in (
        ("dataset", is_named(str(config.get("dataset")))),
        ("backbone", config.get("backbone") in NAMED["backbone"]),
        ("captions", config.get("captions") is None),
    ):
        if not harmless and (value := config.get(option)) not in means.trusted:
            raise UserError(f"{option} {value} is opened only with --trust {value}")


def _config(result: Result) -> dict[str, Any]:
    """The configuration as results have it, and nothing that says where to run or write."""
    known = RunConfig().identity()
    if strange := sorted(set(result["config"]) - set(known)):
        raise UserError(f"config.{strange[0]} is not part of a result")
    filled = {**known, **result["config"]}
    written = RunConfig(**from_mapping(given_config(result), source="config")).identity()
    differing = [k for k, v in written.items() if k not in result["from_recipe"] and v != filled[k]]
    if differing:
        raise UserError(f"config.{differing[0]} is not written as in results")
    return filled


def _device(result: Result, means: Means) -> str:
    from benchmark.devices import find_place

    wanted = means.device
    if wanted == "auto":
        wanted = str(result["hardware"].get("device", "cpu"))
    try:
        return find_place(RunConfig(device=wanted)).device
    except UserError:
        if means.device != "auto":
            raise
        return "cpu"


def _data_only(config: RunConfig) -> RunConfig:
    """What data depend on and nothing else, so that equal data are opened once."""
    names = (
        "dataset", "data_dir", "split_name", "partial", "captions", "image_column",
        "caption_column", "label_column", "bad_images", "test_fraction", "split_seed",
        "evaluate_on",
    )  # fmt: skip
    return RunConfig(**{name: getattr(config, name) for name in names})


@functools.lru_cache(maxsize=2)
def _open(config: RunConfig) -> tuple[Data, float]:
    """Data, and the mean bytes of an untouched training sample."""
    from benchmark.plan import open_config_data, whole_bytes

    data = open_config_data(config)
    sizes = whole_bytes(data)
    return data, sum(sizes) / len(sizes)
