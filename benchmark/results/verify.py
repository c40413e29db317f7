"""Whether a run's figures follow from its own configuration, predictions and exemplars."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmark import run_files
from benchmark.formatting import result_phases_words
from benchmark.results import old_schemas, records, strict_json
from benchmark.results.consistency import contradictions
from benchmark.results.file_check import hash_faults, missing_files, source_faults
from benchmark.results.io import load, result_file
from benchmark.results.known_check import known_faults
from benchmark.results.memory_check import file_faults, ledger_faults
from benchmark.results.prediction_check import accuracy_faults, prediction_faults
from benchmark.results.schema import SCHEMA_VERSION, Result, ResultFile
from benchmark.results.shape import mismatches
from mm_imagenet_r.errors import UserError

#: What a folder cannot show, for whoever reads that it is verified.
UNCHECKED = """Not checked, since it takes the data, the backbone or a repetition of the run
(python -m benchmark.leaderboard verify --predict, --run):
  - that the model made these predictions: they may have been edited together with their hash and
    the figures in result.json;
  - that this configuration, method and settings were run (not another learning rate, or a method
    under another's name);
  - the hashes of backbone and harness;
  - the sizes of state and exemplars, once their files are deleted;
  - the outcome of the invariance check, losses, hardware, seconds and versions;
  - for data sets that are not shipped with this program also: hashes of data and captions, labels,
    the mean size of a sample, and that exemplars are training samples."""


class Guesses(NamedTuple):
    """What the own classifier predicted: a hash of it, the run's seed, and whether it is telling.

    Good models of a small test set, and those that train nothing, agree by chance or by right.
    """

    sha256: str
    seed: int
    telling: bool


@dataclass
class Verdict:
    """What was found in one folder: discrepancies in words, and what a reader should know besides.

    `result` is None if it cannot be read, `guesses` if there are no predictions.
    """

    folder: Path
    found: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    result: Result | None = None
    guesses: Guesses | None = None


def verify(folder: Path) -> list[str]:
    """Recompute what follows from a run's result.json or the files beside it; return discrepancies.

    These are facts that contradict each other, the configuration or the data set as shipped;
    predictions that cannot be, figures that do not follow from them, ledgers that are not sums of
    the exemplars, files with another hash, budgets exceeded.

    Raises:
        UserError: result.json itself cannot be read.
    """
    return examine(folder).found


def verify_all(folders: Sequence[Path]) -> Iterator[Verdict]:
    """`verify` each folder, unreadable ones too, and compare their predictions with each other."""
    verdicts = []
    for folder in folders:
        try:
            verdicts.append(examine(folder))
        except UserError as error:
            verdicts.append(Verdict(folder, [str(error)]))
    compare(verdicts)
    yield from verdicts


def examine(folder: Path) -> Verdict:
    """`verify` with what else is to be said of a folder, and with what it holds.

    Raises:
        UserError: result.json itself cannot be read.
    """
    path = result_file(folder)
    raw = strict_json.read(path)
    result = load(raw, path)
    verdict = Verdict(folder, result=result, notes=[*_notes(folder, result)])
    found = verdict.found
    if result["schema_version"] == 1:
        found += old_schemas.repetitions(raw, result)
    if result["schema_version"] == SCHEMA_VERSION:
        found += mismatches(raw, ResultFile, closed=True)
    found += [*contradictions(result), *hash_faults(folder, result), *source_faults(folder, result)]
    predictions: list[records.Prediction] = []
    exemplars: list[records.Stored] = []
    try:
        predictions = records.read_predictions(folder / run_files.PREDICTIONS)
        wrong = list(prediction_faults(result, predictions))
        found += wrong or accuracy_faults(result, predictions)
        verdict.guesses = _guesses(result, predictions)
    except UserError as error:
        found.append(str(error))
    table = folder / run_files.EXEMPLARS
    if table.exists() or any(phase["memory"]["exemplars"] for phase in result["phases"]):
        try:
            exemplars = records.read_exemplars(table)
        except UserError as error:
            found.append(str(error))
            return verdict
    tested = {row.file_name for row in predictions}
    strangers = [row.file_name for row in exemplars if row.file_name in tested]
    found += [f"{name} is an exemplar and a test sample" for name in strangers]
    found += known_faults(result, predictions, exemplars)
    found += ledger_faults(result, exemplars)
    found += file_faults(folder, result, exemplars)
    return verdict


def _notes(folder: Path, result: Result) -> Iterator[str]:
    if not result["complete"]:
        yield f"unfinished after {len(result['phases'])} of its phases"
    elif result["config"].get("stop_after"):
        yield f"{result_phases_words(result)} alone"
    if (evaluated := result["config"].get("evaluate_on", "test")) != "test":
        yield f"evaluated on {evaluated} data"
    if missing := missing_files(folder, result):
        *others, last = missing
        words = f"{', '.join(others)} and {last}" if others else last
        yield f"without the files of {words}, which are not checked"
    if result["schema_version"] == 1:
        yield f"schema 1, too old to check: {old_schemas.TOO_OLD}"


_TELLING = 20  # wrong predictions that two seeds do not have in common by chance


def _guesses(result: Result, predictions: Sequence[records.Prediction]) -> Guesses:
    own = sorted(row[:4] for row in predictions if row.classifier == result["classifier"])
    trained = sum(phase["steps"] for phase in result["phases"])
    errors = sum(row[2] != row[3] for row in own)
    digest = hashlib.sha256(repr(own).encode()).hexdigest()
    return Guesses(digest, result["seed"], bool(trained) and errors >= _TELLING)


def compare(verdicts: Sequence[Verdict]) -> None:
    """Say where runs with different seeds predict the same although something was trained."""
    first: dict[str, Verdict] = {}
    for verdict in verdicts:
        guesses = verdict.guesses
        if guesses is None:
            continue
        other = first.setdefault(guesses.sha256, verdict)
        if other.guesses is None or other.guesses.seed == guesses.seed:
            continue
        words = f"the predictions are those of {other.folder}, which has another seed"
        # Only errors in common are telling.
        (verdict.found if guesses.telling else verdict.notes).append(words)
