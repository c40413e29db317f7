"""How far a result was verified, and what maintainers recorded of it in `ROOT/verified.json`.

A record holds for the content of two files, wherever they lie: an edited result loses it. Only the
file at the root counts, as what lies deeper came with a result.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, TypedDict

from benchmark.results import strict_json
from benchmark.results.io import result_file
from benchmark.results.shape import mismatches
from benchmark.run_files import PREDICTIONS
from mm_imagenet_r.errors import UserError, printable
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.folders import exists, is_link
from mm_imagenet_r.hashes import file_sha256

RECORD: Final = "verified.json"
_VERSION: Final = 1
_LONGEST: Final = 400  # characters of a reason


class Level(enum.IntEnum):
    """What is known of a result; each level includes those before it."""

    REFUSED = 0
    CONSISTENT = 1
    REPREDICTED = 2
    REPRODUCED = 3

    @property
    def word(self) -> str:
        """The level as it is written for people."""
        return _WORDS[self][0]

    @property
    def meaning(self) -> str:
        """In a sentence what the level shows, and what it does not."""
        return _WORDS[self][1]


_WORDS: Final = (
    ("refused", "It contradicts itself or what is known about its data."),
    (
        "consistent",
        "Every figure follows from the predictions and the ledger from the exemplars; labels and "
        "hashes are those of the data set, as far as this project ships them. Whether the model "
        "made these predictions was not checked.",
    ),
    (
        "re-predicted",
        "The model, rebuilt from its stored state and memory, gives the same predictions after the "
        "last phase. Earlier phases, and how the model was trained, were not checked.",
    ),
    (
        "reproduced",
        "The whole run was repeated from its configuration and gave the same predictions, or "
        "figures within the stated noise.",
    ),
)


@dataclass(frozen=True)
class Verdict:
    """What was found of one result.

    `reasons` say why it is refused, or not at a higher level; at a higher level, what was found
    there. They quote what others wrote, so they are made safe to print.
    """

    folder: Path
    level: Level
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "reasons", tuple(map(safe, self.reasons)))

    def __str__(self) -> str:
        """A line for the result and one for each reason, never a command to the workflow."""
        return "\n  - ".join([f"{safe(str(self.folder))}: {self.level.word}", *self.reasons])


def safe(text: str) -> str:
    r"""A text as one line that a terminal only shows, of bounded length.

    >>> safe("a\x1b[31m\nred")
    'a\\x1b[31m\\nred'
    """
    line = printable(text[:_LONGEST])
    return line if len(text) <= _LONGEST else f"{line}..."


class Files(NamedTuple):
    """The content that a record holds for: sha256 of the result file and of the predictions."""

    result: str
    predictions: str


class Record(NamedTuple):
    """What maintainers found: `how` says by what, `folder` where the result lay below the root."""

    level: Level
    how: str
    folder: str


def files_of(folder: Path) -> Files:
    """Hashes of a result's two files as they lie there; "" for one that is absent."""
    paths = result_file(folder), folder / PREDICTIONS
    return Files(*(file_sha256(path) if path.is_file() else "" for path in paths))


def recorded(root: Path) -> dict[Files, Record]:
    """What maintainers recorded of the results below a folder; {} if nothing.

    Raises:
        UserError: `verified.json` is damaged, or it or the folder is a link.
    """
    path = root / RECORD
    for place in (root, path):
        if is_link(place):  # it would lead to levels that no maintainer recorded here
            raise UserError(f"{place} is a link: put the folder or file itself there")
    if not exists(path):
        return {}
    remedy = "restore it, or remove it: then nothing is recorded"
    value = strict_json.read(path, remedy)
    levels = {level.word: level for level in (Level.REPREDICTED, Level.REPRODUCED)}
    try:
        if found := list(mismatches(value, _Shape, "")):
            raise ValueError(found[0])
        if value["version"] != _VERSION:
            raise ValueError(f"version {value['version']}, not {_VERSION}")
        return {
            Files(one["result_sha256"], one["predictions_sha256"]): Record(
                levels[one["level"]], one["how"], one["folder"]
            )
            for one in value["results"]
        }
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} is not what `python -m benchmark.leaderboard verify --record` writes "
            f"({error}): {remedy}"
        ) from error


def lifted(verdict: Verdict, records: Mapping[Files, Record]) -> Verdict:
    """A result that is consistent, at the level that was recorded of it."""
    if verdict.level is Level.REFUSED or not records:
        return verdict
    record = records.get(files_of(verdict.folder))
    if record is None or record.level <= verdict.level:
        return verdict
    return replace(verdict, level=record.level, reasons=(record.how,))


def write_record(root: Path, records: Mapping[Files, Record]) -> None:
    """Write `verified.json`.

    Raises:
        UserError: It cannot be written.
    """
    entries = [
        _Entry(
            folder=record.folder,
            level=record.level.word,
            how=record.how,
            result_sha256=files.result,
            predictions_sha256=files.predictions,
        )
        for files, record in sorted(records.items(), key=lambda item: item[1].folder)
    ]
    text = json.dumps({"version": _VERSION, "results": entries}, indent=1)
    write_atomic(root / RECORD, (text + "\n").encode())


class _Entry(TypedDict):
    folder: str
    level: str
    how: str
    result_sha256: str
    predictions_sha256: str


class _Shape(TypedDict):
    version: int
    results: list[_Entry]
