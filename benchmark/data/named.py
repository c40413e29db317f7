"""The data sets of `mm_imagenet_r.catalog` under their names."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

from benchmark.data import open_table, tables
from benchmark.data.dataset import ColumnNames, DatasetOptions
from benchmark.data.raw_dataset import RawDataset
from benchmark.option_names import dashed
from mm_imagenet_r.builder import MMImageNetR
from mm_imagenet_r.catalog import CATALOG, Entry, named, option_takers
from mm_imagenet_r.errors import UserError


def refuse_unused(name: str, archive: DatasetOptions, bad_images: str) -> None:
    """Raise UserError if an option is given that means nothing for a data set of any kind."""
    entry, (kind, colon, _) = named(name), name.partition(":")
    if colon and entry is None and kind in CATALOG:
        raise UserError(f"{kind} has no caption sets to name: give --dataset {kind}")
    allowed = entry.options if entry else ()
    if bad_images != "error" and entry:
        instead = "use --partial instead" if "partial" in allowed else "its images are drawn"
        raise UserError(f"--bad-images {bad_images} is not for --dataset {name}: {instead}")
    for spec in dataclasses.fields(archive):
        if getattr(archive, spec.name) != spec.default and spec.name not in allowed:
            raise UserError(
                f"--{dashed(spec.name)} is for --dataset {option_takers(spec.name)}: leave it out "
                f"for --dataset {name}"
            )


def read(name: str, entry: Entry, archive: DatasetOptions, *, captions_given: bool) -> RawDataset:
    """Prepare the data set that `name` (which may end in a caption set) names, and read it."""
    captions = name.partition(":")[2]
    if entry.needs and not entry.folder(archive.data_dir):
        raise UserError(f"--dataset {name} needs --data-dir DIR{entry.what_is_needed()}")
    if captions in CATALOG:
        raise UserError(
            f"{captions} is not a caption set of {entry.name}: give --dataset {captions}"
        )
    if entry.captions and captions_given:
        raise UserError(
            f"--captions is not for --dataset {entry.name}: put the file into captions/ of its "
            f"folder and name it, --dataset {entry.name}:NAME for captions/NAME.csv"
        )
    with open_table.waiting(f"preparing {name}"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "left out: ")  # a note says it each time
        builder = MMImageNetR(
            config_name=captions or entry.captions or entry.name, **dataclasses.asdict(archive)
        )
        builder.download_and_prepare()
        opened = open_table.Opened(builder.as_dataset(), [Path(builder.cache_dir)])
    source = builder.source
    found = tables.read(name, opened, ColumnNames(), captions_given=captions_given)
    facts, class_names = {"captions": name, "split": ""} | source.provenance(), source.classes()
    found.class_names = [class_names[wnid] for wnid in found.class_names]
    found.captions, found.captions_id = facts["captions"], facts.get("caption_set", "")
    found.split = facts["split"]
    found.absent = source.num_absent()
    found.left_out = source.unusable(used=set(found.rows.file_names))
    found.leaves_out = "--partial"
    found.drawn = source.drawn
    if not found.drawn:
        found.notes.append(source.description())
    return found
