"""The data sets of `mm_imagenet_r.catalog` under their names."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import datasets

from benchmark.data import converted, image_check, open_table, tables
from benchmark.data.dataset import ColumnNames, DatasetOptions
from benchmark.data.identity import data_sha256, shipped
from benchmark.data.raw_dataset import RawDataset
from benchmark.option_names import dashed
from mm_imagenet_r.builder import MMImageNetR
from mm_imagenet_r.catalog import CATALOG, MM_IMAGENET_R, Entry, named, option_takers
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
        builder = _builder(captions or entry.captions or entry.name, archive)
        folder = Path(builder.cache_dir)
        is_old = converted.is_old(folder)

        def load() -> Any:
            builder.download_and_prepare()
            if is_old and not entry.needs and not _is_as_shipped(name, builder):
                builder.download_and_prepare(download_mode=datasets.DownloadMode.FORCE_REDOWNLOAD)
            try:
                return builder.as_dataset()
            except Exception as error:  # `datasets` raises nearly every kind there is
                raise converted.damaged(folder) from error

        opened = open_table.Opened(converted.whole(load, folder), [folder])
    source = builder.source
    found = tables.read(name, opened, ColumnNames(), captions_given=captions_given)
    facts, class_names = {"captions": name, "split": ""} | source.provenance(), source.classes()
    try:
        found.class_names = [class_names[wnid] for wnid in found.class_names]
    except KeyError as error:
        raise converted.damaged(folder) from error
    found.captions, found.captions_id = facts["captions"], facts.get("caption_set", "")
    found.split = facts["split"]
    found.absent = source.num_absent()
    found.left_out = source.unusable(used=set(found.rows.file_names))
    found.leaves_out = "--partial"
    found.drawn = source.drawn
    if not found.drawn:
        found.notes.append(source.description())
    return found


def _builder(configuration: str, archive: DatasetOptions) -> MMImageNetR:
    try:
        return MMImageNetR(config_name=configuration, **dataclasses.asdict(archive))
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # of what a copy says
        copies = Path(datasets.config.HF_DATASETS_CACHE) / MM_IMAGENET_R / configuration
        raise converted.damaged(copies) from error


def _is_as_shipped(name: str, builder: MMImageNetR) -> bool:
    """Whether a copy has the data that are shipped; another version of Pillow draws others."""
    try:
        opened = open_table.Opened(builder.as_dataset(), [Path(builder.cache_dir)])
        source = tables.read(name, opened, ColumnNames(), captions_given=False)
    except Exception:  # `datasets` raises nearly every kind there is
        return False
    digests = image_check.look(source.rows, drawn=True).digests
    found = data_sha256(source, digests, source.is_test, range(len(digests)))
    return name not in shipped() or found == shipped()[name]["data_sha256"]
