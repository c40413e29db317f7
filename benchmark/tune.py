"""`python -m benchmark.tune`: choose settings on validation data, alike for every method.

python -m benchmark.tune --recipe mine --method replay exemplar_masking --trials 8
python -m benchmark.run --recipe mine --method replay exemplar_masking

A trial is a run that learns the first phases alone and is evaluated on a fifth of their training
data: test data and later classes are not seen. (What it knows of these is their number, and the
mean length of a training sample, in which budgets are counted.)
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmark import isolation
from benchmark.config import RunConfig, dashed
from benchmark.errors import MethodError
from benchmark.options import add_options, convert, read_file, unknown_words
from benchmark.run import guarded
from mm_imagenet_r.command_line import Parser
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import check_writable, write_atomic

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark.devices import Place
    from benchmark.plan import Plan
    from benchmark.search import Point, Space
    from benchmark.tuned_recipe import RecipeFile, TrialFile

#: How many phases a trial learns, where the user says nothing.
PHASES = 3
_DEFAULTS: Mapping[str, Any] = {"output": Path("trials"), "evaluate_on": "validation"}
#: Help texts of options that mean something else than for a run.
_TEXTS = {
    "method": "names of methods, or file.py:Class, or package.module:Class; NAME@PRESET starts "
    "from a preset of one",
    "seeds": "seed of the trials",
    "evaluate_on": "validation, always: a fifth of the training data",
    "stop_after": f"how many phases a trial learns (default: {PHASES}, or all where these are "
    "fewer)",
    "recipe": "name by which runs find what is chosen",
    "output": "folder of the trials, which are runs (default: trials)",
    "overwrite": "throw away earlier trials and choose again",
    "dry_run": "print what would be searched, train nothing",
}
_SEARCH = {
    "trials": "trials of each method, the first with its defaults (default: 8); all there are "
    "where these are fewer",
    "search_seed": "seed by which the other trials are drawn (default: 0)",
}
#: What a trial has of its own, and what only its outcome tells.
_OUTCOME = {"backbone", "trials", "chosen", "hardware", "versions"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Tune as the command line says and return the exit code: 0, or 2 for a user's mistake."""
    isolation.computes_nothing()
    return guarded(_main, arguments)


