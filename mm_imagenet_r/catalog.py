"""The data sets that have a name, and all that is known of them without opening one.

To add one, write a source (a subclass of `mm_imagenet_r.source.Source`) and its entry here: then
`--dataset NAME`, `load_dataset(NAME)`, the options it takes and the card of its export are there.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mm_imagenet_r.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from mm_imagenet_r.source import Source

MM_IMAGENET_R: Final = "mm_imagenet_r"


@dataclass(frozen=True, slots=True)
class Origin:
    """What the Hub shows of the data; an export has no date, so equal ones have equal files."""

    title: str
    license: str  # identifier of the Hub
    annotations: tuple[str, ...]  # who labeled and captioned, in the words of the Hub
    sources: str  # what it was made from, in the words of the Hub
    url: str  # where it is described
    citations: tuple[str, ...]
    published: str  # date of the latest of these works
    tags: tuple[str, ...] = ()  # what else to find it by
    license_link: str = ""  # where a license that the Hub does not know can be read
    template: str = "plain_card.md"  # its card, a file in `mm_imagenet_r/export`
    part: str = ""  # name of its parts of that template


@dataclass(frozen=True, slots=True)
class Entry:
    """A named data set."""

    name: str
    source: str  # "module:function" that takes `options` by name and returns its Source
    origin: Origin
    options: tuple[str, ...] = ()  # which of data_dir, split_name and partial it takes
    needs: str = ""  # what data_dir must be, continuing "the folder"; "" if it needs no folder
    environment: str = ""  # variable that may give data_dir
    captions: str = ""  # default caption set; `source` takes which one as its option `captions`
    registered: bool = True  # whether load_dataset(NAME) finds it, beside configurations

    def folder(self, data_dir: str | os.PathLike[str] | None = None) -> str | None:
        """Return the folder that is given, by the variable if not by the argument."""
        return os.fspath(data_dir) if data_dir else os.environ.get(self.environment) or None

    def what_is_needed(self) -> str:
        """Return what follows "needs data_dir" in a message."""
        or_set = f" (or set {self.environment})" if self.environment else ""
        return f"{or_set}: the folder {self.needs}"


_PAPER: Final = "https://arxiv.org/abs/2412.09549"
_LEE: Final = (
    "Lee, Lee, Chiu, Tsai: Exemplar Masking for Multimodal Incremental Learning, arXiv 2412.09549"
)
_DRAWN: Final = Origin(
    "MM-ImageNet-R",
    "mit",
    ("machine-generated",),
    "original",
    _PAPER,
    (_LEE,),
    "2024-12-12",
    tags=("synthetic",),
    template="dataset_card.md",
    part="mini",
)
_IMAGENET_R: Final = Origin(
    "MM-ImageNet-R",
    "other",
    ("found", "machine-generated"),
    "extended|other-imagenet-r",
    _PAPER,
    (
        _LEE,
        "Hendrycks et al.: The Many Faces of Robustness: A Critical Analysis of "
        "Out-of-Distribution Generalization, ICCV 2021",
    ),
    "2024-12-12",
    license_link="https://github.com/hendrycks/imagenet-r",
    template="dataset_card.md",
    part="imagenet-r",
)
_FOOD_101: Final = Origin(
    "UPMC Food-101",
    "unknown",
    ("found",),
    "extended|other-upmc-food-101",
    "https://doi.org/10.1109/ICMEW.2015.7169757",
    (
        "Wang, Kumar, Thome, Cord, Precioso: Recipe Recognition with Large Multimodal Food "
        "Dataset, ICME Workshops 2015",
    ),
    "2015-06-29",
    template="food101_card.md",
)

CATALOG: Final[dict[str, Entry]] = {
    entry.name: entry
    for entry in (
        Entry("mini-1", "mm_imagenet_r.mini:first", _DRAWN, registered=False),
        Entry("mini", "mm_imagenet_r.mini:second", _DRAWN, registered=False),
        Entry(
            MM_IMAGENET_R,
            "mm_imagenet_r.imagenet_r:find_imagenet_r",
            _IMAGENET_R,
            options=("data_dir", "split_name", "partial"),
            needs="that holds imagenet-r.tar, which python -m mm_imagenet_r.download DIR fetches, "
            "and captions/, which python -m mm_imagenet_r.captions makes",
            environment="MM_IMAGENET_R_DATA_DIR",
            captions="instructblip",
        ),
        Entry(
            "upmc_food101",
            "mm_imagenet_r.food101:source",
            _FOOD_101,
            options=("data_dir", "partial"),
            needs="into which it was unpacked, with images/ and texts/",
        ),
    )
}


def named(text: str) -> Entry | None:
    """Return what a `--dataset` names: a data set, or a caption set of one (NAME:CAPTIONS).

    >>> [found and found.name for found in map(named, ["mini", "mm_imagenet_r:mine", "mini:a"])]
    ['mini', 'mm_imagenet_r', None]
    """
    name, colon, _ = text.partition(":")
    entry = CATALOG.get(name)
    return entry if entry is not None and (entry.captions or not colon) else None


def full_name(text: str) -> str:
    """Return a `--dataset` with its caption set, where the data set has several.

    >>> full_name("mm_imagenet_r"), full_name("mini")
    ('mm_imagenet_r:instructblip', 'mini')
    """
    entry = CATALOG.get(text)
    return f"{text}:{entry.captions}" if entry and entry.captions else text


def entry_of(configuration: str) -> Entry:
    """Return the entry of a configuration: all other names are caption sets."""
    return CATALOG.get(configuration, CATALOG[MM_IMAGENET_R])


def option_takers(option: str) -> str:
    """Name the data sets that take an option.

    >>> option_takers("split_name"), option_takers("partial")
    ('mm_imagenet_r', 'mm_imagenet_r or upmc_food101')
    """
    return " or ".join(entry.name for entry in CATALOG.values() if option in entry.options)


def find_source(
    configuration: str,
    data_dir: str | os.PathLike[str] | None = None,
    split_name: str | None = None,
    *,
    partial: bool = False,
) -> Source:
    """Return the source of a configuration: a data set, or a caption set of MM-ImageNet-R.

    `data_dir` is from the environment if not given; see `mm_imagenet_r.load` for the options.
    UserError if there is no such configuration, its files are absent or damaged, or it does not
    take an option.
    """
    entry = entry_of(configuration)
    given = {"data_dir": entry.folder(data_dir), "split_name": split_name, "partial": partial}
    for option, value in given.items():
        if value and option not in entry.options:
            raise UserError(
                f"data set {entry.name!r} takes no {option}, only {option_takers(option)} does: "
                "leave it out"
            )
    if entry.needs and not given["data_dir"]:
        what = entry.name
        if configuration not in CATALOG:
            hint = did_you_mean(configuration, CATALOG)
            what = f"there is no data set {configuration!r}: {hint}. As a caption set of {what} it"
        raise UserError(f"{what} needs data_dir{entry.what_is_needed()}")
    arguments = {option: given[option] for option in entry.options}
    if entry.captions:
        arguments["captions"] = entry.captions if configuration == entry.name else configuration
    module, _, function = entry.source.partition(":")
    found: Source = getattr(importlib.import_module(module), function)(**arguments)
    return found
