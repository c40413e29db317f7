"""What the configurations are made from, as far as their files cannot say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mm_imagenet_r.mini.settings import EDITIONS


@dataclass(frozen=True, slots=True)
class Origin:
    """What the Hub is told of the data a configuration is made from.

    Attributes:
        name: Of its parts of the card.
        license: Identifier of the Hub.
        annotations: Who labelled and captioned, in the words of the Hub.
        sources: What it was made from, in the words of the Hub.
        url: Where the data set is described.
        citations: The works to be cited.
        published: Date of the latest of these; an export has no date, so that the same export
            gives the same files everywhere.
        tags: What else to find it by.
        title: Name of the data set.
        template: Name of its card in this package.
    """

    name: str
    license: str
    annotations: tuple[str, ...]
    sources: str
    url: str
    citations: tuple[str, ...]
    published: str
    tags: tuple[str, ...] = ()
    title: str = "MM-ImageNet-R"
    template: str = "dataset_card.md"


_PAPER: Final = "https://arxiv.org/abs/2412.09549"
_LEE: Final = (
    "Lee, Lee, Chiu, Tsai: Exemplar Masking for Multimodal Incremental Learning, arXiv 2412.09549"
)
_HENDRYCKS: Final = (
    "Hendrycks et al.: The Many Faces of Robustness: A Critical Analysis of Out-of-Distribution "
    "Generalization, ICCV 2021"
)
_WANG: Final = (
    "Wang, Kumar, Thome, Cord, Precioso: Recipe Recognition with Large Multimodal Food Dataset, "
    "ICME Workshops 2015"
)

DRAWN: Final = Origin(
    "mini",
    "mit",
    ("machine-generated",),
    "original",
    url=_PAPER,
    citations=(_LEE,),
    published="2024-12-12",
    tags=("synthetic",),
)
IMAGENET_R: Final = Origin(
    "imagenet-r",
    "other",
    ("found", "machine-generated"),
    "extended|other-imagenet-r",
    url=_PAPER,
    citations=(_LEE, _HENDRYCKS),
    published="2024-12-12",
)
FOOD_101: Final = Origin(
    "food-101",
    "unknown",
    ("found",),
    "extended|other-upmc-food-101",
    url="https://doi.org/10.1109/ICMEW.2015.7169757",
    citations=(_WANG,),
    published="2015-06-29",
    title="UPMC Food-101",
    template="food101_card.md",
)
_BY_NAME: Final = {**dict.fromkeys(EDITIONS, DRAWN), "upmc_food101": FOOD_101}


def origin_of(configuration: str) -> Origin:
    """Return the origin of a configuration: all others are caption sets of ImageNet-R."""
    return _BY_NAME.get(configuration, IMAGENET_R)
