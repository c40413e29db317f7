"""Opening a data set of any source: images checked, split where it brings no test part."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from benchmark.data.dataset import ColumnNames, Data, DatasetOptions
from benchmark.data.identity import data_sha256, rows_sha256
from benchmark.data.samples import Samples
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.splits import list_sha256

#: Share of each class's training samples that `validation=True` holds out.
VALIDATION_FRACTION = 0.2


def open_data(
    name: str,
    *,
    columns: ColumnNames | None = None,
    captions: Path | None = None,
    archive: DatasetOptions | None = None,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    validation: bool = False,
    bad_images: str = "error",
) -> Data:
    """Open a data set, check its images and split it where it brings no test part.

    Args:
        name: A name of `mm_imagenet_r.catalog`, such as `mini` or `mm_imagenet_r:CAPTIONSET`; a
            folder `<class>/*.jpg` or `{train,test}/<class>/*.jpg`; a folder or file of Parquet,
            or a Hub id `org/name` or `org/name@REVISION` (`:CONFIG` may follow the last two).
        columns: Columns of a table that cannot be found by name and type.
        captions: File (csv, tsv, jsonl, parquet) with the columns file_name and caption, used
            instead of the captions the source has.
        archive: Where the files of a named data set are, and which split of them.
        test_fraction: Share of each class that becomes test data if the source has one part only.
        split_seed: Seed of that split and of the validation split.
        validation: Evaluate on a fifth of the training part; the test part is then never seen.
        bad_images: "error" refuses a data set with images that do not decode, "skip" leaves
            them out, as `archive.partial` does for its data sets.

    Raises:
        UserError: No such data, no such column, broken images, too few images, ...
    """
    from benchmark.data import image_check, splitting
    from benchmark.data.find_dataset import find_dataset

    if bad_images not in ("error", "skip"):
        raise UserError(f"--bad-images is error or skip, not {bad_images!r}")
    if not 0 < test_fraction < 1:
        raise UserError(f"--test-fraction must be between 0 and 1, not {test_fraction}")
    archive = archive or DatasetOptions()
    source = find_dataset(name, columns or ColumnNames(), captions, archive, bad_images)
    splitting.refuse_unused(source, test_fraction, split_seed, validation=validation)
    source.refuse_repeated_names()
    looked = image_check.look(source.rows, drawn=source.drawn)
    rows = dataclasses.replace(source.rows, image_bytes=np.array(looked.lengths, dtype=np.int64))
    keys, notes, digests, bad = rows.file_names, list(source.notes), looked.digests, looked.bad
    good = np.ones(len(rows), dtype=bool)
    good[sorted(bad)] = False
    left_out = [*source.left_out.items(), *((keys[row], bad[row]) for row in sorted(bad))]
    if bad and bad_images == "error" and not archive.partial:
        raise UserError(image_check.complaint(name, left_out, source.leaves_out))
    if left_out:
        notes.append(image_check.left_out(len(rows) + len(source.left_out), left_out))
    source.require_captioned({row: digests[row] for row in np.flatnonzero(good).tolist()})

    is_test = splitting.held_out_for_test(source, good, test_fraction, split_seed)
    used: list[int] = sorted(np.flatnonzero(good).tolist(), key=keys.__getitem__)
    texts = ([keys[row], rows.captions[row]] for row in used)
    evaluated, train, test = "test", np.flatnonzero(good & ~is_test), np.flatnonzero(good & is_test)
    if validation:
        evaluated = "validation"
        train, test = splitting.held_out_for_validation(
            source, train, VALIDATION_FRACTION, split_seed
        )
    known = {digests[row] for row in train}
    if again := sum(digests[row] in known for row in test):
        are = "is" if again == 1 else "are"
        notes.append(
            f"{again} of {pluralize(len(test), f'{evaluated} image')} {are} in the training part "
            "too, byte for byte: accuracy there says nothing about new images"
        )
    everything = Samples(rows, np.arange(len(rows)), source.labels)
    parts = {"train": everything.select(train), evaluated: everything.select(test)}
    return Data(
        name=name,
        class_names=tuple(source.class_names),
        order=tuple(range(len(source.class_names))),
        train=parts["train"],
        test=parts[evaluated],
        captions=source.captions,
        captions_id=source.captions_id or rows_sha256(texts),
        data_sha256=data_sha256(source, digests, is_test, used),
        split=splitting.split_name(source, test_fraction, split_seed),
        split_sha256=list_sha256(parts[evaluated].file_names),
        notes=tuple(notes),
        left_out=tuple(left_out),
        absent=source.absent,
    )
