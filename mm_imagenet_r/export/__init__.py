"""A configuration as a folder the Hub understands: Parquet, a card, Croissant.

Shards are written into the hidden folder `.export` and replace older ones together, so that no
reader meets half of a configuration; as long as `.export` is there, nothing is pushed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.export import captions_file, shards
from mm_imagenet_r.files import explained, remove_temporaries, write_atomic
from mm_imagenet_r.hashes import file_sha256
from mm_imagenet_r.progress import track

if TYPE_CHECKING:
    from mm_imagenet_r.captions.files import Captions

#: Most bytes of a shard (a row group is never divided).
SHARD_BYTES: Final = 500_000_000


def export(
    folder: Path,
    name: str,
    splits: Mapping[str, Any],
    provenance: Mapping[str, str],
    *,
    captions: Captions | None = None,
    shard_bytes: int = SHARD_BYTES,
    report: Callable[[str], object] = print,
) -> None:
    """Write a configuration into a folder, and the card of all that is in the folder.

    Other configurations in the folder stay; an export that was stopped is resumed. `splits` are
    `datasets.Dataset`s with the columns of `builder.features`, `provenance` and `captions` those of
    their `source.Source`; `report` is called with a line for each file.

    Raises:
        UserError: The folder belongs to something else or cannot be written, a configuration
            cannot be called so, or a row has no image.
    """
    from mm_imagenet_r.export import card, layout

    layout.refuse_foreign(folder, name)
    known = layout.known_hashes(folder)
    place, work = folder / "data" / name, folder / shards.STAGING / name
    new = work / "new"
    for written in (folder, folder / "captions", new):
        remove_temporaries(written)
    planned: dict[str, str] = {}
    for split, dataset in splits.items():
        groups = shards.Groups(dataset)
        numbers = track(range(len(groups)), f"reading {name}/{split}")
        identities = [shards.identity(groups[number]) for number in numbers]
        record = {**provenance, "description": dataset.info.description}
        for shard in shards.plan(split, identities, shard_bytes, record):
            planned[shard.name] = shard.sha256
            state, file = "there already", new / shard.name
            paths = (file, place / shard.name)
            there = next((path for path in paths if shard.is_in(path, known)), None)
            if there is None:
                state, numbers = "written", track(shard.groups, f"writing {name}/{shard.name}")
                tables = (groups[number] for number in numbers)
                shards.write(file, tables, groups.features, {**record, "sha256": shard.sha256})
                known.add(file_sha256(file))
                write_atomic(work / shards.HASHES, json.dumps(sorted(known)).encode())
            elif there != file:
                with explained(file):
                    _link(there, file)
            report(f"data/{name}/{shard.name}: {state}")
    with explained(place):
        _swap(new, place, work / "old", planned)
    content = shards.content_of(planned.values())
    ours = captions_file.write(folder / "captions", name, splits, provenance, content, captions)
    for path in [*ours, *card.write(folder)]:
        report(f"{path.relative_to(folder)}: written")
    with explained(place):
        shutil.rmtree(work)
        with suppress(OSError):  # another configuration may be waiting there
            work.parent.rmdir()


def _link(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    try:
        os.link(path, to)
    except OSError:  # no links on this file system; half a copy has another hash, so it is not used
        shutil.copy2(path, to)


def _swap(new: Path, place: Path, old: Path, names: Collection[str]) -> None:
    """Put a folder with files of these names in place; a kill leaves what the next call needs."""
    for path in new.iterdir():
        if path.name not in names:  # of another plan
            path.unlink()
    if old.exists():
        shutil.rmtree(old)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
