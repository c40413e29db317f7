"""Tables opened: Parquet in a folder or a file, `save_to_disk`, the Hub."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import datasets
from datasets import load_dataset, load_dataset_builder, load_from_disk
from datasets.exceptions import DatasetGenerationError

from benchmark.data import converted
from benchmark.data.raw_dataset import TEST_NAMES, TRAIN_NAMES
from mm_imagenet_r.arrow_files import require_plain
from mm_imagenet_r.errors import UserError, few, one_line
from mm_imagenet_r.folders import files_below
from mm_imagenet_r.parquet_files import read_schema, require_bounded
from mm_imagenet_r.reading import open_regular, parse_json, read_text

_HUB_SECONDS = 5.0
#: Bytes of a folder's card, and values in it.
_CARD = 2**20
_VALUES = 100_000
#: Rows that are converted at a time; `datasets` would take as many as the file has together.
_AT_ONCE = 64

T = TypeVar("T")


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show in a terminal what is going on, instead of the progress bars of `datasets`."""
    from rich.console import Console

    shown = not datasets.are_progress_bars_disabled()
    if shown:
        datasets.disable_progress_bars()
    try:
        with Console(stderr=True).status(what):
            yield
    finally:
        if shown:  # they are a setting of the whole program, and its owner's
            datasets.enable_progress_bars()


def is_table(folder: Path) -> bool:
    """Whether a folder holds Parquet or a saved data set rather than image files."""
    return _is_saved(folder) or bool(_parquet_files(folder))


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


@dataclass(frozen=True)
class Opened:
    """A table, and where the files are that its paths may lead to."""

    table: Any  # a `DatasetDict` or `Dataset`
    folders: Sequence[Path]


def load(name: str, path: Path, config: str | None) -> Opened:
    """Load Parquet, a folder of it, or a saved data set."""
    if path.is_dir():
        table = explained(
            name, lambda: _load_folder(path, config), "check that its files are whole"
        )
        return Opened(table, [path])
    if config is not None:
        raise UserError(f"{name}: a file has no configurations, leave {config!r} out")
    if path.suffix != ".parquet":
        raise UserError(f"{name} is not a Parquet file: give one, a folder of images or a Hub id")
    files = {"train": [path]}
    table = explained(name, lambda: _load_parquet(files), "check that the file is whole")
    return Opened(table, [path.parent])


def load_hub(name: str, repository: str, revision: str | None, config: str | None) -> Opened:
    """Load a data set from the Hub, or where that is offline from the cache."""

    def action() -> Any:
        loaded = converted.whole(lambda: load_dataset(repository, config, revision=revision))
        if revision is not None:
            _require_revision(loaded, repository, revision)
        return loaded

    from huggingface_hub import constants

    check = "check that the name is right and the network is up"
    if datasets.config.HF_HUB_OFFLINE:  # which HF_DATASETS_OFFLINE sets, too
        own = "HF_DATASETS_OFFLINE"
        variable = own if own in os.environ else "HF_HUB_OFFLINE"
        check = f"{variable} is set and the cache does not have it; unset that to download it once"
    else:
        _require_hub(repository)
    table = explained(name, action, f"{check} (no folder of that name is here)")
    cached = Path(constants.HF_HUB_CACHE, f"datasets--{repository.replace('/', '--')}")
    return Opened(table, [cached, datasets.config.DOWNLOADED_DATASETS_PATH])


def _parquet_files(folder: Path) -> list[Path]:
    """Parquet files anywhere below; the captions file of a folder of images does not count."""
    beside = folder / "captions.parquet"
    return [path for path in files_below(folder, ".parquet") if path != beside]


def _load_folder(folder: Path, config: str | None) -> Any:
    if _is_saved(folder):
        _require_own_arrow(folder)
        return load_from_disk(str(folder))
    card = folder / "README.md"
    if card.is_file() and re.search(r"^configs:", text := read_text(card, _CARD), re.MULTILINE):
        _require_own_files(text)
        return _load_described(folder, config)
    if config is not None:
        raise ValueError(f"it has no README.md with `configs`, so no configuration {config!r}")
    # `load_dataset(folder)` guesses a format from all files and may take a stray JSON for the data.
    files: dict[str, list[Path]] = {}
    for path in _parquet_files(folder):
        words = re.split(r"[^a-z]+", path.relative_to(folder).as_posix().lower())
        part = next((word for word in words if word in TRAIN_NAMES + TEST_NAMES), "train")
        files.setdefault(part, []).append(path)
    return _load_parquet(files)


def _load_described(folder: Path, config: str | None) -> Any:
    """Load the Parquet that the card of a folder names."""
    if (other := folder / datasets.config.REPOYAML_FILENAME).exists():
        raise UserError(f"{other} would replace README.md: put its `configs` there and remove it")
    if (infos := folder / datasets.config.DATASETDICT_INFOS_FILENAME).exists():
        read_text(infos)  # `datasets` would read it at any size
    files = files_below(folder, ".parquet")
    place = _place(files)

    def action() -> Any:
        builder = load_dataset_builder(str(folder), config, cache_dir=str(place))
        own = {os.path.realpath(path) for path in files}
        for path in itertools.chain.from_iterable((builder.config.data_files or {}).values()):
            if os.path.realpath(path) not in own:
                raise UserError(
                    f"README.md of {folder} names {Path(path).name}, which is not a Parquet file "
                    "in this folder: correct its `configs`"
                )
        builder.config.batch_size = _AT_ONCE
        builder.download_and_prepare()
        return builder.as_dataset()

    return converted.whole(action, place)


