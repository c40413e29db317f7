"""The data set card of an exported folder: a template with what the files themselves say.

The prose is the template's, as far as it applies; the header and what is said of configurations
are computed from the files, so that the card agrees with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mm_imagenet_r.catalog import Origin, entry_of
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export.captions_file import figures_of
from mm_imagenet_r.export.sections import choose, computed, parts_of
from mm_imagenet_r.export.shards import STAGING, content_of, record_of
from mm_imagenet_r.files import write_atomic

#: Between these marks of a card is what is computed; our cards are recognized by them.
MARKS: Final = ("<!-- configurations -->\n", "<!-- end -->")


@dataclass(frozen=True, slots=True)
class Exported:
    """One configuration as its files describe it."""

    name: str
    files: Mapping[str, Sequence[Path]]  # Parquet files of each split, in order
    rows: Mapping[str, int]  # number of rows of each split
    num_bytes: Mapping[str, int]  # size of each split when read
    features: Any  # `datasets.Features` of the rows
    record: Mapping[str, Any]  # what the export wrote into the files: description and provenance
    figures: Mapping[str, Any]  # of the audit of its captions, see `captions_file`; may be empty

    @property
    def origin(self) -> Origin:
        """What it was made from."""
        return entry_of(self.name).origin

    @property
    def download_size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for paths in self.files.values() for path in paths)


def size_category(rows: int) -> str:
    """Return the Hub's word for a number of rows.

    >>> size_category(999), size_category(2800), size_category(30_000), size_category(10**13)
    ('n<1K', '1K<n<10K', '10K<n<100K', 'n>1T')
    """
    if rows < 1000:
        return "n<1K"
    if rows >= 10**12:
        return "n>1T"
    power = len(str(rows)) - 1
    words = {p: f"{10 ** (p % 3)}{' KMB'[p // 3]}" for p in range(3, 12)} | {12: "1T"}
    return f"{words[power]}<n<{words[power + 1]}"


def refuse_foreign(folder: Path) -> None:
    """Raise UserError for a file, or a folder whose card the export did not write."""
    readme = folder / "README.md"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: choose a folder to write to")
    if readme.exists() and MARKS[0] not in readme.read_text(encoding="utf-8", errors="replace"):
        raise UserError(
            f"{readme} was not written by this command and would be lost: choose another folder"
        )


def exported(folder: Path) -> list[Exported]:
    """Read the configurations of a folder, by name; UserError if a file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    found = []
    for place in sorted({path.parent for path in folder.glob("data/*/*.parquet")}):
        paths = sorted(place.glob("*.parquet"))
        splits = {path.name.split("-")[0] for path in paths}
        files = {
            split: [path for path in paths if path.name.split("-")[0] == split]
            for split in sorted(splits, key=lambda split: (split != "train", split))
        }
        try:
            footers = {split: [pq.read_metadata(path) for path in files[split]] for split in files}
        except (OSError, pa.ArrowException) as error:
            raise UserError(
                f"a file of {place} is damaged ({error}): remove that folder and export it again"
            ) from error
        groups = {
            split: [m.row_group(i).total_byte_size for m in metas for i in range(m.num_row_groups)]
            for split, metas in footers.items()
        }
        first = next(iter(files.values()))[0]
        content = content_of(str(record_of(path).get("sha256")) for path in paths)
        found.append(
            Exported(
                place.name,
                files,
                {split: sum(m.num_rows for m in metas) for split, metas in footers.items()},
                {split: sum(sizes) for split, sizes in groups.items()},
                Features.from_arrow_schema(pq.read_schema(first)),
                record_of(first),
                figures_of(folder / "captions", place.name, content),
            )
        )
    return found


def write(folder: Path) -> list[Path]:
    """Write README.md and croissant.json of an export, return their paths; UserError if empty."""
    from mm_imagenet_r.export import croissant

    configs = exported(folder)
    if not configs:
        raise UserError(f"{folder} holds no exported configuration: run mm_imagenet_r.export first")
    readme, description = folder / "README.md", folder / "croissant.json"
    text = render(configs)
    write_atomic(description, croissant.render(folder, configs, header(configs)).encode())
    write_atomic(readme, text.encode())  # last: it makes the rest known
    return [description, readme]


