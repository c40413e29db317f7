"""The parts of a run's page that tell how it was trained, and of its further classifiers."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.formatting import MISSING
from benchmark.recipe import RECIPE
from benchmark.report.charts import Line, line_chart
from benchmark.report.sections import plain_table, section
from benchmark.results.derive import as_classifier
from benchmark.results.derive import classifiers as names_of
from benchmark.results.schema import Result
from mm_imagenet_r.markup import Child, Html, el

_WORDS = {"ssf": "scales and shifts", "full": "all weights", "head": "the head only"}


def recipe_words(result: Result) -> str:
    """What was trained and how, in few words; options without effect are left out."""
    config = result["config"]
    parts = [
        _WORDS.get(str(config.get("tuning")), ""),
        *(
            f"{name.replace('_', ' ')} {config[name]:g}"
            for name in ("learning_rate", "weight_decay")
            if isinstance(config.get(name), (int, float))
        ),
    ]
    return ", ".join(filter(None, parts)) or "nothing"


def training(result: Result) -> Html | None:
    """The loss over all steps, and the stages where a phase has others than one training."""
    line, ends, before = Line("training loss", x := [], y := []), [], 0
    for phase in result["phases"]:
        x += [before + step for step, _ in phase["loss"]]
        y += [loss for _, loss in phase["loss"]]
        before += phase["steps"]
        ends.append(before)
    stages: list[Sequence[Child]] = [
        (
            phase["index"] + 1,
            stage["name"],
            f"{stage['items']:,}",
            f"{stage['steps']:,}",
        )
        for phase in result["phases"]
        for stage in phase["stages"]
    ]
    if not y and len(stages) <= len(result["phases"]):
        return None
    heads = ("Phase", "Stage", "Items", "Steps")
    own = sum(name not in result["from_recipe"] for name in RECIPE)
    note = f"Trained: {recipe_words(result)}. "
    note += "All of it by default. " if not own else ""
    note += "The loss begins again with every phase, since its classes are new."
    chart = line_chart(
        [line],
        x_label="training steps; marked: where phases end",
        y_label="training loss",
        ticks_at=ends,
        ends=False,
        percent=False,
    )
    return section(
        "Training",
        note,
        chart if y else None,
        el(
            "div",
            el(
                "details",
                el("summary", "Every stage"),
                plain_table(heads, stages, numbers={0, 2, 3}),
            ),
            class_="more",
        ),
    )


def classifiers(result: Result) -> Html | None:
    """The figures of each classifier of a method that has several."""
    names = names_of(result)
    if len(names) < 2:
        return None
    rows: list[Sequence[Child]] = []
    for name in names:
        figures = as_classifier(result, name)["metrics"]
        shown = ("average_incremental_accuracy", "last_accuracy", "forgetting")
        values = [MISSING if (v := figures[key]) is None else f"{v:.1f}" for key in shown]
        rows.append((el("b", name) if name == names[0] else name, *values))
    return section(
        "Its classifiers",
        "The method predicts in several ways on the same features. Its own one comes first; all "
        "other figures of this page are of that one.",
        plain_table(
            ("Classifier", "Average accuracy, %", "Last accuracy, %", "Forgetting, points"),
            rows,
            numbers={1, 2, 3},
        ),
    )
