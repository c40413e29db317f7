"""A configuration as a folder the Hub understands: Parquet, a card, Croissant.

python -m mm_imagenet_r.export exported --config mini

Afterwards plain `load_dataset("exported", "mini")` needs nothing of this package, and the folder
goes to the Hub as it is (`python -m mm_imagenet_r.push`). An export that was stopped goes on when
the same command is given again: shards are written beside the folder's visible content and moved
into place together, so that no reader meets half of a configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import shards
from mm_imagenet_r.files import explain, remove_temporaries

#: Bytes of a shard, at most (one row group is never cut).
SHARD_BYTES: Final = 500_000_000
#: Finished shards wait here until all of a configuration are there.
STAGING: Final = ".export"


def export(
    folder: Path,
    name: str,
    splits: Mapping[str, Any],
    provenance: Mapping[str, str],
    *,
    shard_bytes: int = SHARD_BYTES,
    report: Callable[[str], object] = print,
) -> None:
    """Write a configuration into a folder, and the card of all that is in the folder.

    Args:
        folder: Made if it is not there; other configurations in it stay.
        name: Of the configuration.
        splits: From the name of a split to its `datasets.Dataset` with the columns of
            `mm_imagenet_r.builder.features`.
        provenance: What the files say of themselves, see `mm_imagenet_r.sources.Source`.
        shard_bytes: Size of a shard, at most.
        report: Called with a line for each file.

    Raises:
        UserError: The folder belongs to something else or cannot be written, or a row has no
            image.
    """
    from mm_imagenet_r.export import card

    card.refuse_foreign(folder)
    place, staging = folder / "data" / name, folder / STAGING / name
    for written, names in (
        (folder, ("README.md", "croissant.json")),
        (folder / "captions", (f"{name}.parquet",)),
        (staging, ("*",)),
    ):
        for file in names:
            remove_temporaries(written, file)
    planned: set[str] = set()
    with _progress() as track:
        for split, dataset in splits.items():
            groups = shards.Groups(dataset)
            identities = [
                shards.identity(group) for group in track(groups, f"reading {name}/{split}")
            ]
            record = {**provenance, "description": dataset.info.description}
            for shard in shards.plan(split, identities, shard_bytes, record):
                planned.add(shard.name)
                there = next((p for p in (place, staging) if _holds(p / shard.name, shard)), None)
                if there is None:
                    numbers = track(shard.groups, f"writing {name}/{shard.name}")
                    shards.write(
                        staging / shard.name,
                        (groups[number] for number in numbers),
                        groups.features,
                        {**record, "sha256": shard.sha256},
                    )
                state = "written" if there is None else "there already"
                report(f"data/{name}/{shard.name}: {state}")
    _write_captions(folder / "captions" / f"{name}.parquet", splits, provenance)
    report(f"captions/{name}.parquet: written")
    _publish(staging, place, planned)
    for path in card.write(folder):
        report(f"{path.relative_to(folder)}: written")


def _holds(path: Path, shard: shards.Shard) -> bool:
    return path.is_file() and shards.record_of(path).get("sha256") == shard.sha256


def _write_captions(path: Path, splits: Mapping[str, Any], provenance: Mapping[str, str]) -> None:
    """Write everything but the images: a caption set for those who have these or need none.

    It keeps its fingerprint, so that results made with this copy name the set it came from.
    """
    import datasets

    parts = [
        split.remove_columns("image").add_column("split", [name] * len(split))
        for name, split in splits.items()
    ]
    table = datasets.concatenate_datasets(parts)
    record = dict(provenance)
    fingerprint, known, _ = provenance.get("caption_set", "").rpartition("-")
    if known:
        record["fingerprint"] = fingerprint
    shards.write(path, [table.with_format("arrow")[:]], table.features, record)


def _publish(staging: Path, place: Path, planned: set[str]) -> None:
    """Move finished shards into place, then remove those of an older cut."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        for path in staging.glob("*.parquet"):
            if path.name in planned:
                path.replace(place / path.name)
            else:
                path.unlink()
        for path in place.glob("*.parquet"):
            if path.name not in planned:
                path.unlink()
        for empty in (staging, staging.parent):
            with suppress(OSError):  # another configuration may be waiting there
                empty.rmdir()
    except OSError as error:
        raise UserError(explain(error, place)) from error


@contextmanager
def _progress() -> Iterator[Any]:
    """Give a function that iterates and shows on a terminal how far it is."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:

        def track(items: Any, what: str) -> Iterator[Any]:
            task = progress.add_task(what, total=len(items))
            yield from progress.track(items, task_id=task)
            progress.remove_task(task)

        yield track
