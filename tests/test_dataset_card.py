"""The card's header holds words the Hub knows, and its text says what is true of `mini`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard

import mm_imagenet_r
from mm_imagenet_r.builder import SOURCES
from mm_imagenet_r.mini import settings

CARD = Path(__file__).resolve().parent.parent / "dataset_card.md"
RESOURCES = Path(datasets.__file__).parent / "utils" / "resources"


class NoDuplicates(yaml.SafeLoader):
    """YAML allows a key twice and silently takes the last."""


def _mapping(loader: NoDuplicates, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [(loader.construct_object(k), loader.construct_object(v, True)) for k, v in node.value]  # type: ignore[no-untyped-call]
    assert len(dict(pairs)) == len(pairs), "a key occurs twice"
    return dict(pairs)


NoDuplicates.add_constructor("tag:yaml.org,2002:map", _mapping)


@pytest.fixture
def header() -> dict[str, Any]:
    text = CARD.read_text(encoding="utf-8").split("---\n")[1]
    loaded: dict[str, Any] = yaml.load(text, Loader=NoDuplicates)
    return loaded


def test_words_are_those_of_the_hub(header: dict[str, Any]) -> None:
    creators = json.loads((RESOURCES / "creators.json").read_text())
    sizes = json.loads((RESOURCES / "size_categories.json").read_text())
    assert set(header["annotations_creators"]) <= set(creators["annotations"])
    assert set(header["language_creators"]) <= set(creators["language"])
    assert set(header["size_categories"]) <= set(sizes)
    assert header["license"] in {"mit", "other"}
    assert set(header["task_categories"]) <= {"image-classification", "image-to-text"}


def test_configurations_are_those_there_are(header: dict[str, Any]) -> None:
    card = DatasetCard.load(CARD)
    configs = MetadataConfigs.from_dataset_card_data(card.data)
    assert configs.get_default_config_name() == "mini"
    assert configs.keys() <= SOURCES.keys()
    for name, config in configs.items():
        paths = {file["split"]: file["path"] for file in config["data_files"]}
        assert paths == {part: f"data/{name}/{part}-*.parquet" for part in ("train", "test")}


def test_figures_of_mini_are_true() -> None:
    text = CARD.read_text(encoding="utf-8")
    mini = mm_imagenet_r.load("mini")
    train, test = len(mini["train"]), len(mini["test"])
    assert f"{train:,} / {test:,} images" in text
    assert f"{settings.TRAIN_PER_CLASS} / {settings.TEST_PER_CLASS} of each class" in text
    assert f"| {settings.NUM_CLASSES} invented" in text
    assert f"{len(set(mini['train']['style']))} renditions" in text
    words = sum(len(caption.split()) for caption in mini["train"]["caption"]) / train
    assert f"about {words:.0f} words" in text
    for column in mini["train"].features:
        assert f"| `{column}` |" in text