def render(configs: Sequence[Exported]) -> str:
    """Return the card of some configurations; UserError if they are of different data sets."""
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard

    if len({config.origin.title for config in configs}) > 1:
        titles = " and ".join(sorted({config.origin.title for config in configs}))
        raise UserError(f"{titles} are different data sets: export each into a folder of its own")
    origin = configs[0].origin
    template = (Path(__file__).parent / origin.template).read_text(encoding="utf-8")
    for key, value in {"title": origin.title, "citations": "\n".join(origin.citations)}.items():
        template = template.replace(f"{{{key}}}", value)
    card = DatasetCard(choose(template, parts_of(configs)))
    for key, value in header(configs).items():
        card.data[key] = value
    card.data["tags"] = [*card.data["tags"], *_union(config.origin.tags for config in configs)]
    card.data["configs"] = [
        {
            "config_name": config.name,
            **({"default": True} if config.name == _default(configs) else {}),
            "data_files": [
                {"split": split, "path": f"data/{config.name}/{split}-*.parquet"}
                for split in config.files
            ],
        }
        for config in configs
    ]
    infos = {
        config.name: DatasetInfo(
            features=config.features,
            splits={
                split: {"name": split, "num_bytes": config.num_bytes[split], "num_examples": rows}
                for split, rows in config.rows.items()
            },
            download_size=config.download_size,
            dataset_size=sum(config.num_bytes.values()),
        )
        for config in configs
    }
    DatasetInfosDict(infos).to_dataset_card_data(card.data)
    before, _, rest = card.text.partition(MARKS[0])
    text = computed(configs, _default(configs))
    body = before + MARKS[0] + text + MARKS[1] + rest.partition(MARKS[1])[2]
    return f"---\n{card.data.to_yaml()}\n---\n\n{body.lstrip()}"


def header(configs: Sequence[Exported]) -> dict[str, Any]:
    """Return the fields of the header that depend on the data, apart from paths and columns."""
    licenses = {config.origin.license for config in configs}
    fields: dict[str, Any] = {
        "license": licenses.pop() if len(licenses) == 1 else "other",
        "annotations_creators": _union(config.origin.annotations for config in configs),
        "source_datasets": _union([config.origin.sources] for config in configs),
        # Configurations are captions of the same images: their rows do not add up.
        "size_categories": [size_category(max(sum(c.rows.values()) for c in configs))],
    }
    if fields["license"] == "other":
        link = next(c.origin.license_link for c in configs if c.origin.license_link)
        fields |= {"license_name": link.rpartition("/")[2], "license_link": link}
    return fields


def faults(folder: Path) -> list[str]:
    """Return what keeps a folder from being published; empty if nothing does.

    Every path of the header must lead to files, every file to a path, and the rows in the files
    must be as many as the header says.
    """
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard

    readme = folder / "README.md"
    if (folder / STAGING).exists():
        return ["the export was stopped and is not finished"]
    if not readme.is_file():
        return ["there is no README.md"]
    card = DatasetCard(readme.read_text(encoding="utf-8"))
    infos = DatasetInfosDict.from_dataset_card_data(card.data)
    there = {config.name: config for config in exported(folder)}
    found = []
    named: set[Path] = set()
    for config in card.data.get("configs") or []:
        name = config["config_name"]
        for entry in config["data_files"]:
            paths = set(folder.glob(entry["path"]))
            named |= paths
            if not paths:
                found.append(f"{entry['path']} of README.md leads to no file")
            elif infos[name].splits[entry["split"]].num_examples != there[name].rows.get(
                entry["split"]
            ):
                found.append(f"README.md and the files of {name} differ in the number of rows")
    unnamed = set(folder.glob("data/*/*.parquet")) - named
    return found + [f"{path.relative_to(folder)} is not in README.md" for path in sorted(unnamed)]


def _default(configs: Sequence[Exported]) -> str:
    names = [config.name for config in configs]
    return "instructblip" if "instructblip" in names else names[0]


def _union(lists: Iterable[Iterable[str]]) -> list[str]:
    return sorted({word for words in lists for word in words})
