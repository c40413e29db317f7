"""The named data sets as a builder of `datasets`: each is a configuration, and so is a caption set.

(The file must not be called `mm_imagenet_r.py`: `datasets` takes that for a script and refuses it.)
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import datasets
import pyarrow as pa
from datasets.exceptions import DatasetGenerationError
from datasets.naming import INVALID_WINDOWS_CHARACTERS_IN_PATH

from mm_imagenet_r.catalog import CATALOG, MM_IMAGENET_R, find_source
from mm_imagenet_r.errors import UserError, few
from mm_imagenet_r.files import explain
from mm_imagenet_r.source import Source

ROWS_PER_TABLE: Final = 100


class MMImageNetR(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Images, captions and labels as a `datasets` builder; the columns are those of `features`.

    >>> MMImageNetR(config_name="mini").info.features["label"].num_classes
    40
    """

    VERSION = datasets.Version("1.0.0")
    # There is no list of configurations: each caption set in a folder of the user is one.
    DEFAULT_CONFIG_NAME = "mini"

    def __init__(
        self,
        cache_dir: str | None = None,
        dataset_name: str | None = None,
        config_name: str | None = None,
        hash: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        data_files: Any = None,
        split_name: str | None = None,
        partial: bool = False,
        **kwargs: Any,
    ) -> None:
        """Find the source of a configuration; its images are read when it is prepared.

        `config_name` is a data set of the catalog or a caption set of MM-ImageNet-R; by default
        `instructblip` where a data folder is given or set, else `mini`. `dataset_name` may be
        another registered name of the catalog. `data_dir`, `split_name` and `partial` are those of
        `catalog.find_source`; `hash` is not used, the rest is for `datasets`.

        Raises:
            UserError: There is no such configuration, its files are absent or damaged, or the
                cache cannot be written.
        """
        _require_texts(configuration=config_name, data_dir=data_dir, split_name=split_name)
        # Data files are empty when load_dataset calls (see hub.py). They, the options of the
        # source and `hash` stay off the configuration, so that every route to the same rows finds
        # the same cached copy.
        if dataset_name in CATALOG and dataset_name != MM_IMAGENET_R:
            if config_name not in (None, dataset_name):
                raise UserError(f"{dataset_name} has no configurations: leave {config_name!r} out")
            config_name = dataset_name
        name = config_name or _default(data_dir, split_name, partial)
        name = CATALOG[name].captions or name if name in CATALOG else name
        if data_files:
            raise UserError(f"configuration {name!r} of mm_imagenet_r takes no data_files")
        self.source = find_source(name, data_dir, split_name, partial=partial)
        if odd := sorted(set(name) & set(INVALID_WINDOWS_CHARACTERS_IN_PATH)):
            raise UserError(
                f"caption set {name!r} cannot be loaded, as no name may have a {' or '.join(odd)}: "
                "rename its file or folder in captions/"
            )
        with _faults_of_cache(cache_dir or datasets.config.HF_DATASETS_CACHE):
            super().__init__(
                cache_dir=cache_dir,
                dataset_name=MM_IMAGENET_R,
                config_name=name,
                hash=self.source.identity(),
                **kwargs,
            )

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """Make the cached copy; UserError if an image is broken or the cache cannot be written."""
        with _faults_of_cache(self._cache_dir_root):
            super().download_and_prepare(*args, **kwargs)

    def _info(self) -> Any:
        return datasets.DatasetInfo(
            description=self.source.description(),
            features=features(self.source),
            version=self.VERSION,
        )

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        # Labels as a list, for datasets divides lists among processes and workers.
        labels = list(range(len(self.source.classes())))
        return [
            datasets.SplitGenerator(split, {"split": str(split), "labels": labels})
            for split in (datasets.Split.TRAIN, datasets.Split.TEST)
        ]

    def _generate_tables(self, split: str, labels: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
        schema = self.info.features.arrow_schema
        rows = self.source.rows(split, labels)
        for number in itertools.count():
            try:
                some = list(itertools.islice(rows, ROWS_PER_TABLE))
            except UserError as error:
                raise _RefusedError(str(error)) from error
            if not some:
                return
            # The bytes go in as they are: an image as `datasets` encodes it would lose them when
            # its name happens to exist in the current folder.
            yield number, pa.Table.from_pylist(some, schema=schema)


def _require_texts(**options: object) -> None:
    for option, value in options.items():
        if value is not None and not isinstance(value, str | os.PathLike):
            raise UserError(f"{option}={few(repr(value))} is not a text: give one, or None")


def _default(*options: object) -> str:
    """The configuration where none is named: the real data if there is any trace of them."""
    entry = CATALOG[MM_IMAGENET_R]
    if any(options) or entry.folder():
        return entry.captions
    logging.getLogger(MM_IMAGENET_R).warning(
        "mm_imagenet_r: drawing mini, a toy data set, as no data folder is given. For MM-ImageNet-R"
        " give data_dir=FOLDER or set %s (python -m mm_imagenet_r.download FOLDER fetches its "
        "images); to draw mini without this message, name it",
        entry.environment,
    )
    return "mini"


@contextlib.contextmanager
def _faults_of_cache(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Explain errors of the operating system, also those that `datasets` has wrapped."""
    try:
        yield
    except (OSError, DatasetGenerationError) as error:
        cause = error.__cause__ if isinstance(error, DatasetGenerationError) else error
        if not isinstance(cause, OSError) or cause.errno is None:
            raise
        data = Path(folder) / MM_IMAGENET_R
        raise UserError(f"{explain(cause, data)} (HF_HOME, cache_dir)") from error


class _RefusedError(UserError, DatasetGenerationError):  # type: ignore[misc]
    """A `UserError` as it gets out: `datasets` hides errors of other kinds behind its own."""


def features(source: Source) -> Any:
    """Return the columns, the same for every source.

    `file_name` is the key everywhere; the path inside `image` is the same with `__` for `/`, as
    exports drop folders.
    """
    return datasets.Features(
        {
            "image": datasets.Image(),
            "caption": datasets.Value("string"),
            "label": datasets.ClassLabel(names=list(source.classes())),
            "file_name": datasets.Value("string"),
            "wnid": datasets.Value("string"),
            "class_name": datasets.Value("string"),
            "imagenet_index": datasets.Value("int32"),
            "style": datasets.Value("string"),
        }
    )