def _main(arguments: Sequence[str] | None) -> None:
    command = Parser(
        prog="python -m benchmark.tune",
        usage="%(prog)s --recipe NAME [OPTION ...]",
        description="Choose settings of methods on validation data of the first phases, with the "
        "same search and as many trials for each.",
        epilog=(
            "examples:\n"
            "  python -m benchmark.tune --recipe mine --method replay icarl --trials 8\n"
            "  python -m benchmark.run --recipe mine --method replay icarl\n"
            "Options of benchmark.run hold for every trial; a setting that is given is not\n"
            "searched. A search that was stopped resumes when the same command is given again."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    group = command.add_argument_group("search")
    for name, text in _SEARCH.items():
        group.add_argument(f"--{dashed(name)}", metavar="N", help=text)
    command.add_argument(
        "--config", type=Path, help="TOML or JSON file of the other options; these override it"
    )
    add_options(command, texts=_TEXTS)
    given, rest = command.parse_known_args(arguments)
    hints = typing.get_type_hints(RunConfig)
    if rest:
        raise UserError(unknown_words(rest, [*hints, *_SEARCH, "config"]))
    values = dict(_DEFAULTS) | (read_file(given.config) if "config" in given else {})
    numbers = {}
    for name, value in vars(given).items():
        if name in hints:
            values[name] = convert(value, hints[name], f"--{dashed(name)}")
        elif name in _SEARCH:
            numbers[name] = convert(value, int, f"--{dashed(name)}")
    tune(RunConfig(**values), **numbers)


def tune(config: RunConfig, trials: int = 8, search_seed: int = 0) -> list[Path]:
    """Choose the settings of each method of a configuration and write its recipe files.

    Args:
        config: What holds for all trials; `recipe` names the outcome.
        trials: How many of each method.
        search_seed: By which they are drawn.

    Returns:
        The files; none for a dry run.

    Raises:
        UserError: An option that makes no sense here, or no trial of a method could be finished.
    """
    from benchmark.display import make_console
    from benchmark.find_method import find
    from benchmark.search import space_of, trial_points

    cells = _cells(config, trials)
    with isolation.foreign_code():
        for name in config.method:
            find(name)
    console = make_console()
    searches = []
    for cell in map(_without_memory, cells):
        space = space_of(cell)
        searches.append((cell, space, trial_points(cell, space, trials, search_seed)))
    for cell, space, points in searches:
        console.print(_space_words(cell, space, points), markup=False, soft_wrap=True)
    if config.dry_run:
        return []
    check_writable(config.recipes)
    search = Search(config, trials, search_seed, console)
    try:
        return [search.tune(cell, space, points) for cell, space, points in searches]
    finally:
        search.display.stop()


class Search:
    """A search under way: data that are open, and what is shown."""

    def __init__(self, config: RunConfig, trials: int, seed: int, console: Console) -> None:
        """Open the data."""
        from benchmark.devices import find_place
        from benchmark.display import TrialDisplay
        from benchmark.plan import check, open_config_data

        self.config = dataclasses.replace(config, recipe=None)
        self.recipe = config.recipe
        self.trials, self.seed, self.console = trials, seed, console
        check(self.config)
        self.place: Place = find_place(config)
        if self.place.world > 1:
            raise UserError("benchmark.tune runs in one process: leave torchrun out")
        self.data = open_config_data(self.config)
        self.display = TrialDisplay(console)
        self.display.notes(self.data.notes)

    def tune(self, cell: RunConfig, space: Space, points: Sequence[Point]) -> Path:
        """Run the trials of a method that are not done yet, and write what was chosen."""
        from benchmark.find_method import find
        from benchmark.tuned_recipe import choose, chosen_words, file_name, read, write_text

        path = self.config.recipes / str(self.recipe) / file_name(cell)
        asked = self._asked(cell, space)
        former = None
        if path.exists() and not cell.overwrite:
            try:
                former = read(path).said
            except UserError:
                former = None  # damaged: its trials tell it again
        if former is not None and _alike(former, asked):
            self.console.print(f"done: {path} (--overwrite chooses again)", soft_wrap=True)
            self._show(former, path)
            return path
        for module in find(cell.method[0])[0].imports:
            importlib.import_module(module)  # once, and not in the process of every phase
        outcomes: list[TrialFile] = []
        facts: dict[str, Any] = {}
        for number, point in enumerate(points):
            title = f"{cell.method[0]}: trial {number + 1} of {len(points)}"
            outcome, result = self._trial(cell, space, point, title)
            outcomes.append(outcome)
            facts |= result
        searched = dict(asked["searched"])
        if space.reads_all:
            read_by = [list(trial["accuracy"]) for trial in outcomes if trial["accuracy"]]
            searched["classifier"] = read_by[0] if read_by else []
        if not facts:
            why = outcomes[0]["failed"]
            raise UserError(f"{cell.method[0]}: no trial could be finished, the first since {why}")
        found = {
            **asked,
            "searched": searched,
            "trials": outcomes,
            "chosen": choose(searched, outcomes),
            **facts,
        }
        said = cast("RecipeFile", found)
        write_atomic(path, write_text(said))
        self._show(said, path)
        self.console.print(f"chosen: {chosen_words(said)}", markup=False, soft_wrap=True)
        return path

    def _asked(self, cell: RunConfig, space: Space) -> dict[str, Any]:
        """What the file says before any trial."""
        from benchmark.find_method import find
        from benchmark.paths import last_part
        from benchmark.source_hash import harness_sha256, method_sha256
        from benchmark.tuned_recipe import memory_of

        (name,) = cell.method
        options = dataclasses.replace(cell, method=RunConfig.method, set=()).changed()
        searched: dict[str, Any] = {key: list(values) for key, values in space.trials.items()}
        return {
            "format": 1,
            "recipe": self.recipe,
            "method": last_part(name),
            "method_sha256": method_sha256(find(name)[0]),
            "harness_sha256": harness_sha256(),
            "dataset": {**self.data.info(), "name": last_part(cell.dataset)},
            "phases": cell.phases,
            "memory": memory_of(cell),
            "options": options,
            "fixed": cell.settings_of(name),
            "searched": searched | ({"classifier": []} if space.reads_all else {}),
            "asked": self.trials,
            "seed": self.seed,
        }

    def _trial(
        self, cell: RunConfig, space: Space, point: Point, title: str
    ) -> tuple[TrialFile, dict[str, Any]]:
        """One trial, and what its result tells of backbone, hardware and versions."""
        from benchmark import results
        from benchmark.experiment import run_cell
        from benchmark.plan import plans_for
        from benchmark.search import ALL, CLASSIFIER, point_words, with_point

        all_of_them = {CLASSIFIER: ALL} if space.reads_all else {}
        (plan,) = plans_for(with_point(cell, point | all_of_them), self.data)
        self.display.trial(f"{title}: {point_words(point)}")
        plan = _anew_if_code_changed(plan)
        outcome: TrialFile = {
            "settings": point, "accuracy": {}, "failed": None, "seconds": 0.0,
            "run": plan.config.fingerprint(),
        }  # fmt: skip
        try:
            folder = run_cell(plan, self.place, self.display, reported=False)
        except Exception as error:
            if not _of_the_method(error):
                raise
            outcome["failed"] = str(error) or type(error).__name__
            self.display.trial_done(f"failed: {outcome['failed']}")
            return outcome, {}
        result = results.read(folder)
        outcome["accuracy"] = _accuracies(result, cell, space)
        seconds = sum(sum(phase["seconds"].values()) for phase in result["phases"])
        outcome["seconds"] = round(seconds, 1)
        self.display.trial_done(_accuracy_words(outcome["accuracy"]))
        kept = ("backbone", "hardware", "versions")
        return outcome, {key: result[key] for key in kept}  # type: ignore[literal-required]

    def _show(self, said: RecipeFile, path: Path) -> None:
        """The trials as a table, the best one marked."""
        from rich.table import Table

        from benchmark.wording import MISSING, seconds_words

        varied = [name for name in said["searched"] if name != "classifier"]
        readings = list(next(t["accuracy"] for t in said["trials"] if t["accuracy"]))
        titles = [name or "accuracy" for name in readings]
        table = Table("trial", *varied, *titles, "time", box=None, pad_edge=False)
        best = said["chosen"]
        chosen = best["settings"].get("classifier", readings[0])
        for number, trial in enumerate(said["trials"]):
            texts = {name: f"{value:.1f}" for name, value in trial["accuracy"].items()}
            if number == best["trial"]:
                texts[chosen] = f"[bold]{texts[chosen]} *[/]"
            settings = (str(trial["settings"][name]) for name in varied)
            found = (texts.get(name, "failed") for name in readings)
            time = seconds_words(trial["seconds"]) if trial["accuracy"] else MISSING
            table.add_row(str(number + 1), *settings, *found, time)
        self.console.print(table)
        self.console.print(f"recipe: {path}", markup=False, soft_wrap=True)


def _cells(config: RunConfig, trials: int) -> list[RunConfig]:
    """What is fixed of each method, as a run that stops early and sees no test data.

    Raises:
        UserError: An option that makes no sense here.
    """
    if trials < 1:
        raise UserError(f"--trials must be at least 1, not {trials}")
    if config.recipe is None:
        raise UserError("give what is chosen a name by which runs find it: --recipe mine")
    if config.evaluate_on != "validation":
        raise UserError("settings are chosen on validation data: leave --evaluate-on test out")
    if config.match_exemplars_of is not None or config.tuned_by is not None:
        raise UserError("--match-exemplars-of and --tuned-by are not for choosing settings")
    if len(config.seeds) > 1:
        raise UserError("a trial is one run: give one of the --seeds")
    stop = min(PHASES, config.phases) if config.stop_after is None else config.stop_after
    return dataclasses.replace(config, stop_after=stop, recipe=None).cells()


def _without_memory(cell: RunConfig) -> RunConfig:
    """Leave the budget at its default where a method has no memory: all budgets are one search."""
    from benchmark.tuned_recipe import memory_of

    if memory_of(cell) is not None:
        return cell
    default = RunConfig()
    return dataclasses.replace(
        cell, memory=default.memory, growth=default.growth, currency=default.currency
    )


def _alike(said: RecipeFile, asked: Mapping[str, Any]) -> bool:
    """Whether a file answers what is asked now; classifiers are known when trials are run."""
    former: dict[str, Any] = {key: value for key, value in said.items() if key not in _OUTCOME}
    searched = former["searched"]
    if "classifier" in searched and "classifier" in asked["searched"]:
        former["searched"] = {**searched, "classifier": asked["searched"]["classifier"]}
    return former == asked


def _anew_if_code_changed(plan: Plan) -> Plan:
    """Throw away what other code left of a trial: trials are compared with each other."""
    from benchmark.run_folder import RunFolder
    from benchmark.source_hash import harness_sha256, sources_sha256

    folder = RunFolder(plan.config.folder(), writes=False)
    if not (folder.path / "run.json").exists():
        return plan
    now = {"method": sources_sha256(plan.sources.values()), "harness": harness_sha256()}
    if all(folder.identity(name) == value for name, value in now.items()):
        return plan
    return dataclasses.replace(plan, config=dataclasses.replace(plan.config, overwrite=True))


def _of_the_method(error: Exception) -> bool:
    """Whether a method failed with its settings: not the user, the disk or the machine."""
    if isinstance(error, MethodError):
        return True
    elsewhere = isinstance(error, (UserError, OSError, MemoryError))
    return isinstance(error.__cause__, isolation.RemoteTracebackError) and not elsewhere


def _accuracies(result: Any, cell: RunConfig, space: Space) -> dict[str, float]:
    """Average incremental accuracy by each classifier that may be chosen, linear first."""
    from benchmark.results.derive import as_classifier, classifiers
    from benchmark.search import CLASSIFIER, is_legal

    names = [result["classifier"]]
    if space.reads_all:
        legal = [name for name in classifiers(result) if is_legal(cell, {CLASSIFIER: name})]
        names = sorted(legal, key=lambda name: name != "linear")
    found = {}
    for name in names:
        average = as_classifier(result, name)["metrics"]["average_incremental_accuracy"]
        found[name] = round(cast(float, average), 6)
    return found


def _accuracy_words(accuracy: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}".strip() for name, value in accuracy.items())


def _space_words(cell: RunConfig, space: Space, points: Sequence[Point]) -> str:
    from benchmark.cells import as_text

    lines = [f"{cell.method[0]}: {len(points)} trials of {space.size} settings"]
    for name, values in space.trials.items():
        lines.append(f"  {name}: {', '.join(map(as_text, values))}")
    if space.reads_all:
        lines.append("  classifier: every one it has, read from the same run")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
