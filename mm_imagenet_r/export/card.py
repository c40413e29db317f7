"""The data set card of an exported folder: a template with what the files themselves say.

The prose is the template's, as far as it applies; the header and what is said of configurations
are computed from the files, so that the card agrees with them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from mm_imagenet_r.catalog import Origin, entry_of
from mm_imagenet_r.errors import UserError, few, one_line
from mm_imagenet_r.export import croissant
from mm_imagenet_r.export.captions_file import figures_of
from mm_imagenet_r.export.layout import MARKS, is_card, known_hashes, shards_of
from mm_imagenet_r.export.sections import choose, computed, parts_of
from mm_imagenet_r.export.shards import STAGING, content_of, record_of
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.hashes import file_sha256
from mm_imagenet_r.progress import track
from mm_imagenet_r.reading import SETTINGS, read_bytes

#: What a header of other types, or of too many levels, raises where it is read.
_ODD: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


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


def exported(folder: Path) -> list[Exported]:
    """Read the configurations of a folder, by name; UserError if a file is damaged or foreign."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    found = []
    for name, paths in shards_of(folder).items():
        splits = {path.name.split("-")[0] for path in paths}
        files = {
            split: [path for path in paths if path.name.split("-")[0] == split]
            for split in sorted(splits, key=lambda split: (split != "train", split))
        }
        first = next(iter(files.values()))[0]
        try:
            footers = {split: [pq.read_metadata(path) for path in files[split]] for split in files}
            features = Features.from_arrow_schema(pq.read_schema(first))
        except (OSError, pa.ArrowException, *_ODD) as error:
            raise UserError(
                f"a file of {first.parent} is damaged ({error}): remove that folder and export it "
                "again"
            ) from error
        groups = {
            split: [m.row_group(i).total_byte_size for m in metas for i in range(m.num_row_groups)]
            for split, metas in footers.items()
        }
        content = content_of(str(record_of(path).get("sha256")) for path in paths)
        found.append(
            Exported(
                name,
                files,
                {split: sum(m.num_rows for m in metas) for split, metas in footers.items()},
                {split: sum(sizes) for split, sizes in groups.items()},
                features,
                record_of(first),
                figures_of(folder / "captions", name, content),
            )
        )
    return found


def write(folder: Path) -> list[Path]:
    """Write README.md and croissant.json of an export, and return their paths.

    Raises:
        UserError: There is no configuration, or a file is damaged.
    """
    configs = exported(folder)
    if not configs:
        raise UserError(f"{folder} holds no exported configuration: run mm_imagenet_r.export first")
    readme, description = folder / "README.md", folder / "croissant.json"
    described: Mapping[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        described = croissant.hashes(description)
    sha256, known = _hashes(configs), known_hashes(folder)
    for path, value in sha256.items():
        if path.relative_to(folder).as_posix() in described and value not in known:
            raise UserError(
                f"{path} is not as it was exported: remove {path.parent} and export it again"
            )
    text = render(configs)
    write_atomic(description, croissant.render(folder, configs, header(configs), sha256).encode())
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

    Every path of the header must lead to files, every file to a path, the rows in the files must
    be as many as the header says, and the files those that croissant.json describes. UserError if
    one of them is foreign.
    """
    if os.path.lexists(folder / STAGING):
        return ["the export was stopped and is not finished"]
    try:
        text = read_bytes(folder / "README.md", SETTINGS, follow=False).decode()
        said = _rows_said(text)
        whole = croissant.hashes(folder / "croissant.json")
    except FileNotFoundError as error:
        return [f"there is no {Path(error.filename).name}"]
    except (OSError, yaml.YAMLError, *_ODD) as error:
        why = str(getattr(error, "strerror", None) or error)
        return [f"README.md or croissant.json is damaged ({one_line(why)})"]
    if not is_card(text):
        return ["README.md was not written by mm_imagenet_r.export"]
    configs = exported(folder)
    there = {
        f"data/{config.name}/{split}-*.parquet": (config, split)
        for config in configs
        for split in config.files
    }
    found = [f"{few(path)} of README.md leads to no file" for path in said if path not in there]
    for path, (config, split) in there.items():
        if path not in said:
            names = [file.relative_to(folder) for file in config.files[split]]
            found += [f"{name} is not in README.md" for name in names]
        elif said[path] != (config.name, split, config.rows[split]):
            found.append(f"README.md and the files of {config.name} differ in the number of rows")
    return found + [
        f"{path.relative_to(folder)} is not as it was exported"
        for path, value in _hashes(configs).items()
        if whole.get(path.relative_to(folder).as_posix()) != value
    ]


def _rows_said(text: str) -> dict[str, tuple[str, str, int]]:
    """Configuration, split and number of rows of each path that the header of a card has."""
    from huggingface_hub import DatasetCard

    data = DatasetCard(text).data
    infos = data.get("dataset_info") or []
    rows = {
        (info.get("config_name", "default"), split["name"]): split["num_examples"]
        for info in (infos if isinstance(infos, list) else [infos])
        for split in info["splits"]
    }
    return {
        entry["path"]: (name, entry["split"], rows[name, entry["split"]])
        for config in data.get("configs") or []
        for name in [config["config_name"]]
        for entry in config["data_files"]
    }


def _hashes(configs: Iterable[Exported]) -> dict[Path, str]:
    """SHA-256 of all shards, which takes a second or two a gigabyte."""
    paths = [path for config in configs for some in config.files.values() for path in some]
    return {path: file_sha256(path) for path in track(paths, "hashing the files")}


def _default(configs: Sequence[Exported]) -> str:
    names = [config.name for config in configs]
    return "instructblip" if "instructblip" in names else names[0]


def _union(lists: Iterable[Iterable[str]]) -> list[str]:
    return sorted({word for words in lists for word in words})
