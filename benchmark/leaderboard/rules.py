"""What a board asks of a result beyond being consistent: that it may be ranked with others.

A board takes finished runs on test data, of fixed seeds and class orders, under their own names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmark.config import NAMED
from benchmark.data.known import MM_IMAGENET_R, backbone_named, known, namesake
from benchmark.paths import last_part
from benchmark.registry import REGISTRY
from benchmark.results import schema1
from benchmark.results.file_check import SOURCE
from benchmark.results.schema import Result
from benchmark.wording import method_title

#: Fixed, so that nobody shows the best of many.
SEEDS: Final = range(10)
CLASS_ORDERS: Final = range(1993, 2003)
_HOLDS_TEXT: Final = (str, dict, list)  # of what JSON has; a result is mostly numbers
_LONGEST: Final = 4000  # characters of a text
_DEEPEST: Final = 12  # objects and lists in each other; results have half of it


def faults(folder: Path, result: Result) -> Iterator[str]:
    """Say in words why a consistent result may not stand on a board.

    Args:
        folder: Where it lies.
        result: What was read there.
    """
    strange = next(_unreadable(result), None)
    if strange is not None:
        yield strange
        return
    if result["schema_version"] == 1:
        yield f"schema 1, too old for a board: {schema1.TOO_OLD}. Run it again"
    yield from _unfinished(result)
    yield from _own_choice(result)
    yield from _under_another_name(result)
    yield from _method(folder, result)


def notes(result: Result) -> Iterator[str]:
    """What the first level leaves open of a result."""
    if _known(result) is None:
        name = result["dataset"]["name"]
        yield f"nothing is shipped about the data set {name}: labels and hashes are not checked"


def _known(result: Result) -> Any:
    config, data = result["config"], result["dataset"]
    return known(str(config.get("dataset")), data["split"], "test")


def _unfinished(result: Result) -> Iterator[str]:
    if not result["complete"] or result["config"].get("stop_after"):
        yield "not all phases are learnt: a board takes whole runs"
    if (evaluated := result["config"].get("evaluate_on", "test")) != "test":
        yield f"evaluated on {evaluated} data: a board takes runs on test data"
    found = _known(result)
    if found is not None and found.part is not None:
        left_out = result["dataset"]["left_out"]
        if left_out or result["config"].get("partial"):
            yield f"{left_out} images left out: a board takes the whole of {found.name}"


def _own_choice(result: Result) -> Iterator[str]:
    if result["seed"] not in SEEDS:
        yield f"seed {result['seed']}: a board takes seeds {SEEDS[0]} to {SEEDS[-1]}"
    order = result["class_order"]["seed"]
    if order is not None and order not in CLASS_ORDERS:
        yield (
            f"class order seed {order}: a board takes {CLASS_ORDERS[0]} to {CLASS_ORDERS[-1]}, "
            "the natural order and published ones"
        )


def _under_another_name(result: Result) -> Iterator[str]:
    """Data and backbones that are known have their own names, and nothing else has them."""
    data, asked = result["dataset"], str(result["config"].get("dataset"))
    shown = {last_part(name).partition(":")[0] for name in (asked, data["name"])}
    if shown & NAMED["dataset"] and not is_named(asked):
        yield f"dataset {asked!r} is shown as {data['name']!r}, which is another data set"
    if twin := namesake(data["data_sha256"], data["split_sha256"]):
        name, split = twin
        same = is_named(asked) and asked.partition(":")[0] == name
        if not same or (split and data["split"] != split):
            words = f"{name}, split {split}" if split else name
            yield f"data or test part are those of {words}, under another name"
    backbone = result["backbone"]
    asked = str(result["config"].get("backbone"))
    shipped = backbone_named(backbone["sha256"]) or asked
    if shipped != asked or (last_part(asked) in NAMED["backbone"] and backbone["name"] != asked):
        yield f"backbone {asked!r} has the hash or the name of another one"


def _method(folder: Path, result: Result) -> Iterator[str]:
    """A registered method is one; any other says that it is not, in its name and its title."""
    spec = result["config"]["method"][0]
    address, at, preset = spec.partition("@")
    title = _plain(method_title(result))
    if at and not re.fullmatch(r"\w+", preset, re.ASCII):
        yield f"method {spec!r}: {preset!r} is no name of a preset"
    if address not in REGISTRY and not re.fullmatch(r"[^:]+(\.py)?:\w+", address, re.ASCII):
        yield f"method {spec!r} is neither registered, nor file.py:Class, nor module:Class"
    own = _plain(address) if address in REGISTRY else ""
    if title != own and title in map(_plain, REGISTRY):
        yield f"method {spec!r} calls itself {method_title(result)!r}, which is another method"
    link = result["about"].get("link", "https://")
    if not link.startswith(("https://", "http://")):
        yield "about.link is no http address"
    if address in REGISTRY and (folder / SOURCE).is_dir():
        file = REGISTRY[address][0].partition(":")[0].replace(".", "/") + ".py"
        if not (folder / SOURCE / file).is_file():
            yield f"{SOURCE}/ has no {file}, which {address} is written in"


def is_named(dataset: str) -> bool:
    """Whether a data set is one that this program knows by name, so that no folder is meant.

    >>> [is_named(name) for name in ("mini", "mm_imagenet_r:mine", "mini:mine", "my/mini")]
    [True, True, False, False]
    """
    return dataset in NAMED["dataset"] or dataset.partition(":")[0] == MM_IMAGENET_R


def _plain(title: str) -> str:
    """A title in letters and digits alone.

    >>> _plain("Exemplar masking"), _plain("exemplar_masking")
    ('exemplarmasking', 'exemplarmasking')
    """
    return "".join(c for c in title.casefold() if c.isalnum())


def _unreadable(value: object, where: str = "", depth: int = 0) -> Iterator[str]:
    """Texts that people cannot read as they stand: control and invisible characters, or long.

    Also what is nested deeper than any result, which others may not be able to read.
    """
    inside = depth + 1
    if depth > _DEEPEST:
        yield f"{where[:60]} is nested deeper than {_DEEPEST} levels"
    elif isinstance(value, str):
        if len(value) > _LONGEST:
            yield f"{where} is longer than {_LONGEST:,} characters"
        elif not value.isprintable():
            yield f"{where} holds control or invisible characters: {value[:60]!a}"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _unreadable(key, f"a key of {where or 'the result'}", inside)
            if isinstance(item, _HOLDS_TEXT):
                yield from _unreadable(item, f"{where}.{key}" if where else key, inside)
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            if isinstance(item, _HOLDS_TEXT):
                yield from _unreadable(item, f"{where}[{index}]", inside)
