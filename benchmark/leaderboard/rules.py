"""What a board asks of a result beyond being consistent: that it may be ranked with others.

A board takes finished runs on test data, of fixed seeds and class orders, under their own names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmark.data.known import backbone_named, known, namesake
from benchmark.formatting import method_title
from benchmark.leaderboard.declared import declared, file_of
from benchmark.option_names import NAMED
from benchmark.paths import last_part
from benchmark.registry import REGISTRY
from benchmark.results.file_check import recipe_file
from benchmark.results.known_check import config_captions
from benchmark.results.old_schemas import TOO_OLD
from benchmark.results.schema import Result
from benchmark.run_files import SOURCE, TUNING
from mm_imagenet_r.catalog import named
from mm_imagenet_r.errors import summarize

#: Fixed, so that nobody shows the best of many.
SEEDS: Final = range(10)
CLASS_ORDERS: Final = range(1993, 2003)
_HOLDS_TEXT: Final = (str, dict, list)  # of what JSON has; a result is mostly numbers
_ALIKE: Final = str.maketrans("i\u013110", "lllo")  # to the eye, a capital i is a small l
_LETTERS: Final = str.maketrans("+|!", "pll")  # signs that stand for letters, or look like them
_LONGEST: Final = 4000  # characters of a text
_TITLE: Final = 60  # characters of a method's name
_DEEPEST: Final = 12  # objects and lists in each other; results have half of it


def faults(folder: Path, result: Result) -> Iterator[str]:
    """Say in words why a consistent result that was read in `folder` may not stand on a board."""
    strange = next(_unreadable(result), None)
    if strange is not None:
        yield strange
        return
    if result["schema_version"] == 1:
        yield f"schema 1, too old for a board: {TOO_OLD}. Run it again"
    yield from _unfinished(result)
    yield from _own_choice(result)
    yield from _under_another_name(result)
    yield from _method(folder, result)


def notes(result: Result) -> Iterator[str]:
    """What the first level leaves open of a result."""
    if facts := unchecked(result):
        name = result["dataset"]["name"]
        yield f"not checked, as nothing of {name} is shipped to compare with: {', '.join(facts)}"


def unchecked(result: Result) -> tuple[str, ...]:
    """What a result says of its data that nothing shipped with this program can contradict."""
    found = _known(result)
    if found is None:
        return "labels", "test part", "data", "captions", "bytes of a sample"
    own_captions = config_captions(result)
    unit = found.part and found.part.unit(result["schema_version"])
    facts = {
        "data": found.data_sha256 and not own_captions,
        "captions": found.captions_id and not own_captions,
        "bytes of a sample": unit and not own_captions,
    }
    return tuple(name for name, known_here in facts.items() if not known_here)


def _known(result: Result) -> Any:
    config, data = result["config"], result["dataset"]
    return known(str(config.get("dataset")), data["split"], "test")


def _unfinished(result: Result) -> Iterator[str]:
    if not result["complete"] or result["config"].get("stop_after"):
        yield "not all phases are learned: a board takes whole runs"
    if (evaluated := result["config"].get("evaluate_on", "test")) != "test":
        yield f"evaluated on {evaluated} data: a board takes runs on test data"
    found = _known(result)
    if found is not None:
        split, left_out = result["dataset"]["split"], result["dataset"]["left_out"]
        if found.part is None:
            yield f"split {split!r} is not one of {found.name}: its test part cannot be checked"
        if left_out or result["config"].get("partial"):
            yield f"{left_out} images left out: a board needs all of {found.name}"


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
    if at and not re.fullmatch(r"\w+", preset, re.ASCII):
        yield f"method {spec!r}: {preset!r} is not a valid preset name"
    if address not in REGISTRY and not re.fullmatch(r"[^:]+(\.py)?:\w+", address, re.ASCII):
        yield f"method {spec!r} is neither registered, nor file.py:Class, nor module:Class"
    yield from _title(address, method_title(result))
    if "tuning" in result and recipe_file(folder, result["tuning"]) is None:
        recipe = result["tuning"]["recipe"]
        yield f"settings are from recipe {recipe!r}, but {TUNING} is not there: submit it again"
    about = result["about"]
    if not about.get("link", "https://").startswith(("https://", "http://")):
        yield "about.link is not an http address"
    if address not in REGISTRY:
        return
    if not result["backbone"]["sha256"]:
        yield f"backbone.sha256 is empty, but {address} reports that of its backbone"
    own = declared(address)
    for key in sorted(about):
        if about[key] != own.about.get(key):
            yield f"about differs from that of {address}: {key} {about[key]!r}"
    if at and preset not in own.presets:
        yield f"{address} has no preset {preset!r}"
    if strange := sorted(set(result["method_settings"]) - own.settings):
        yield f"{address} has no setting {summarize(strange)}"
    if result["kind"] != (kind := REGISTRY[address].kind):
        yield f"kind {result['kind']!r}, but {address} is {kind}: it was made by another method"
    file = file_of(address)
    if (folder / SOURCE).is_dir() and not (folder / SOURCE / file).is_file():
        yield f"{SOURCE}/ has no {file}, which {address} is written in"


def _title(address: str, title: str) -> Iterator[str]:
    """No method has the name or the title of another one, nor one that looks alike."""
    plain = _plain(title)
    names = {_plain(name): name for name in REGISTRY}
    names |= {_plain(declared(name).about.get("name", name)): name for name in REGISTRY}
    if names.get(plain, address) != address:
        yield (
            f"method {address!r} calls itself {title!r}, which is another method: give its `about` "
            "a name of its own"
        )
    if len(title) > _TITLE:
        yield f"method {address!r} calls itself by {len(title)} characters, more than {_TITLE}"
    if not plain:
        yield f"method {address!r} calls itself {title!r}, without any letter or digit"
    if not plain.isascii():
        yield (
            f"method {address!r} calls itself {title!r}: use Latin letters, since those of other "
            "scripts look like them"
        )


def is_named(dataset: str) -> bool:
    """Whether a data set is one that this program knows by name, so that no folder is meant.

    >>> [is_named(name) for name in ("mini", "mm_imagenet_r:mine", "mini:mine", "my/mini")]
    [True, True, False, False]
    """
    return named(dataset) is not None


def _plain(title: str) -> str:
    r"""A title in letters and digits alone; of those that look alike, one.

    >>> _plain("Exemplar masking") == _plain("exemplar_masking") == _plain("Exempl\u00e1r Masking")
    True
    >>> _plain("|CaRL") == _plain("iCaRL"), _plain("\u2800")
    (True, '')
    >>> _plain("\uff2c2P"), _plain("I2P"), _plain("DER++"), _plain("d\u0435r").isascii()
    ('l2p', 'l2p', 'derpp', False)
    """
    text = unicodedata.normalize("NFKD", title.translate(_LETTERS)).casefold()
    return "".join(c for c in text if c.isalnum()).translate(_ALIKE)


def _unreadable(value: object, where: str = "", depth: int = 0) -> Iterator[str]:
    """Texts that people cannot read as they stand, and what is nested deeper than any result."""
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
