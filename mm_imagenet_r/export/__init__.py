"""A configuration as a folder the Hub understands: Parquet, a card, Croissant.

python -m mm_imagenet_r.export exported --config mini

Afterwards plain `load_dataset("exported", "mini")` needs nothing of this package, and the folder
goes to the Hub as it is (`python -m mm_imagenet_r.push`). An export that was stopped goes on when
the same command is given again: shards are written beside the folder's visible content and take
the place of older ones together, so that no reader meets half of a configuration. Until all is
done the folder `.export` is there, and nothing is pushed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.export import captions_file, shards
from mm_imagenet_r.export.swap import STAGING, carry, remove, repair, swap
from mm_imagenet_r.files import explained, remove_temporaries

if TYPE_CHECKING:
    from mm_imagenet_r.captions.files import Captions

#: Bytes of a shard, at most (one row group is never cut).
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

    Args:
        folder: Made if it is not there; other configurations in it stay.
        name: Of the configuration.
        splits: From the name of a split to its `datasets.Dataset` with the columns of
            `mm_imagenet_r.builder.features`.
        provenance: What the files say of themselves, see `mm_imagenet_r.sources.Source`.
        captions: The caption set as it was read, which knows what went wrong with captions.
        shard_bytes: Size of a shard, at most.
        report: Called with a line for each file.

    Raises:
        UserError: The folder belongs to something else or cannot be written, or a row has no
            image.
    """
    from mm_imagenet_r.export import card

    card.refuse_foreign(folder)
    place, work = folder / "data" / name, folder / STAGING / name
    for file in ("README.md", "croissant.json"):
        remove_temporaries(folder, file)
    for file in (f"{name}.parquet", f"{name}-audit.json"):
        remove_temporaries(folder / "captions", file)
    with explained(place):
        repair(place, work)
    planned: dict[str, str] = {}
    with _progress() as track:
        for split, dataset in splits.items():
            groups = shards.Groups(dataset)
            identities = [
                shards.identity(group) for group in track(groups, f"reading {name}/{split}")
            ]
            record = {**provenance, "description": dataset.info.description}
            for shard in shards.plan(split, identities, shard_bytes, record):
                planned[shard.name] = shard.sha256
                state = "there already"
                if _holds(work / "new" / shard.name, shard):
                    pass
                elif _holds(place / shard.name, shard):
                    with explained(place):
                        carry(place / shard.name, work)
                else:
                    numbers = track(shard.groups, f"writing {name}/{shard.name}")
                    shards.write(
                        work / "new" / shard.name,
                        (groups[number] for number in numbers),
                        groups.features,
                        {**record, "sha256": shard.sha256},
                    )
                    state = "written"
                report(f"data/{name}/{shard.name}: {state}")
    with explained(place):
        swap(place, work, planned)
    content = shards.content_of(planned.values())
    written = captions_file.write(folder / "captions", name, splits, provenance, content, captions)
    for path in [*written, *card.write(folder)]:
        report(f"{path.relative_to(folder)}: written")
    with explained(place):
        remove(work)
        with suppress(OSError):  # another configuration may be waiting there
            work.parent.rmdir()


def _holds(path: Path, shard: shards.Shard) -> bool:
    return path.is_file() and shards.record_of(path).get("sha256") == shard.sha256


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
