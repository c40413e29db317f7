"""Settings as tasks of a benchmark on the Hub: `eval.yaml` there, `.eval_results` of models.

A task is a data set, a number of phases, a memory and its currency, and one of two accuracies; all
else has the defaults of `benchmark.run`. Forgetting is not a task: on the Hub more is better.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from benchmark.config import RunConfig
from benchmark.formatting import memory_words, method_title, order_words, result_phases_words
from benchmark.leaderboard.rules import is_named
from benchmark.options import from_mapping
from benchmark.results.derive import given_config
from benchmark.results.schema import Result
from mm_imagenet_r.catalog import entry_of
from mm_imagenet_r.errors import UserError

#: Has to be made known to the Hub by its own people (docs/publish.md).
FRAMEWORK: Final = "mm-imagenet-r"
EVAL: Final = "eval.yaml"
EVAL_RESULTS: Final = ".eval_results/mm_imagenet_r.yaml"
ACCURACIES: Final = {"average": "average_incremental_accuracy", "last": "last_accuracy"}
#: What a method may choose, and what makes a task; nothing else may differ from its default.
_FREE: Final = {
    "method", "set", "seeds", "class_order_seed", "backbone", "tuning", "learning_rate",
    "weight_decay", "precision", "micro_batches", "max_text_length",
}  # fmt: skip
_TASK: Final = {"dataset", "phases", "memory", "currency"}


@dataclass(frozen=True, order=True)
class Setting:
    """Tasks but for the accuracy; `memory` as for `--memory`, `configuration` the repository's."""

    configuration: str
    phases: int
    memory: str
    currency: str

    def task(self, accuracy: str) -> str:
        """Identifier of a task.

        >>> Setting("mini", 10, "0.5", "bytes").task("last")
        'mini_10_phases_memory_0_5_bytes_last'
        """
        words = f"{self.configuration}_{self.phases}_phases_memory_{self.memory}_{self.currency}"
        return re.sub(r"[^a-z0-9]+", "_", f"{words}_{accuracy}".lower())


def setting_of(result: Result) -> Setting:
    """The tasks that a result is an answer to.

    Raises:
        UserError: There are none; the message says why.
    """
    config = RunConfig(**from_mapping(given_config(result), source="config"))
    other = sorted(set(config.changed()) - _FREE - _TASK)
    if result["sees_all_data"]:
        why = "its method sees all data at once"
    elif not is_named(config.dataset):
        why = f"{result['dataset']['name']} is your own data"
    elif other:
        why = f"{', '.join(other)} differ from the defaults"
    else:
        family, _, captions = config.dataset.partition(":")
        return Setting(captions or family, config.phases, config.memory, config.currency)
    raise UserError(f"the result answers no task of the benchmark: {why}")


def eval_yaml(settings: Iterable[Setting]) -> bytes:
    """The file that makes a data set repository a benchmark.

    Raises:
        UserError: There are no settings, or their data lie in two repositories.
    """
    ordered = sorted(set(settings))
    titles = sorted({entry_of(one.configuration).origin.title for one in ordered})
    if not titles:
        raise UserError(f"no result answers a task of the benchmark: there is no {EVAL} to write")
    if len(titles) > 1:
        raise UserError(
            f"the results are of two data sets, {' and '.join(titles)}: give a folder with results "
            "of one"
        )
    board = {
        "name": f"{titles[0]}, class by class",
        "description": (
            "Multimodal class-incremental learning under a memory budget. Classes arrive phase "
            "by phase; of earlier classes only what fits into the memory is kept. Values are "
            "accuracies in percent: 'average' over phases, each on all classes seen so far, "
            "and 'last', after the last phase on all classes. Memory is given in untouched "
            "samples per class, counted in real bytes or in shares of pixels."
        ),
        "evaluation_framework": FRAMEWORK,
        "tasks": [
            {"id": one.task(accuracy), "config": one.configuration, "split": "test"}
            for one in ordered
            for accuracy in ACCURACIES
        ],
    }
    return yaml_text(board).encode()


def eval_results(result: Result, benchmark: str, revision: str | None = None) -> bytes:
    """The file that reports to the Hub what a run's model reached on the tasks of `benchmark`.

    `revision` is a commit of that repository, 40 hexadecimal digits.

    Raises:
        UserError: The result answers no task.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    setting = setting_of(result)
    notes = (
        f"{method_title(result)}, one run of seed {result['seed']}, class order "
        f"{order_words(result['class_order'])}; {result_phases_words(result)}; "
        f"{memory_words(result['budget']) if result['kind'] == 'replay' else 'no memory'}; "
        f"backbone {result['backbone']['name']}"
    )
    entries = [
        EvalResultEntry(
            dataset_id=benchmark,
            task_id=setting.task(accuracy),
            value=round(result["metrics"][metric] or 0.0, 2),
            dataset_revision=revision,
            notes=notes,
        )
        for accuracy, metric in ACCURACIES.items()
    ]
    return yaml_text(eval_result_entries_to_yaml(entries)).encode()


def yaml_text(value: Any) -> str:
    """A value as YAML, its keys in their order."""
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