def _require_own_arrow(folder: Path) -> None:
    """Refuse a saved data set whose tables lie elsewhere or are packed: it may be from anyone."""
    for state in (folder / "state.json", *sorted(folder.glob("*/state.json"))):
        if not state.exists():
            continue
        said = parse_json(read_text(state))
        files = said.get("_data_files") if isinstance(said, Mapping) else None
        for file in files if isinstance(files, list) else [None]:
            name = file.get("filename") if isinstance(file, Mapping) else None
            if not isinstance(name, str) or Path(name).name != name:
                raise ValueError(
                    f"{state.name} names the file {few(repr(name))}, not one beside it"
                )
            open_regular(state.parent / name).close()
            require_plain(state.parent / name)


def _require_own_files(card: str) -> None:
    """Refuse a card that names files elsewhere: it came with the folder, from anyone."""
    import yaml
    from huggingface_hub.repocard import REGEX_YAML_BLOCK  # as `datasets` finds it

    block = REGEX_YAML_BLOCK.search(card)
    said = yaml.safe_load(block[2]) if block else None
    if _weight(said, {}) > _VALUES:
        raise ValueError("README.md stands for more values than any card has")
    waiting: list[Any] = [said.get("configs") if isinstance(said, Mapping) else None]
    while waiting:
        value = waiting.pop()
        waiting += value.values() if isinstance(value, Mapping) else ()
        waiting += value if isinstance(value, list) else ()
        if isinstance(value, str) and (
            value.startswith(("/", "~")) or "://" in value or ".." in re.split(r"[/\\]", value)
        ):
            raise UserError(
                f"README.md of the folder names files outside it ({few(value)}): correct its "
                "`configs`, or remove them if the names of the files tell the parts"
            )


def _weight(value: Any, known: dict[int, int]) -> int:
    """How many values one of YAML stands for: aliases multiply them, in few letters without end."""
    if id(value) not in known:
        inner = [*value.values()] if isinstance(value, Mapping) else value
        many = isinstance(inner, list)
        known[id(value)] = 1 + sum(_weight(each, known) for each in inner) if many else 1
    return known[id(value)]


def _load_parquet(parts: Mapping[str, Sequence[Path]]) -> Any:
    paths = [path for some in parts.values() for path in some]
    place = _place(paths)
    # `datasets` takes names for patterns.
    files = {part: [glob.escape(str(path)) for path in some] for part, some in parts.items()}
    return converted.whole(
        lambda: load_dataset(
            "parquet", data_files=files, cache_dir=str(place), batch_size=_AT_ONCE
        ),
        place,
    )


def _place(paths: Sequence[Path]) -> Path:
    """Where the copies of some files are; those that unpack to far more are refused first."""
    for path in paths:
        read_schema(path)
    place = converted.place(paths)
    if not place.exists():
        for path in paths:
            require_bounded(path)
    return place


def explained(name: str, action: Callable[[], T], check: str) -> T:
    """Call `action`; UserError for whatever it raises, which ends in what to `check`."""
    try:
        return action()
    except UserError:
        raise
    except Exception as error:  # `datasets` raises nearly every kind there is
        hidden = isinstance(error, DatasetGenerationError)  # it says no more than "failed"
        cause = error.__cause__ if hidden and error.__cause__ else error
        text = (isinstance(cause, OSError) and cause.strerror) or str(cause)
        lines = text.strip().splitlines() or [type(cause).__name__]
        words = one_line(lines[0].rstrip("."))
        raise UserError(f"{name} could not be loaded ({words}): {check}") from error


def _require_hub(name: str) -> None:
    """Ask the Hub for a sign of life: `datasets` would retry for half a minute."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_SECONDS)
    except Exception as error:
        raise UserError(
            f"there is no folder {name} here, and the Hub ({constants.ENDPOINT}) cannot be "
            f"reached ({type(error).__name__}): check the path or the network. A data set that was "
            "loaded before opens without network if HF_HUB_OFFLINE=1 is set"
        ) from error


def _require_revision(loaded: Any, repository: str, revision: str) -> None:
    """Refuse rows of another revision: those last cached, if this one could not be had."""
    from huggingface_hub import HfApi, scan_cache_dir

    commit: str | None = revision
    if not datasets.config.HF_HUB_OFFLINE:
        commit = HfApi().dataset_info(repository, revision=revision).sha
    elif not re.fullmatch("[0-9a-f]{40}", revision):  # a branch or tag
        commits = {
            repo.refs[revision].commit_hash
            for repo in scan_cache_dir().repos
            if (repo.repo_id, repo.repo_type) == (repository, "dataset") and revision in repo.refs
        }
        commit = next(iter(commits), None)
    parts = loaded.values() if isinstance(loaded, Mapping) else [loaded]
    files = [Path(file["filename"]) for part in parts for file in part.cache_files]
    if not all(file.parent.name == commit for file in files):
        raise UserError(
            f"revision {revision} of {repository} could not be fetched, and the cache holds "
            "another one: load it once with a network connection"
        )
