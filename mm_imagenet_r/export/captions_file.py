"""The captions of a configuration without its images, and the figures of their audit.

captions/<configuration>.parquet       all columns but the image, and the split of each row
captions/<configuration>-audit.json    how much these captions reveal of the class
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_imagenet_r.captions.leakage import GRADES
from mm_imagenet_r.export import shards
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.parquet_files import read_schema
from mm_imagenet_r.reading import SETTINGS, parse_json, read_bytes

if TYPE_CHECKING:
    from mm_imagenet_r.captions.files import Captions


def write(
    folder: Path,
    name: str,
    splits: Mapping[str, Any],
    provenance: Mapping[str, str],
    content: str,
    captions: Captions | None = None,
) -> list[Path]:
    """Write the files of one configuration and return their paths.

    The captions are a caption set for those who have the images or need none. They keep their
    fingerprint, so that results made with this copy name the set they came from. `content` is the
    hash of the shards they belong to, see `shards.content_of`. From `captions`, the set as it was
    read, come the columns `finish` (`length` where the token limit ended a caption, else null),
    `flags` and `error`; a caption that could not be made is null.
    """
    import datasets

    parts = [
        split.remove_columns("image").add_column("split", [name] * len(split))
        for name, split in splits.items()
    ]
    rows = datasets.concatenate_datasets(parts)
    if captions is not None:
        columns, features = _remarks(rows, captions)
        features = datasets.Features({**rows.features, **features})
        rows = datasets.Dataset.from_dict({**rows[:], **columns}, features=features)
    record = dict(provenance)
    fingerprint, known, _ = provenance.get("caption_set", "").rpartition("-")
    if known:
        record["fingerprint"] = fingerprint
    table, audit = paths(folder, name)
    shards.write(table, [rows.with_format("arrow")[:]], rows.features, record)
    figures = {"content": content, **_figures(table, rows)}
    write_atomic(audit, (json.dumps(figures, indent=1) + "\n").encode())
    return [table, audit]


def paths(folder: Path, name: str) -> tuple[Path, Path]:
    """Return where the captions of a configuration are, and the figures of their audit."""
    return folder / f"{name}.parquet", folder / f"{name}-audit.json"


def is_table(path: Path) -> bool:
    """Whether a Parquet file was written here; caption sets have the same key, but no parts.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not Parquet or is damaged.
    """
    schema = read_schema(path)
    return shards.RECORD in (schema.metadata or {}) and {"label", "split"} <= set(schema.names)


def read_figures(path: Path) -> dict[str, Any]:
    """Return what a file of figures says.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not JSON, or was not written here.
    """
    found = parse_json(read_bytes(path, SETTINGS, follow=False))
    if not isinstance(found, dict) or not isinstance(found.get("content"), str):
        raise ValueError("it does not name what it is about")
    return found


def figures_of(folder: Path, name: str, content: str) -> dict[str, Any]:
    """Return the figures of a configuration; none if they are not of this content, or damaged."""
    try:
        found = read_figures(paths(folder, name)[1])
        named, text = found["named_by"], found["text_only_accuracy"]
        shares = [*(named[grade] for grade in GRADES), found["another_class_named"]]
        if text is not None:
            shares += [text[key] for key in ("raw", "masked", "most_frequent_class")]
        whole = found["content"] == content and all(0 <= share <= 1 for share in shares)
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return found if whole else {}


def _figures(table: Path, rows: Any) -> dict[str, Any]:
    """Audit the captions as they were written, without those that could not be made."""
    from mm_imagenet_r.captions.audit import audit, figures
    from mm_imagenet_r.captions.files import read_captions
    from mm_imagenet_r.splits import Split

    pairs = sorted(zip(rows["file_name"][:], rows["split"][:], strict=True))
    test = tuple(name for name, part in pairs if part == "test")
    train = tuple(name for name, part in pairs if part != "test")
    readable = {}
    if "class_name" in rows.column_names:
        readable = dict(zip(rows["wnid"][:], rows["class_name"][:], strict=True))
    captions = read_captions(table)
    if not captions.by_name:
        return {}
    return figures(audit(captions, Split("exported", train, test), readable))


def _remarks(rows: Any, captions: Captions) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns of what is known of each caption, and their features."""
    from datasets import List, Value

    from mm_imagenet_r.captions.flags import flags

    names, texts = rows["file_name"][:], rows["caption"][:]
    prompt = str(captions.info.get("prompt", ""))
    errors = [captions.failed.get(name) for name in names]
    ends = ["length" if name in captions.cut else None for name in names]
    columns = {
        "caption": [None if error else text for text, error in zip(texts, errors, strict=True)],
        "finish": ends,
        "flags": [
            [] if error else flags(text, end or "", prompt)
            for text, end, error in zip(texts, ends, errors, strict=True)
        ],
        "error": errors,
    }
    text = Value("string")
    return columns, {"finish": text, "flags": List(text), "error": text}
