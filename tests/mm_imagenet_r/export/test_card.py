"""The header of a card holds words the Hub knows and says what is in the files."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
import yaml
from datasets.utils.metadata import MetadataConfigs
from exporting import FEATURES, made_up
from huggingface_hub import DatasetCard

import mm_imagenet_r
from mm_imagenet_r.captions.audit.text_only import is_available
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import card, export, layout
from mm_imagenet_r.mini import SECOND

TEMPLATE = Path(__file__).resolve().parents[3] / "dataset_card.md"
RESOURCES = Path(datasets.__file__).parent / "utils" / "resources"


class NoDuplicates(yaml.SafeLoader):
    """YAML allows a key twice and silently takes the last."""


def _mapping(loader: NoDuplicates, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [(loader.construct_object(k), loader.construct_object(v, True)) for k, v in node.value]  # type: ignore[no-untyped-call]
    assert len(dict(pairs)) == len(pairs), "a key occurs twice"
    return dict(pairs)


NoDuplicates.add_constructor("tag:yaml.org,2002:map", _mapping)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three configurations, of one shard a split and of several."""
    place = tmp_path_factory.mktemp("card")
    data = made_up({"train": 150, "test": 5}, description="Made up | for a table.")
    for name in ("mini", "instructblip", "other-captions"):
        export(place, name, data, {}, shard_bytes=200_000, report=lambda _: None)
    return place


