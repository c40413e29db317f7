"""The data set as a builder of `datasets`, one configuration for each source of captions.

A further source is a further row in `SOURCES`. (The file must not be called `mm_imagenet_r.py`:
`datasets` takes that for a script and refuses it.)
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import datasets
import PIL
import pyarrow as pa

from mm_imagenet_r import mini
from mm_imagenet_r.errors import UserError, did_you_mean

ROWS_PER_TABLE: Final = 100


@dataclass(frozen=True, slots=True)
class Source:
    """Where the rows of a configuration come from.

    Attributes:
        description: One sentence for whoever lists the configurations.
        classes: Returns the names of the classes by their identifiers, in order of the labels.
        rows: Yields the rows of a split that belong to given labels, in order of the labels.
        identity: Returns what the rows depend on, as a hash: the name of their cached copy.
    """

    description: str
    classes: Callable[[], dict[str, str]]
    rows: Callable[[str, Sequence[int]], Iterator[dict[str, Any]]]
    identity: Callable[[], str]


def _mini_classes() -> dict[str, str]:
    return {cls.wnid: cls.name for cls in mini.classes()}


def _mini_identity() -> str:
    """Hash the code that draws, and the version of Pillow, whose encoder makes the bytes."""
    digest = hashlib.sha256(f"pillow {PIL.__version__}".encode())
    for path in [*sorted(Path(mini.__file__).parent.glob("*.py")), Path(__file__)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


SOURCES: Final[dict[str, Source]] = {
    "mini": Source(
        "40 drawn classes with captions, made by code in seconds; nothing is downloaded.",
        _mini_classes,
        mini.rows,
        _mini_identity,
    ),
}


def source(name: str) -> Source:
    """Return a source by the name of its configuration.

    Raises:
        UserError: There is none of this name.
    """
    if name not in SOURCES:
        raise UserError(
            f"no configuration {name!r} of mm_imagenet_r: {did_you_mean(name, SOURCES)}"
        )
    return SOURCES[name]


class MMImageNetR(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Images, captions and labels as a `datasets` builder; the columns are those of `features`.

    Example:
        >>> builder = MMImageNetR(config_name="mini")
        >>> builder.info.features["label"].num_classes
        40
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIGS: Final = [
        datasets.BuilderConfig(name, datasets.Version("1.0.0"), description=source.description)
        for name, source in SOURCES.items()
    ]
    DEFAULT_CONFIG_NAME = "mini"

    def __init__(
        self,
        cache_dir: str | None = None,
        dataset_name: str | None = None,
        config_name: str | None = None,
        hash: str | None = None,
        data_dir: str | None = None,
        data_files: Any = None,
        **kwargs: Any,
    ) -> None:
        # Data files are empty when load_dataset calls (see hub.py). They and `hash` stay off the
        # configuration, so that every route to the same rows finds the same cached copy.
        name = config_name or self.DEFAULT_CONFIG_NAME
        if data_dir is not None or data_files:
            raise UserError(
                f"configuration {name!r} of mm_imagenet_r takes no data_dir or data_files"
            )
        super().__init__(
            cache_dir=cache_dir,
            dataset_name="mm_imagenet_r",
            config_name=name,
            hash=SOURCES[name].identity() if name in SOURCES else None,
            **kwargs,
        )

    def _info(self) -> Any:
        return datasets.DatasetInfo(
            description=self.config.description,
            features=features(source(self.config.name)),
            version=self.VERSION,
        )

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        # Labels as a list, for datasets divides lists among processes and workers.
        labels = list(range(len(source(self.config.name).classes())))
        return [
            datasets.SplitGenerator(split, {"split": str(split), "labels": labels})
            for split in (datasets.Split.TRAIN, datasets.Split.TEST)
        ]

    def _generate_tables(self, split: str, labels: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
        schema = self.info.features.arrow_schema
        rows = source(self.config.name).rows(split, labels)
        for number in itertools.count():
            some = list(itertools.islice(rows, ROWS_PER_TABLE))
            if not some:
                return
            # The bytes go in as they are: an image as `datasets` encodes it would lose them when
            # its name happens to exist in the current folder.
            yield number, pa.Table.from_pylist(some, schema=schema)


def features(source: Source) -> Any:
    """Return the columns, the same for every source.

    `file_name` is the key everywhere; the path inside `image` is the same with `__` for `/`, as
    exports cut folders off.
    """
    return datasets.Features(
        {
            "image": datasets.Image(),
            "caption": datasets.Value("string"),
            "label": datasets.ClassLabel(names=list(source.classes())),
            "file_name": datasets.Value("string"),
            "wnid": datasets.Value("string"),
            "style": datasets.Value("string"),
        }
    )
