"""The search for the settings of one method: its trials, which are runs, and their outcome."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark.cells import cells
from benchmark.config import RunConfig
from benchmark.errors import Damaged
from benchmark.formatting import MISSING, seconds_words
from benchmark.load_method import load_method
from benchmark.options import as_text
from benchmark.paths import last_part
from benchmark.recipe_file import FORMAT, TrialFile, choose
from benchmark.result_of import read_result_of
from benchmark.results.derive import as_classifier, classifiers
from benchmark.results.schema import Result
from benchmark.results.tables import total_seconds
from benchmark.run_files import remove
from benchmark.run_folder import RunFolder
from benchmark.same_code import in_oldest, same_code
from benchmark.search import ALL, CLASSIFIER, Point, is_legal, space_of, trial_points, with_point
from benchmark.source_hash import harness_sha256, method_sha256
from benchmark.sweep.ledger import Failure
from benchmark.tuned_recipe import file_name, memory_of, read
from mm_imagenet_r.errors import UserError, one_line, pluralize
from mm_imagenet_r.files import write_atomic

#: What a file says of the outcome; the rest is what was asked.
_OUTCOME = {"dataset", "backbone", "trials", "chosen", "hardware", "versions"}
_OF_A_SETTING = (1, 2)  # exit codes of a run that its method did not survive; others are signals


class Search:
    """The trials of one method: `points`, what each tries, and `runs`, the run that each is."""

    def __init__(self, config: RunConfig, cell: RunConfig, trials: int, seed: int) -> None:
        """Draw the trials, run none. `config` names the recipe, `cell` holds what is fixed."""
        if memory_of(cell) is None:  # all budgets are one search
            default = RunConfig()
            cell = dataclasses.replace(
                cell, memory=default.memory, growth=default.growth, currency=default.currency
            )
        self.cell = cell
        self.space = space_of(self.cell)
        self.points: list[Point] = trial_points(self.cell, self.space, trials, seed)
        all_of_them = {CLASSIFIER: ALL} if self.space.reads_all else {}
        self.runs = [cells(with_point(self.cell, point | all_of_them))[0] for point in self.points]
        self.path = config.recipes / str(config.recipe) / file_name(self.cell)
        (name,) = cell.method
        shared = dataclasses.replace(self.cell, method=RunConfig.method, set=())
        searched = {key: list(values) for key, values in self.space.trials.items()}
        self.asked: dict[str, Any] = {
            "format": FORMAT,
            "recipe": config.recipe,
            "method": last_part(name),
            "method_sha256": method_sha256(load_method(name)[0]),
            "harness_sha256": harness_sha256(),
            "phases": cell.phases,
            "memory": memory_of(self.cell),
            "options": shared.changed(),
            "fixed": self.cell.settings_of(name),
            "searched": searched | ({CLASSIFIER: []} if self.space.reads_all else {}),
            "asked": trials,
            "seed": seed,
        }

    def words(self) -> str:
        """What is searched."""
        count = f"{pluralize(len(self.points), 'trial')} of {pluralize(self.space.size, 'point')}"
        lines = [f"{self.cell.method[0]}: {count}"]
        for name, values in self.space.trials.items():
            lines.append(f"  {name}: {', '.join(map(as_text, values))}")
        if self.space.reads_all:
            lines.append("  classifier: every one it has, read from the same run")
        return "\n".join(lines)

    def is_done(self, data_sha256: str) -> bool:
        """Whether the file is there, of the same search on these data, and no trial failed.

        Raises:
            UserError: It is of a newer version, or something that cannot be read.
        """
        if not self.path.exists():
            return False
        try:
            said = read(self.path).said
        except Damaged:
            return False  # it is written again from the trials
        former: dict[str, Any] = {key: value for key, value in said.items() if key not in _OUTCOME}
        if self.space.reads_all and CLASSIFIER in said["searched"]:
            former["searched"] = {**said["searched"], CLASSIFIER: []}  # known only afterwards
        same = (
            in_oldest(former) == in_oldest(self.asked)
            and said["dataset"]["data_sha256"] == data_sha256
        )
        return same and not any(trial["failed"] for trial in said["trials"])

    def clear_stale(self, *, all_of_them: bool = False) -> None:
        """Delete what other code left of a trial, since trials are compared with each other.

        `all_of_them`: delete every trial and what was chosen of them.

        Raises:
            UserError: A file cannot be removed, or another process is using it.
        """
        if all_of_them:
            remove([self.path])
        now = {"method": self.asked["method_sha256"], "harness": self.asked["harness_sha256"]}
        for run in self.runs:
            folder = RunFolder(run.folder())
            if not (folder.path / "run.json").exists():
                continue
            if all_of_them or not all(same_code(folder.identity(name), now[name]) for name in now):
                with folder.locked():
                    folder.clear()

    def choose(self, failures: Mapping[Path, Failure]) -> None:
        """Write the recipe file, given the runs that failed by their folders.

        Raises:
            UserError: A trial was killed, its result is not its own, or none could be finished.
        """
        (name,) = self.cell.method
        trials, finished = [], []
        for point, run in zip(self.points, self.runs, strict=True):
            trial = TrialFile(
                settings=point, accuracy={}, failed=None, seconds=0.0, run=run.fingerprint()
            )
            if failure := failures.get(run.folder()):
                trial["failed"] = failure.reason
                if failure.code not in _OF_A_SETTING:
                    raise UserError(
                        f"{name}: a trial was killed (exit code {failure.code}), so nothing is "
                        "chosen yet: the same command resumes"
                    )
            else:
                result = read_result_of(run, run.folder())
                finished.append(result)
                trial["accuracy"] = self._accuracies(result)
                trial["seconds"] = round(total_seconds(result), 1)
            trials.append(trial)
        if not finished:
            raise UserError(
                f"{name}: no trial could be finished; the first failed: {trials[0]['failed']}"
            )
        searched = self.asked["searched"]
        if self.space.reads_all:
            names = next(list(trial["accuracy"]) for trial in trials if trial["accuracy"])
            searched = {**searched, CLASSIFIER: names}
        said = {
            **self.asked,
            "searched": searched,
            "trials": trials,
            "chosen": choose(searched, trials),
            **{
                key: cast(Any, finished[0])[key]
                for key in ("dataset", "backbone", "hardware", "versions")
            },
        }
        text = json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomic(self.path, (text + "\n").encode())

    def show(self, console: Console, *, done: bool) -> None:
        """Print the trials as a table, the best one marked."""
        said = read(self.path).said
        varied = [name for name in said["searched"] if name != CLASSIFIER]
        readings = next(list(trial["accuracy"]) for trial in said["trials"] if trial["accuracy"])
        titles = [_shown(name or "accuracy") for name in [*varied, *readings]]
        table = Table("trial", *titles, "time", box=None, pad_edge=False)
        for number, trial in enumerate(said["trials"]):
            accuracy = trial["accuracy"]
            texts = {name: f"{value:.1f}" for name, value in accuracy.items()}
            if number == said["chosen"]["trial"]:
                best = max(accuracy, key=accuracy.__getitem__)
                texts[best] = f"[bold]{texts[best]}[/] *"
            settings = (_shown(as_text(trial["settings"][name])) for name in varied)
            found = (texts.get(name, "failed") for name in readings)
            time = seconds_words(trial["seconds"]) if trial["accuracy"] else MISSING
            table.add_row(str(number + 1), *settings, *found, time)
        console.print(f"\n[bold]{escape(self.cell.method[0])}[/], * is chosen")
        console.print(table)
        words = "done: {} (--overwrite chooses again)" if done else "recipe: {}"
        console.print(words.format(self.path), markup=False, soft_wrap=True)

    def _accuracies(self, result: Result) -> dict[str, float]:
        """Average incremental accuracy by each classifier that may be chosen, linear first."""
        names = [result["classifier"]]
        if self.space.reads_all:
            there = classifiers(result)
            legal = [name for name in there if is_legal(self.cell, {CLASSIFIER: name})]
            names = sorted(legal, key=lambda name: name != "linear")
        found = {}
        for name in names:
            average = as_classifier(result, name)["metrics"]["average_incremental_accuracy"]
            found[name] = round(cast(float, average), 6)
        return found


def _shown(text: str) -> str:
    """What a file holds, for a table: neither markup nor anything that steers a terminal."""
    return escape(one_line(text))
