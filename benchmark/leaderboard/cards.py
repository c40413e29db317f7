"""README.md of what is published: the page's Space, and the repository of its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmark.leaderboard.levels import Level
from benchmark.leaderboard.tasks import yaml_text
from benchmark.report.board.collect import Shown
from mm_imagenet_r.errors import pluralize
from mm_imagenet_r.export.sections import escape

RUNS: Final = "runs.parquet"
_TITLE: Final = "MM-ImageNet-R leaderboard"
_TASK: Final = "Multimodal class-incremental learning under a memory budget"


def front_matter(fields: dict[str, Any]) -> str:
    """What stands at the beginning of a README.md for the Hub; no text in it is markup."""
    return f"---\n{yaml_text(fields)}---\n"


def space_card(dataset: str | None) -> str:
    """The card of a static Space; `dataset` is the repository of its data, if published too."""
    fields: dict[str, Any] = {
        "title": _TITLE,
        "emoji": "📊",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "static",
        "app_file": "index.html",
        "pinned": False,
        "short_description": "Class-incremental learning under a memory budget",
        "tags": ["leaderboard", "continual-learning", "class-incremental-learning"],
        **({"datasets": [dataset]} if dataset else {}),
    }
    link = f"[{dataset}](https://huggingface.co/datasets/{dataset})"
    data = f"The results behind it are in the data set {link}.\n" if dataset else ""
    return f"""{front_matter(fields)}
# {_TITLE}

{_TASK}. The page is static: it loads nothing and sends nothing. Its figures are in
`leaderboard.csv` and `leaderboard.json`.

{data}"""


def dataset_card(repository: str, shown: Sequence[Shown]) -> str:
    """The card of the repository of results."""
    data_files = [{"split": "results", "path": RUNS}]
    fields = {
        "pretty_name": f"Results of the {_TITLE}",
        "tags": ["leaderboard", "continual-learning", "class-incremental-learning"],
        "configs": [{"config_name": "runs", "default": True, "data_files": data_files}],
    }
    methods = sorted({one.result["method"] for one in shown}, key=str.casefold)
    lines = "\n".join(
        f"| {level.word} | {sum(one.level == level for one in shown):,} | {escape(level.meaning)} |"
        for level in Level
        if level is not Level.REFUSED
    )
    return f"""{front_matter(fields)}
# Results of the {_TITLE}

{_TASK}: {pluralize(len(shown), "run")} of {pluralize(len(methods), "method")}
({", ".join(map(escape, methods))}).

```python
from datasets import load_dataset

runs = load_dataset("{repository}", split="results").to_pandas()  # a row for a run and classifier
```

| file | what it holds |
| --- | --- |
| `{RUNS}` | all runs with every figure, their memory, and their level of verification |
| `leaderboard.csv` | the tables of the page: means over runs, differences and intervals |
| `leaderboard.json` | what the page shows, curves included |
| `results/` | each run as it was submitted: result, predictions, exemplars, trials |

| level | runs | what is known |
| --- | --: | --- |
{lines}

Everything can be checked again, with the program that made it: download this repository and give
`python -m benchmark.leaderboard verify results`.
"""
