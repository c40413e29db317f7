"""MM-ImageNet-R: images, captions and class-incremental phases.

    >>> import mm_imagenet_r                                          # doctest: +SKIP
    >>> from datasets import load_dataset
    >>> ds = load_dataset("mm_imagenet_r", "mini")                    # doctest: +SKIP
    >>> phases = mm_imagenet_r.class_incremental(ds, phases=10)       # doctest: +SKIP
    >>> phases[0]["train"][0]["caption"]                              # doctest: +SKIP

Importing this package registers the names of its data sets with `datasets` and does nothing else.
"""

from __future__ import annotations

import os
from typing import Any

from mm_imagenet_r import hub
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.phases import Phase, class_incremental
from mm_imagenet_r.splits import hold_out

__all__ = ["Phase", "UserError", "class_incremental", "hold_out", "load"]
__version__ = "0.1.0"

hub.register()


def load(
    name: str | None = None,
    split: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    split_name: str | None = None,
    partial: bool = False,
    streaming: bool = False,
    cache_dir: str | None = None,
    num_proc: int | None = None,
) -> Any:
    """Load a configuration as `load_dataset("mm_imagenet_r", name)` does, by public API only.

    Args:
        name: Of the configuration: a data set of `mm_imagenet_r.catalog`, such as `mini`, or a
            caption set in the data folder, such as `instructblip`, or `instructblip@1a2b` where
            the folder holds several of that name. By default `instructblip` where there is a data
            folder, else `mini`.
        split: `train` or `test`, also sliced as in `train[:10%]`; all of them if not given.
        data_dir: Folder with the images of ImageNet-R and `captions/`, see
            `mm_imagenet_r.imagenet_r`. By default that in MM_IMAGENET_R_DATA_DIR.
        split_name: Which split into train and test: `seed42` (default), `coda`, `seeded`, `folder`.
        partial: Continue where images are missing or broken, or more than 1 % of the captions are
            missing.
        streaming: Make the rows one by one instead of caching them on disk.
        cache_dir: Where to cache, if not where `datasets` does.
        num_proc: Processes for the first preparation.

    Returns:
        `Dataset` or `DatasetDict`, when streaming `IterableDataset` or `IterableDatasetDict`. Its
        `info.description` names the caption set and the split with its hash.

    Raises:
        UserError: There is no such configuration or split, or images or captions are missing or
            damaged.
    """
    from mm_imagenet_r.builder import MMImageNetR

    builder = MMImageNetR(
        config_name=name,
        cache_dir=cache_dir,
        data_dir=data_dir,
        split_name=split_name,
        partial=partial,
    )
    try:
        if streaming:
            return builder.as_streaming_dataset(split)
        builder.download_and_prepare(num_proc=num_proc)
        return builder.as_dataset(split)
    except ValueError as error:
        if split is None or "split" not in str(error).lower():
            raise
        name = builder.config.name
        raise UserError(f"no split {split!r} of {name!r}: there are train and test") from error
