"""`python -m benchmark.tune`: choose settings on validation data, in the same way for all methods.

A trial is a run of the first phases only, evaluated on a fifth of their training data: test data
and later classes are not seen (but for their number and the mean length of a training sample).
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import isolation
from benchmark.config import RunConfig
from benchmark.option_names import dashed
from benchmark.options import Command, add_options, convert, read_file
from benchmark.sweep.command import How, check_counts, sweep
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError, few
from mm_imagenet_r.files import check_writable

#: How many phases a trial learns, where the user says nothing.
PHASES = 3
_LARGEST = 2**52  # number that a file of a recipe can hold
_DEFAULTS: Mapping[str, Any] = {"output": Path("trials"), "evaluate_on": "validation"}
#: Help texts of options whose meaning differs from that for a run.
_TEXTS = {
    "method": "names of methods, or file.py:Class, or package.module:Class; NAME@PRESET starts "
    "from a preset of one",
    "seeds": "seed of the trials",
    "evaluate_on": "validation, always: a fifth of the training data",
    "stop_after": f"how many phases a trial learns (default: {PHASES}, or all if there are fewer)",
    "recipe": "name by which runs find what is chosen",
    "output": "folder of the trials, which are runs (default: trials)",
    "overwrite": "delete earlier trials and choose again",
    "dry_run": "print what would be searched, train nothing",
}
_SEARCH = {
    "trials": "trials of each method, the first with its defaults (default: 8, or all there are if "
    "these are fewer)",
    "search_seed": "seed that draws the other trials (default: 0)",
    "jobs": "trials at once (default: cores / threads, with GPUs their number)",
    "threads": "CPU threads of each trial (default: 1)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, or 2 for a user's mistake."""
    isolation.computes_nothing()
    return command_line.run(_main, arguments, has_processes=True)


def parser() -> Command:
    """The command line: that of `benchmark.run`, whose options hold for every trial."""
    command = Command(
        "tune",
        needs="--recipe NAME ",
        description="Choose settings of methods on validation data of the first phases, with the "
        "same search and the same number of trials for each.",
        epilog=(
            "examples:\n"
            "  python -m benchmark.tune --recipe mine --method replay icarl --trials 8\n"
            "  python -m benchmark.run --recipe mine --method replay icarl\n"
            "Options of benchmark.run hold for every trial; a setting that is given is not\n"
            "searched. A search that was stopped resumes when the same command is given again."
        ),
    )
    group = command.add_argument_group("the search")
    for name, text in _SEARCH.items():
        group.add_argument(f"--{dashed(name)}", metavar="N", help=text)
    group.add_argument(
        "--config",
        type=Path,
        help="TOML or JSON file of options; those on the command line override it",
    )
    add_options(command, texts=_TEXTS)
    return command


def _main(arguments: Sequence[str] | None) -> None:
    given, hints = parser().read(arguments), typing.get_type_hints(RunConfig)
    values = dict(_DEFAULTS) | (read_file(given["config"]) if "config" in given else {})
    numbers: dict[str, int] = {}
    for name, value in given.items():
        if name in _SEARCH:  # --jobs and --threads are of the search, not of each trial
            numbers[name] = convert(value, int, f"--{dashed(name)}")
        elif name in hints:
            values[name] = convert(value, hints[name], f"--{dashed(name)}")
    check_counts(numbers)
    how = How(jobs=numbers.pop("jobs", None), threads=numbers.pop("threads", 1))
    tune(RunConfig(**values), how=how, **numbers)


def tune(
    config: RunConfig, trials: int = 8, search_seed: int = 0, how: How | None = None
) -> list[Path]:
    """Choose the settings of each method by so many trials and write its recipe files.

    Returns:
        The files; none for a dry run.

    Raises:
        UserError: An option makes no sense here, or no trial of a method could be finished.
    """
    from benchmark.load_method import load_method
    from benchmark.plan import open_config_data
    from benchmark.trials import Search
    from mm_imagenet_r.progress import make_console

    for name, number in (("trials", trials), ("search-seed", search_seed)):
        if abs(number) > _LARGEST:
            raise UserError(f"--{name} {few(number)} is too large: give a smaller number")
    found = _cells(config)
    with isolation.foreign_code():
        for name in config.method:
            load_method(name)
    searches = [Search(config, cell, trials, search_seed) for cell in found]
    console = make_console()
    for search in searches:
        console.print(search.words(), markup=False)
    if config.dry_run:
        return []
    check_writable(config.recipes, "--recipes")
    for path in (path for search in searches for path in (search.path.parent, search.path)):
        if path.is_symlink():
            raise UserError(f"{path} is a link, perhaps to what is not a recipe: remove it")
    data_sha256 = open_config_data(found[0]).data_sha256
    missing = [search for search in searches if config.overwrite or not search.is_done(data_sha256)]
    for search in missing:
        search.clear_stale(all_of_them=config.overwrite)
    failures = sweep([run for search in missing for run in search.runs], how) if missing else []
    faults: dict[Search, UserError] = {}
    for search in missing:
        try:
            search.choose({failure.cell.folder(): failure for failure in failures})
        except UserError as error:
            faults[search] = error
    for search in searches:
        if search not in faults:
            search.show(console, done=search not in missing)
    if faults:
        raise UserError("\n".join(map(str, faults.values())))
    return [search.path for search in searches]


def _cells(config: RunConfig) -> list[RunConfig]:
    """What is fixed of each method, as a run that stops early and sees no test data."""
    for refused, why in (
        (config.recipe is None, "name the recipe, so that runs can find it: --recipe mine"),
        (
            config.evaluate_on != "validation",
            "settings are chosen on validation data: leave --evaluate-on test out",
        ),
        (
            config.match_exemplars_of is not None or config.tuned_by is not None,
            "--match-exemplars-of and --tuned-by cannot be used while choosing settings",
        ),
        (len(config.seeds) > 1, "a trial is a single run: give only one of the --seeds"),
    ):
        if refused:
            raise UserError(why)
    stop = min(PHASES, config.phases) if config.stop_after is None else config.stop_after
    changed = dataclasses.replace(
        config, stop_after=stop, recipe=None, overwrite=False, dry_run=False
    )
    return changed.cells()


if __name__ == "__main__":
    sys.exit(main())