@pytest.fixture(scope="module")
def food(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("food")
    export(place, "upmc_food101", made_up({"train": 2, "test": 1}), {}, report=lambda _: None)
    return place


def header(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text().split("---\n")[1], Loader=NoDuplicates)
    return loaded


@pytest.mark.parametrize("which", ["template", "folder", "food"])
def test_words_are_those_of_the_hub(which: str, folder: Path, food: Path) -> None:
    found = {"template": TEMPLATE, "folder": folder / "README.md", "food": food / "README.md"}
    words = header(found[which])
    creators = json.loads((RESOURCES / "creators.json").read_text())
    sizes = json.loads((RESOURCES / "size_categories.json").read_text())
    assert set(words["annotations_creators"]) <= set(creators["annotations"])
    assert set(words.get("language_creators", [])) <= set(creators["language"])
    assert set(words["size_categories"]) <= set(sizes)
    assert words["license"] in {"mit", "other", "unknown"}
    assert ("license_link" in words) == (words["license"] == "other")
    assert set(words["task_categories"]) <= {"image-classification", "image-to-text"}


def test_size_words_are_those_of_the_hub() -> None:
    sizes = json.loads((RESOURCES / "size_categories.json").read_text())
    assert [card.size_category(5 * 10**power) for power in range(2, 13)] == sizes[1:]


def test_every_path_resolves_and_counts_are_those_of_the_files(folder: Path) -> None:
    loaded = DatasetCard.load(folder / "README.md")
    configs = MetadataConfigs.from_dataset_card_data(loaded.data)
    assert configs.get_default_config_name() == "instructblip"
    infos = {info["config_name"]: info for info in header(folder / "README.md")["dataset_info"]}
    assert configs.keys() == infos.keys() == {"mini", "instructblip", "other-captions"}
    for name, config in configs.items():
        splits = {split["name"]: split["num_examples"] for split in infos[name]["splits"]}
        files = {entry["split"]: entry["path"] for entry in config["data_files"]}
        assert splits == {
            split: sum(pq.read_metadata(path).num_rows for path in folder.glob(pattern))
            for split, pattern in files.items()
        }
        assert splits == {"train": 450, "test": 15}
        shards = folder.glob(f"data/{name}/*")
        assert infos[name]["download_size"] == sum(path.stat().st_size for path in shards)
    assert datasets.load_dataset_builder(str(folder), "mini").info.features == FEATURES
    assert card.faults(folder) == []


def test_licence_is_the_strictest_of_all(folder: Path) -> None:
    configs = card.exported(folder)
    drawn = [config for config in configs if config.name == "mini"]
    assert card.header(drawn)["license"] == "mit"
    assert card.header(configs)["license"] == "other"
    assert header(folder / "README.md")["tags"].count("synthetic") == 1  # one of them is drawn
    assert "synthetic" not in header(TEMPLATE)["tags"]
    assert card.header(configs)["annotations_creators"] == ["found", "machine-generated"]


def test_table_names_every_configuration(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert text.count(layout.MARKS[0]) == 1
    for name in ("mini", "instructblip", "other-captions"):
        assert f"| `{name}` | 450 train, 15 test |" in text
    assert "Made up \\| for a table." in text


def parts(text: str) -> set[str]:
    return {line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")}


def test_only_what_is_in_the_folder_is_spoken_of(folder: Path, food: Path, tmp_path: Path) -> None:
    configs = {config.name: config for config in card.exported(folder)}
    others = configs["instructblip"], configs["other-captions"]
    drawn, photographed = card.render([configs["mini"]]), card.render(others)
    both = card.render(list(configs.values()))
    common = {"Columns", "Licence", "Limitations", "Citation"}
    assert parts(drawn) == {"`mini`", *common}
    assert parts(photographed) == {"ImageNet-R with captions", *common}
    assert parts(both) == parts(drawn) | parts(photographed)
    assert "hendrycks" in both
    assert "hendrycks" not in drawn
    for text, name in ((drawn, "mini"), (photographed, "instructblip"), (both, "instructblip")):
        assert f'or its id on the Hub>", "{name}")' in text
        assert "<!-- begin" not in text
        assert ("report results on `mini`" in text) == (text is not photographed)
    assert '"upmc_food101")' in (food / "README.md").read_text()


def test_captions_of_instructblip_are_for_research_only(folder: Path) -> None:
    _, other, _ = sorted(card.exported(folder), key=lambda config: config.name != "instructblip")
    made = dataclasses.replace(other, name="ours", record={"model": "Salesforce/InstructBLIP-x"})
    for config, said in ((other, False), (made, True)):
        text = " ".join(card.render([config]).split())
        assert ("are for research only, not for commercial use" in text) == said


def test_all_that_is_known_of_the_making_is_shown_and_stays_text(folder: Path) -> None:
    prompt = "Say | `what` *you* see <!-- end -->\n---\n## <b>Now</b> [x](y) \\"
    facts = {"captions": "instructblip", "model": "a_b", "prompt": prompt, "decoding": "beams 5"}
    listed = "; ".join(f"{key} {value}" for key, value in facts.items())
    record = {**facts, "description": f"Images. {listed}. 3 are absent.", "sha256": "00"}
    config = next(c for c in card.exported(folder) if c.name == "instructblip")
    text = card.render([dataclasses.replace(config, record=record)])
    assert "| Images. 3 are absent. |" in text
    assert "| `model` | a\\_b |" in text
    assert "| `decoding` | beams 5 |" in text
    cell = next(line for line in text.splitlines() if line.startswith("| `prompt` |"))
    assert cell == (
        r"| `prompt` | Say \| \`what\` \*you\* see \<!-- end --\><br>---<br>"
        r"## \<b\>Now\</b\> \[x\](y) \\ |"
    )
    assert text.count("<!-- end -->") == 1
    assert text.count("## Columns") == 1


def test_figures_are_those_of_the_captions_or_absent(tmp_path: Path) -> None:
    data = made_up({"train": 10, "test": 5})
    named = {"train": "A wonderful n03.", "test": "Nothing."}  # classes are called as their folders
    data = datasets.DatasetDict(
        {
            split: part.map(
                lambda row, text: {"caption": text}, fn_kwargs={"text": named[split]}
            ).remove_columns([name for name in ("class_name",) if name in part.column_names])
            for split, part in data.items()
        }
    )
    export(tmp_path, "drawn", data, {}, report=lambda _: None)
    figures = json.loads((tmp_path / "captions" / "drawn-audit.json").read_text())
    assert figures["captions"] == 45
    assert figures["test_captions"] == 15
    assert figures["named_by"] == {"label": 0.2222, "lemma": 0.0, "head": 0.0}
    assert figures["another_class_named"] == 0.4444
    text = (tmp_path / "README.md").read_text()
    known = "33.3 % | 33.3 % | 33.3 %" if is_available() else "not measured | not"
    assert f"| `drawn` | 22.2 % | 0.0 % | 0.0 % | 44.4 % | {known}" in text
    figures["content"] = "of others"
    (tmp_path / "captions" / "drawn-audit.json").write_text(json.dumps(figures))
    card.write(tmp_path)
    assert "What captions reveal" not in (tmp_path / "README.md").read_text()


def test_data_sets_are_not_mixed(folder: Path) -> None:
    configs = card.exported(folder)
    food = dataclasses.replace(configs[0], name="upmc_food101")
    with pytest.raises(UserError, match="into a folder of its own"):
        card.render([*configs, food])


def test_damaged_files_are_named(food: Path, tmp_path: Path) -> None:
    place = tmp_path / "data" / "mini"
    place.mkdir(parents=True)
    whole = (food / "data" / "upmc_food101" / "test-00000-of-00001.parquet").read_bytes()
    (place / "test-00000-of-00001.parquet").write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"data/mini/test-.* is damaged: move it away"):
        card.write(tmp_path)


def test_figures_of_odd_types_are_left_out(food: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(food, folder)
    path = folder / "captions" / "upmc_food101-audit.json"
    whole = json.loads(path.read_text())
    assert "What captions reveal" in (folder / "README.md").read_text()
    for key, value in (("named_by", []), ("text_only_accuracy", {}), ("another_class_named", "x")):
        path.write_text(json.dumps({**whole, key: value}))
        card.write(folder)
        assert "What captions reveal" not in (folder / "README.md").read_text()
    path.write_text("[]")
    card.write(folder)
    path.unlink()
    os.mkfifo(path)
    card.write(folder)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda text: text.encode() + b"\xff", "README.md or croissant.json is damaged"),
        (
            lambda text: text.replace("data/upmc_food101/test-", "/etc/").encode(),
            "leads to no file",
        ),
        (lambda text: text.replace("config_name: upmc", "config_name: other").encode(), "rows"),
        (lambda text: text.replace("num_examples: 6", "num_examples: 7").encode(), "rows"),
        (lambda text: text.replace("configs:", "configs: 5\nx:").encode(), "is damaged"),
        (lambda text: text.replace("---\n", "---\na: [\n", 1).encode(), "is damaged"),
        (lambda text: text.replace("<!-- configurations -->", "").encode(), "was not written by"),
    ],
)
def test_faults_of_the_card_are_said(
    change: Callable[[str], bytes], fault: str, food: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(food, folder)
    assert card.faults(folder) == []
    (folder / "README.md").write_bytes(change((folder / "README.md").read_text()))
    assert fault in "; ".join(card.faults(folder))


def test_shards_that_are_not_those_exported_are_said(food: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(food, folder)
    path = folder / "data" / "upmc_food101" / "test-00000-of-00001.parquet"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert card.faults(folder) == [f"{path.relative_to(folder)} is not as it was exported"]
    (folder / "croissant.json").unlink()
    assert card.faults(folder) == ["there is no croissant.json"]


def test_figures_of_mini_are_true() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    mini = mm_imagenet_r.load("mini")
    train, test = len(mini["train"]), len(mini["test"])
    assert f"{train:,} / {test:,} images" in text
    assert f"{SECOND.train_per_class} / {SECOND.test_per_class} of each class" in text
    assert f"| {SECOND.num_classes} invented" in text
    assert f"{len(set(mini['train']['style']))} renditions" in text
    words = sum(len(caption.split()) for caption in mini["train"]["caption"]) / train
    assert f"about {words:.0f} words" in text
    for column in mini["train"].features:
        assert f"| `{column}` |" in text
