"""What the parts of a run's page show, as values for its template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from benchmark.formatting import MISSING, amount_words, bytes_words, class_share, seconds_words
from benchmark.metrics import sample_weighted_accuracy
from benchmark.recipe import RECIPE
from benchmark.report.charts import Line, column_chart, line_chart, loss_chart
from benchmark.results.derive import as_classifier, classes_seen
from benchmark.results.derive import classifiers as names_of
from benchmark.results.records import Prediction
from benchmark.results.schema import ClassLedger, Result
from mm_imagenet_r.markup import Child, Html, el

MATRIX_NOTE = (
    "Row: after which phase. Column: on whose test data. Framed: just learned. Accuracy in %."
)
_SHOWN = 8  # hardest classes, and confused pairs
_TUNING = {"ssf": "scales and shifts", "full": "all weights", "head": "the head only"}
Row = Sequence[Child]


def overall(result: Result) -> list[float]:
    """After each phase the accuracy on all classes seen."""
    return [phase["accuracy"]["sample_weighted"] for phase in result["phases"]]


def curve(result: Result) -> Html:
    """Accuracy over the classes seen: on all of them, the newest and the older ones."""
    matrix, at = result["accuracy_matrix"], classes_seen(result)
    lines = [Line("all classes seen", at, overall(result))]
    if len(matrix) > 1:
        older = [sample_weighted_accuracy(row[:-1], result["test_sizes"]) for row in matrix[1:]]
        newest = [row[-1] for row in matrix]
        lines.append(Line("newest phase", at, newest, colour=1, quiet=True))
        lines.append(Line("older phases", at[1:], older, colour=2, quiet=True))
    return line_chart(lines, x_label="classes seen", ticks_at=at)


def invariance(result: Result) -> str:
    """Whether predictions depend on the samples beside them."""
    checks = [check for phase in result["phases"] if (check := phase["invariance"]) is not None]
    if not checks:
        return ""
    differing = sum(check["differing"] for check in checks)
    checked = sum(check["checked"] for check in checks)
    words = f"{differing:,} differed" if differing else "none differed"
    return f" {checked:,} predictions were repeated in other batches: {words}."


def classifiers(result: Result) -> list[Row]:
    """The figures of each classifier, the method's own one first."""
    rows: list[Row] = []
    for name in names_of(result):
        found = as_classifier(result, name)["metrics"]
        shown = ("average_incremental_accuracy", "last_accuracy", "forgetting")
        figures = [MISSING if (v := found[key]) is None else f"{v:.1f}" for key in shown]
        rows.append((name if rows else el("b", name), *figures))
    return rows


def memory(result: Result) -> dict[str, Any] | None:
    """Budget and exemplars of every class, after the last phase; None without exemplars."""
    ledgers = {int(k): v for k, v in result["phases"][-1]["memory"]["per_class"].items()}
    if not any(ledger["exemplars"] for ledger in ledgers.values()):
        return None
    budget, names = result["budget"], result["class_order"]["names"]
    phase_of = {c: phase["index"] for phase in result["phases"] for c in phase["classes"]}
    found = {c: ledgers[c] for c in sorted(phase_of) if c in ledgers}
    used = {c: _used(ledger, budget["currency"]) for c, ledger in found.items()}
    counts = [ledger["exemplars"] for ledger in found.values()]
    groups = [phase_of[c] for c in found]
    sizes = [bytes_words(ledger["bytes"]) for ledger in found.values()]
    titles = [
        f"{names[c]}: {count} exemplars, {size}, {used[c]}"
        for c, count, size in zip(found, counts, sizes, strict=True)
    ]
    charts = [
        column_chart(
            counts,
            titles=titles,
            groups=groups,
            y_label="exemplars per class",
            numbers=list(map(str, counts)),
        )
    ]
    shares = [class_share(ledger) for ledger in found.values()]
    if None not in shares:
        heights = [100 * cast(float, share) for share in shares]
        charts.append(
            column_chart(heights, titles=titles, groups=groups, y_label="budget used, %", limit=100)
        )
    note = f"After the last phase, by class in the order learned. Currency: {budget['currency']}."
    if budget["unit"] is not None and budget["currency"] == "bytes":
        note += f" One untouched sample: {bytes_words(budget['unit'])} ({budget['unit_meaning']})."
    rows = [
        (names[c], group + 1, count, size, used[c])
        for c, group, count, size in zip(found, groups, counts, sizes, strict=True)
    ]
    return {"note": note, "charts": charts, "rows": rows}


