"""`python -m benchmark.leaderboard verify`: at which level each of some results may stand."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmark.leaderboard.bounded import Failed, each
from benchmark.leaderboard.check import check
from benchmark.leaderboard.installed import Means
from benchmark.leaderboard.levels import (
    RECORD,
    Files,
    Level,
    Record,
    Verdict,
    files_of,
    lifted,
    recorded,
    safe,
    write_record,
)
from benchmark.leaderboard.tree import folder_faults, results_below
from mm_imagenet_r.errors import UserError, did_you_mean, pluralize
from mm_imagenet_r.folders import is_folder, resolved

_MINUTES: Final = 60.0
_DEVICES: Final = ("auto", "cpu", "cuda", "mps")

_EXAMPLES: Final = """examples:
  python -m benchmark.leaderboard verify results
  python -m benchmark.leaderboard verify results --predict --runs runs --record results
  python -m benchmark.leaderboard verify results/mini-10phases-5-bytes/replay --run --record results

Levels: consistent, re-predicted (--predict), reproduced (--run); docs/trust.md says what each one
finds. Exit code 1 if a result does not reach the requested level. For your own runs, unfinished or
on validation data too: `python -m benchmark.results RUNS --verify`."""


def parser() -> argparse.ArgumentParser:
    """Its command line."""
    from mm_imagenet_r.command_line import Parser, path_of

    command = Parser(
        prog="python -m benchmark.leaderboard verify",
        description="Report the level that each result reaches, and why it is not higher.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = command.add_argument
    add("paths", nargs="+", type=path_of, metavar="PATH", help="folders of results")
    add(
        "--predict",
        action="store_true",
        help="rebuild each model from its stored state and memory, and compare its predictions",
    )
    add(
        "--run",
        action="store_true",
        help="repeat each run from its configuration, in a temporary folder, and compare",
    )
    add(
        "--runs",
        nargs="+",
        type=path_of,
        default=[],
        metavar="FOLDER",
        help="whole runs, with state and memory, of results that lack them",
    )
    add(
        "--noise",
        type=float,
        metavar="POINTS",
        help="with --run: how much the accuracies of each classifier may differ; exemplars and "
        "bytes by 2 %% (default: every prediction must be the same)",
    )
    add("--data-dir", type=path_of, metavar="FOLDER", help="data of mm_imagenet_r or upmc_food101")
    add(
        "--trust",
        nargs="+",
        default=[],
        metavar="NAME",
        help="data sets, backbones and caption files of results that may be opened besides those "
        "that benchmark.run knows by name",
    )
    add(
        "--device",
        metavar="{auto,cpu,cuda,mps}",
        help="where to predict and run (default: as the result was computed, if available)",
    )
    add(
        "--minutes",
        type=float,
        metavar="N",
        help=f"time limit for each result predicted or run again (default: {_MINUTES:g})",
    )
    add(
        "--record",
        type=path_of,
        metavar="ROOT",
        help=f"root of the results: keep what --predict and --run find in ROOT/{RECORD}, result by "
        "result; what is recorded there is shown and not repeated",
    )
    add("--json", action="store_true", help="print a JSON list of verdicts instead of lines")
    return command


def main(arguments: Sequence[str]) -> int:
    """Verify; 0 if every result reaches the level that was asked for, else 1.

    Raises:
        UserError: A mistake in the command line, or no results.
    """
    given = parser().parse_args(arguments)
    _refuse(given)
    records = recorded(given.record) if given.record else {}
    verdicts = {verdict.folder: verdict for verdict in check(given.paths, records)}
    wanted = Level.CONSISTENT
    if given.predict or given.run:
        wanted = Level.REPRODUCED if given.run else Level.REPREDICTED
        for verdict in _further(verdicts, wanted, records, given):
            verdicts[verdict.folder] = verdict
    else:
        for folder, verdict in verdicts.items():
            verdicts[folder] = _with_record(verdict, records)
            _tell(verdicts[folder], given)
    if given.json:
        plain = [
            {"folder": str(one.folder), "level": one.level.word, "reasons": one.reasons}
            for one in verdicts.values()
        ]
        print(json.dumps(plain, indent=1))
    counts = Counter(verdict.level.word for verdict in verdicts.values())
    words = ", ".join(f"{counts[level.word]} {level.word}" for level in Level if counts[level.word])
    words = f"{pluralize(len(verdicts), 'result')}: {words}"
    print(words, file=sys.stderr if given.json else sys.stdout)
    return int(any(verdict.level < wanted for verdict in verdicts.values()))


def _refuse(given: argparse.Namespace) -> None:
    either = ("predict", "run")
    needs = {"trust": either, "minutes": either, "device": either, "data_dir": either}
    for name, needed in {"runs": ("predict",), "noise": ("run",), **needs}.items():
        if getattr(given, name) not in (None, []) and not any(getattr(given, n) for n in needed):
            raise UserError(f"--{name.replace('_', '-')} needs --{' or --'.join(needed)}")
    if given.noise is not None and not 0 <= given.noise <= 100:
        raise UserError(f"--noise {given.noise:g}: give points of accuracy, from 0 to 100")
    if given.minutes is not None and not 0 < given.minutes < 1e6:
        raise UserError(f"--minutes {given.minutes:g}: give a positive number")
    if given.device is not None and given.device not in _DEVICES:
        raise UserError(f"--device {given.device}: {did_you_mean(given.device, _DEVICES)}")
    for path in (*given.runs, *filter(None, (given.record, given.data_dir))):
        if not is_folder(path):
            raise UserError(f"{path} is not a folder: check the path")
    for path in given.paths if given.record else ():
        if not resolved(path).is_relative_to(resolved(given.record)):
            raise UserError(f"{path} is not inside {given.record} (--record)")


def _with_record(verdict: Verdict, records: Mapping[Files, Record]) -> Verdict:
    """A verdict that tells what maintainers recorded of a result; its level is what was found."""
    there = lifted(verdict, records)
    if there.level is verdict.level:
        return verdict
    words = f"recorded as {there.level.word}: {there.reasons[0]}"
    return replace(verdict, reasons=(words, *verdict.reasons))


def _further(
    verdicts: Mapping[Path, Verdict],
    wanted: Level,
    records: Mapping[Files, Record],
    given: argparse.Namespace,
) -> Iterator[Verdict]:
    """Predict, or run again, what is consistent; tell each verdict, and record it at once."""
    todo = []
    for verdict in verdicts.values():
        there = lifted(verdict, records)
        if Level.REFUSED < there.level < wanted:
            todo.append(there)
        else:
            _tell(there, given)
            yield there
    if given.record:
        _drop_untrue(given.record, verdicts)
    checked = {verdict.folder: files_of(verdict.folder) for verdict in todo}
    for verdict in _repeated(todo, given):
        files = checked[verdict.folder]
        if files_of(verdict.folder) != files:
            words = "its files changed meanwhile: verify it again"
            verdict = replace(verdict, level=Level.REFUSED, reasons=(words,))
        if given.record and verdict.level > Level.CONSISTENT:
            below = verdict.folder.resolve().relative_to(given.record.resolve())
            record = Record(verdict.level, verdict.reasons[0], safe(below.as_posix()))
            # Read again: somebody may be verifying other results of this root.
            now = recorded(given.record)
            write_record(given.record, {**now, files: record})
        _tell(verdict, given)
        yield verdict


def _drop_untrue(root: Path, verdicts: Mapping[Path, Verdict]) -> None:
    """Forget records of results that are gone, edited or refused; of moved ones note the place."""
    refused = {v.folder.resolve() for v in verdicts.values() if v.level is Level.REFUSED}
    there = {
        files_of(folder): safe(folder.relative_to(root).as_posix())
        for folder in reversed(results_below([root]).folders)
        if folder.resolve() not in refused and not folder_faults(folder)
    }
    records = recorded(root)  # again: somebody may have recorded something meanwhile
    kept = records.keys() & there.keys()
    found = {files: records[files]._replace(folder=there[files]) for files in kept}
    if found != records:
        write_record(root, found)


def _repeated(todo: Sequence[Verdict], given: argparse.Namespace) -> Iterator[Verdict]:
    """Each verdict once more, with what predicting and running again found."""
    from benchmark.leaderboard.predict import Repeat, find_runs, predict
    from benchmark.leaderboard.rerun import RunAgain, run_again

    means = Means(given.data_dir, tuple(given.trust), given.device or "auto")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4
    limits: Any = {"seconds": 60 * (given.minutes or _MINUTES), "memory": memory}
    folders = [verdict.folder for verdict in todo]
    runs = find_runs(folders, given.runs) if given.predict else dict.fromkeys(folders)
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        scratch = Path(name)
        none: Iterator[Any] = iter([None] * len(todo))
        predicted = again = none
        if given.predict:
            jobs = [Repeat(folder, runs[folder], means, scratch) for folder in folders]
            predicted = each(predict, jobs, **limits)
        if given.run:
            more = [RunAgain(folder, None, means, scratch, given.noise) for folder in folders]
            again = each(run_again, more, **limits)
        for verdict, *answers in zip(todo, predicted, again, strict=True):
            yield reached(verdict, *answers, whole=runs[verdict.folder] is not None)


def reached(
    verdict: Verdict, predicted: str | Failed | None, again: str | Failed | None, *, whole: bool
) -> Verdict:
    """A verdict at the level that was reached, the sentence about that first.

    `predicted` and `again` are what predicting and running again found, None if not asked for.
    Where the state was there (`whole`), a re-run does not outweigh what predicting found.
    """
    level, said, failed = verdict.level, [], []
    if isinstance(predicted, Failed):
        failed = [predicted.why]
    elif predicted is not None:
        level, said = Level.REPREDICTED, [predicted]
    if isinstance(again, Failed):
        failed.append(again.why)
    elif again is not None and failed and whole:
        failed.append(f"{again}, but its state is of another model")
    elif again is not None:
        level, said = Level.REPRODUCED, [again]
    return replace(verdict, level=level, reasons=(*said, *failed))


def _tell(verdict: Verdict, given: argparse.Namespace) -> None:
    print(verdict, file=sys.stderr if given.json else sys.stdout, flush=True)
