"""How far a result was verified, and what maintainers recorded of it in `ROOT/verified.json`.

A record holds for the content of two files, wherever they lie, so a result that was edited falls
back to what it shows by itself. Only the file at the root counts: what lies deeper came with a
result and says nothing.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmark.results import strict_json
from benchmark.results.io import result_file
from benchmark.results.records import PREDICTIONS
from benchmark.results.schema import mismatches
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic

RECORD: Final = "verified.json"
_VERSION: Final = 1


class Level(enum.IntEnum):
    """What is known of a result; each level includes those before it."""

    REFUSED = 0
    CONSISTENT = 1
    REPREDICTED = 2
    REPRODUCED = 3

    @property
    def word(self) -> str:
        """The level as it is written for people.

        >>> [level.word for level in Level]
        ['refused', 'consistent', 're-predicted', 'reproduced']
        """
        return _WORDS[self][0]

    @property
    def meaning(self) -> str:
        """In a sentence what the level says, and what it does not."""
        return _WORDS[self][1]


_WORDS: Final = {
    Level.REFUSED: ("refused", "It contradicts itself or what is known of its data."),
    Level.CONSISTENT: (
        "consistent",
        "Every figure follows from the predictions, the ledger from the exemplars, and labels and "
        "hashes are those of the data set. That the model made these predictions was not checked.",
    ),
    Level.REPREDICTED: (
        "re-predicted",
        "The model, made again from its stored state and memory, gives the same predictions after "
        "the last phase. Earlier phases, and how the model was trained, were not checked.",
    ),
    Level.REPRODUCED: (
        "reproduced",
        "The whole run was repeated from its configuration and gave the same predictions, or "
        "figures within the noise that is stated.",
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What was found of one result.

    Attributes:
        folder: Where it lies.
        level: How far it was verified.
        reasons: Why it is refused, or why it is not higher; what was found at its level.
    """

    folder: Path
    level: Level
    reasons: tuple[str, ...] = ()


class Files(NamedTuple):
    """The content that a record holds for: sha256 of the result file and of the predictions."""

    result: str
    predictions: str


class Record(NamedTuple):
    """What maintainers found; `how` says by what, in a sentence."""

    level: Level
    how: str


def files_of(folder: Path) -> Files:
    """Hashes of a result's two files as they lie there; "" for one that is absent."""
    return Files(*(_sha256(path) for path in (result_file(folder), folder / PREDICTIONS)))


def recorded(root: Path) -> dict[Files, Record]:
    """What maintainers recorded of the results below a folder; {} if nothing.

    Raises:
        UserError: `verified.json` is damaged.
    """
    path = root / RECORD
    if not path.exists():
        return {}
    value = strict_json.read(path)
    shape: Any = dict[str, int | list[dict[str, str]]]
    found = list(mismatches(value, shape, RECORD))
    try:
        if found or value["version"] != _VERSION:
            raise ValueError(found[0] if found else f"its version is not {_VERSION}")
        levels = {level.word: level for level in (Level.REPREDICTED, Level.REPRODUCED)}
        return {
            Files(entry["result_sha256"], entry["predictions_sha256"]): Record(
                levels[entry["level"]], entry["how"]
            )
            for entry in value["results"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not what `python -m benchmark.leaderboard verify --record` writes "
            f"({error}): put it back as it was"
        ) from error


def lifted(verdict: Verdict, records: Mapping[Files, Record]) -> Verdict:
    """A result that is consistent, at the level that was recorded of it."""
    if verdict.level is Level.REFUSED or not records:
        return verdict
    record = records.get(files_of(verdict.folder))
    if record is None or record.level <= verdict.level:
        return verdict
    return replace(verdict, level=record.level, reasons=(record.how,))


def write_record(root: Path, found: Mapping[Files, Record], folders: Iterable[Path]) -> None:
    """Write `verified.json` for those of some results below `root` of which there is a record.

    Raises:
        UserError: It cannot be written.
    """
    entries = []
    for folder in sorted(folders):
        files = files_of(folder)
        if record := found.get(files):
            entries.append(
                {
                    "folder": folder.relative_to(root).as_posix(),
                    "level": record.level.word,
                    "how": record.how,
                    "result_sha256": files.result,
                    "predictions_sha256": files.predictions,
                }
            )
    text = json.dumps({"version": _VERSION, "results": entries}, indent=1, ensure_ascii=False)
    write_atomic(root / RECORD, (text + "\n").encode())


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
