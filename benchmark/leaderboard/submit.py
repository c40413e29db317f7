"""`python -m benchmark.leaderboard submit RUN... --out FOLDER`: runs for a pull request."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmark.config import RunConfig
from benchmark.leaderboard.check import check
from benchmark.leaderboard.levels import Level, Verdict
from benchmark.options import from_mapping
from benchmark.results import strict_json
from benchmark.results.derive import given_config
from benchmark.results.io import is_there, read, result_file
from benchmark.results.schema import Result
from benchmark.results.small_form import copy_small, files_beside
from benchmark.run_files import MEMORY, STATE
from mm_imagenet_r.command_line import Parser, path_of
from mm_imagenet_r.errors import UserError, pluralize, summarize
from mm_imagenet_r.files import check_writable, open_atomic
from mm_imagenet_r.folders import resolved

RESULTS: Final = "results"
WHOLE: Final = "whole-runs.zip"
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)  # equal runs give an equal archive

_EXAMPLES: Final = """examples:
  python -m benchmark.leaderboard submit runs --out submission
  python -m benchmark.leaderboard submit runs/mini-10phases-5-bytes/replay --out . --with-state"""


def parser() -> argparse.ArgumentParser:
    """Its command line."""
    command = Parser(
        prog="python -m benchmark.leaderboard submit",
        description="Verify finished runs and arrange their results for a pull request, as "
        f"FOLDER/{RESULTS}/SETTING/METHOD/RUN.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = command.add_argument
    add("runs", nargs="+", type=path_of, metavar="RUN", help="runs, or folders of them")
    add(
        "--out",
        type=path_of,
        required=True,
        metavar="FOLDER",
        help="your clone of the project, or any other folder",
    )
    add(
        "--with-state",
        action="store_true",
        help=f"also write FOLDER/{WHOLE}, with state and memory, so that maintainers can repeat "
        "the predictions (attach it to the pull request, do not commit it)",
    )
    return command


def main(arguments: Sequence[str]) -> int:
    """Pack; always 0.

    Raises:
        UserError: A mistake in the command line, a run that is refused or not whole, another
            result in its place, a folder that cannot be written.
    """
    given = parser().parse_args(arguments)
    check_writable(given.out, "--out")
    for run in given.runs:  # what is packed would be found among the runs the next time
        if resolved(given.out).is_relative_to(resolved(run)):
            raise UserError(f"--out {given.out} is inside {run}: choose a folder outside the runs")
    places = _placed(check(given.runs))
    _refuse_others(places, given.out)
    if given.with_state:
        _pack_whole(places, given.out / WHOLE)
    for place, run in places.items():
        copy_small(run, given.out / RESULTS / place)
        print(f"{given.out / RESULTS / place}: consistent")
    print(_next_steps(places, given.out, given.with_state))
    return 0


def place_of(result: Result) -> Path:
    """Where a result lies below a folder of results: SETTING/METHOD/RUN.

    Raises:
        UserError: Its configuration is not one of this program.
    """
    config = RunConfig(**from_mapping(given_config(result), source="config"))
    (cell,) = dataclasses.replace(config, output=Path()).cells()
    return cell.folder()


def _placed(verdicts: Sequence[Verdict]) -> dict[Path, Path]:
    """Where each run is to be put; of two equal ones the first is taken."""
    refused = [verdict for verdict in verdicts if verdict.level is Level.REFUSED]
    for verdict in refused:
        print(verdict, file=sys.stderr)
    if refused:
        raise UserError(
            f"{len(refused)} of {pluralize(len(verdicts), 'result')} are not fit for a board, so "
            "nothing was packed: fix them, or name only the others"
        )
    places: dict[Path, Path] = {}
    for verdict in verdicts:
        places.setdefault(place_of(read(verdict.folder)), verdict.folder)
    return places


def _refuse_others(places: Mapping[Path, Path], out: Path) -> None:
    for place, run in places.items():
        there = out / RESULTS / place
        above = reversed(there.parents[: len(place.parts)])
        for path in (*above, there, *there.rglob("*")):
            if path.is_symlink():
                raise UserError(f"{path} is a link, perhaps to what is not of {out}: remove it")
        if is_there(there) and _content(there) != _content(run):
            raise UserError(
                f"{there} has another result of this configuration: to replace it, remove that "
                "folder first and say why in the pull request"
            )


def _content(folder: Path) -> Any:
    """All that a result file holds, also what this program would not look at."""
    return strict_json.read(result_file(folder))


def _pack_whole(places: Mapping[Path, Path], path: Path) -> None:
    """Write an archive of whole runs, as `verify --predict --runs` reads them when unpacked."""
    lacking = [str(run) for run in places.values() if not (run / STATE).is_dir()]
    if lacking:
        raise UserError(
            f"{summarize(lacking)}: no {STATE}/, so --with-state has nothing to pack: name the "
            "folders of the runs themselves"
        )
    with open_atomic(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, run in sorted(places.items()):
            for name in _whole(run):
                entry = zipfile.ZipInfo((place / name).as_posix(), _LONG_AGO)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                with (
                    (run / name).open("rb") as data,
                    archive.open(entry, "w", force_zip64=True) as to,
                ):
                    shutil.copyfileobj(data, to, 2**20)


def _whole(run: Path) -> list[str]:
    """What of a run makes its model again."""
    names = [result_file(run).name, *files_beside(run)]
    for pattern in (f"{STATE}/*.safetensors", f"{MEMORY}/*.bin"):
        names += sorted(path.relative_to(run).as_posix() for path in run.glob(pattern))
    return names


def _next_steps(places: Iterable[Path], out: Path, with_state: bool) -> str:
    """What to do for a pull request, as a shell takes it."""
    methods = sorted({place.parts[1] for place in places})
    title = f"Results of {summarize(methods)}"
    lines = ["", "Next, in your clone of a fork of the project:", "  git switch -c my-results"]
    if not (out / ".git").exists():
        lines.append(f"  cp -R {shlex.quote(str(resolved(out / RESULTS)))} .")
    lines += [
        f"  git add {RESULTS}",
        f"  git commit -m {shlex.quote(title)}",
        "  git push -u origin my-results",
        "and open a pull request. Its checks verify the results and show what they find.",
    ]
    if with_state:
        lines.append(
            f"Attach {out / WHOLE}, or a link to it, so that a maintainer can repeat the "
            f"predictions. It has the {pluralize(len(list(places)), 'run')} of this command."
        )
    return "\n".join(lines)
