"""Croissant: the description of an exported folder in the JSON-LD that search engines read.

Version 1.0 of the format, http://mlcommons.org/croissant/1.0. `mlcroissant validate` accepts what
is written here, and `mlcroissant.Dataset("croissant.json").records("mini/train")` reads the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.catalog import CATALOG
from mm_imagenet_r.reading import SETTINGS, parse_json, read_bytes

if TYPE_CHECKING:
    from mm_imagenet_r.export.card import Exported

#: Terms that every description must define in the same way.
_TERMS: Final = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format "
    "includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated "
    "replace samplingRate separator source subField transform"
)
_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}

_PARQUET: Final = "application/x-parquet"


def hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each shard, by its path in the folder, as a croissant.json has them.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not of an export.
    """
    try:
        description = parse_json(read_bytes(path, SETTINGS, follow=False))
        files = [one for one in description["distribution"] if one["@type"] == "cr:FileObject"]
        found = {str(file["@id"]): str(file["sha256"]) for file in files}
    except (KeyError, TypeError) as error:
        raise ValueError("it does not describe an export") from error
    if description.get("name") not in [entry.origin.title for entry in CATALOG.values()]:
        raise ValueError("it describes another data set")
    return found


def render(
    folder: Path,
    configs: Sequence[Exported],
    header: Mapping[str, Any],
    sha256: Mapping[Path, str],
) -> str:
    """Return the text of croissant.json, with the hash of each file."""
    from mm_imagenet_r import __version__

    origins = list(dict.fromkeys(config.origin for config in configs))
    citations = dict.fromkeys(work for origin in origins for work in origin.citations)
    terms = header["license"]
    if terms != "unknown":  # there is a page to read
        terms = header.get("license_link") or f"https://choosealicense.com/licenses/{terms}/"
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": origins[0].title,
        "description": " ".join(
            f"{config.name}: {config.record.get('description', '')}" for config in configs
        ),
        "license": terms,
        "url": origins[0].url,
        "citeAs": "; ".join(citations),
        "version": __version__,
        "datePublished": max(origin.published for origin in origins),
        "distribution": [
            entry
            for config in configs
            for split in config.files
            for entry in _distribution(folder, config, split, sha256)
        ],
        "recordSet": [_records(config, split) for config in configs for split in config.files],
    }
    return json.dumps(description, indent=1, ensure_ascii=False) + "\n"


def _distribution(
    folder: Path, config: Exported, split: str, sha256: Mapping[Path, str]
) -> list[dict[str, Any]]:
    """Each file with its hash, and the set of them."""
    files = [
        {
            "@type": "cr:FileObject",
            "@id": path.relative_to(folder).as_posix(),
            "name": path.name,
            "contentUrl": path.relative_to(folder).as_posix(),
            "contentSize": f"{path.stat().st_size} B",
            "encodingFormat": _PARQUET,
            "sha256": sha256[path],
        }
        for path in config.files[split]
    ]
    together = {
        "@type": "cr:FileSet",
        "@id": f"{config.name}/{split}/files",
        "name": f"{config.name}/{split}/files",
        "encodingFormat": _PARQUET,
        "includes": f"data/{config.name}/{split}-*.parquet",
    }
    return [*files, together]


def _records(config: Exported, split: str) -> dict[str, Any]:
    name = f"{config.name}/{split}"
    fields = []
    for column, feature in config.features.items():
        kind = type(feature).__name__
        source = {"fileSet": {"@id": f"{name}/files"}, "extract": {"column": column}}
        if kind == "Image":
            source["transform"] = {"jsonPath": "bytes"}
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": column,
                "dataType": {"Image": "sc:ImageObject", "ClassLabel": "sc:Integer"}.get(
                    kind, "sc:Text"
                ),
                "source": source,
            }
        )
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"{config.rows[split]} rows",
        "key": {"@id": f"{name}/file_name"},
        "field": fields,
    }