def mistakes(result: Result, predictions: Sequence[Prediction]) -> dict[str, Any] | None:
    """Classes and pairs of classes that the final model gets wrong most; None if it errs never."""
    last, own = len(result["phases"]) - 1, result["classifier"]
    final = [row for row in predictions if row.phase == last and row.classifier == own]
    total = Counter(row.label for row in final)
    right = Counter(row.label for row in final if row.label == row.prediction)
    wrong = Counter((row.label, row.prediction) for row in final if row.label != row.prediction)
    if not wrong:
        return None
    names = result["class_order"]["names"]
    ranked = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    mostly: dict[int, str] = {}
    for (label, guess), times in ranked:
        mostly.setdefault(label, f"{names[guess]} ({times})")
    share = {c: right[c] / total[c] for c in total}
    hardest = sorted(total, key=lambda c: (share[c], c))[:_SHOWN]
    return {
        "classes": [(names[c], 100 * share[c], mostly.get(c, MISSING)) for c in hardest],
        "pairs": [(names[a], names[b], f"{n} of {total[a]}") for (a, b), n in ranked[:_SHOWN]],
    }


def time(result: Result) -> dict[str, Any]:
    """Into which parts the time of phases falls, and how much it is."""
    phases = result["phases"]
    totals = [sum(phase["seconds"].values()) for phase in phases]
    device = result["hardware"].get("accelerator") or f"{result['hardware'].get('cores')} CPU cores"
    steps = sum(phase["steps"] for phase in phases)
    note = f"{steps:,} training steps and {seconds_words(sum(totals))} in all on {device}. "
    note += "Train and test: samples that the phase adds."
    if any(phase["resumed"] for phase in phases):
        note += " * Interrupted: the time since the phase was last resumed."
    kinds = list(dict.fromkeys(kind for phase in phases for kind in phase["seconds"]))
    return {"kinds": kinds, "longest": max([*totals, 1e-9]), "note": note}


def training(result: Result) -> dict[str, Any] | None:
    """The loss of each phase and its stages; None where nothing was trained in one stage each."""
    phases = result["phases"]
    losses = [[loss for _, loss in phase["loss"]] for phase in phases]
    stages: list[Row] = [
        (
            phase["index"] + 1,
            stage["name"],
            f"{stage['items']:,}",
            f"{stage['steps']:,}",
            *((f"{loss[0]:.3f}", f"{loss[-1]:.3f}") if loss and not i else (MISSING, MISSING)),
        )
        for phase, loss in zip(phases, losses, strict=True)
        for i, stage in enumerate(phase["stages"])
    ]
    if not any(losses) and len(stages) <= len(phases):
        return None
    own = any(name not in result["from_recipe"] for name in RECIPE)
    note = f"Trained: {recipe_words(result)}{'' if own else ', all of it by default'}. Each phase "
    note += "has a line of its own: its classes are new, so its loss starts high again."
    return {"note": note, "chart": loss_chart(phases) if any(losses) else "", "stages": stages}


def recipe_words(result: Result) -> str:
    """What was trained and how, in few words; options without effect are left out."""
    config = result["config"]
    parts = [
        _TUNING.get(str(config.get("tuning")), ""),
        *(
            f"{name.replace('_', ' ')} {config[name]:g}"
            for name in ("learning_rate", "weight_decay")
            if isinstance(config.get(name), (int, float))
        ),
    ]
    return ", ".join(filter(None, parts)) or "nothing"


def _used(ledger: ClassLedger, currency: str) -> str:
    cost = amount_words(ledger["cost"], currency)
    if ledger["budget"] is None:
        return cost
    share = class_share(ledger)
    words = f"{cost} of {amount_words(ledger['budget'], currency)}"
    return words if share is None else f"{words} ({100 * share:.0f} %)"
