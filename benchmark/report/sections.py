"""The parts of a run's page that tell what was learnt: figures, curves, matrix, mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from benchmark.formatting import MISSING, amount_words, bytes_words, exemplars_per_class
from benchmark.metrics import METRICS, sample_weighted_accuracy
from benchmark.report.charts import Line, line_chart
from benchmark.results.records import Prediction
from benchmark.results.schema import Result
from mm_imagenet_r.markup import Child, Html, el, join

_SHOWN = 8  # hardest classes, and confused pairs
_DENSE = 12  # phases from which on the matrix drops its decimals


def section(title: str, note: Child, *content: Child, wide: bool = False) -> Html:
    """A titled part of the page, its explanation beside it; above it where wide tables follow."""
    side = el("div", el("h2", title), el("p", note) if note else None, class_="side")
    return el("section", side, el("div", *content), class_="wide" if wide else None)


def plain_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Child]],
    *,
    numbers: Collection[int] = (),
    small: bool = False,
) -> Html:
    """A table; columns in `numbers` stand to the right."""

    def line(kind: str, cells: Sequence[Child]) -> Html:
        aligned = (el(kind, c, class_="n" if i in numbers else None) for i, c in enumerate(cells))
        return el("tr", list(aligned))

    head = el("thead", line("th", heads)) if heads else None
    body = el("tbody", [line("td", row) for row in rows])
    style = "plain small" if small else "plain"
    return el("div", el("table", head, body, class_=style), class_="scroll", tabindex=0)


def cards(result: Result) -> Html:
    """The key figures."""
    figure, last = result["metrics"].__getitem__, result["phases"][-1]["memory"]
    forgetting = figure("forgetting")
    seen = sum(len(phase["classes"]) for phase in result["phases"])
    return el(
        "div",
        _card(
            "Average incremental accuracy",
            _percent(figure("average_incremental_accuracy")),
            f"over {len(result['phases'])} phases; "
            f"phase-weighted {_percent(figure('average_incremental_accuracy_phase_weighted'))}",
            first=True,
        ),
        _card(
            "Last accuracy",
            _percent(figure("last_accuracy")),
            f"on {sum(result['test_sizes']):,} test samples of {seen} classes; "
            f"phase-weighted {_percent(figure('last_accuracy_phase_weighted'))}",
        ),
        _card(
            "Forgetting",
            MISSING if forgetting is None else f"{forgetting:.1f} points",
            "one phase only: nothing to forget"
            if forgetting is None
            else f"learning accuracy {_percent(figure('learning_accuracy'))}",
        ),
        _card(
            "Exemplars a class",
            f"{exemplars_per_class(result):.1f}",
            f"{last['exemplars']:,} in all, after the last phase",
        ),
        _memory_card(result),
        _outside_card(result),
        class_="cards",
    )


def accuracy(result: Result) -> Html:
    """The curves over the classes seen."""
    phases, matrix, sizes = result["phases"], result["accuracy_matrix"], result["test_sizes"]
    seen, count = [], 0
    for phase in phases:
        count += len(phase["classes"])
        seen.append(count)
    notes = [f"after phase {t + 1}" for t in range(len(phases))]
    overall = [phase["accuracy"]["sample_weighted"] for phase in phases]
    newest = [row[-1] for row in matrix]
    lines = [Line("all classes seen", seen, overall, notes=notes)]
    if len(phases) > 1:
        old = [sample_weighted_accuracy(row[:-1], sizes) for row in matrix[1:]]
        lines.append(Line("newest phase", seen, newest, colour=1, quiet=True, notes=notes))
        lines.append(Line("older phases", seen[1:], old, colour=2, quiet=True, notes=notes[1:]))
    return section(
        "Accuracy as classes arrive",
        "Measured on the whole test data of the classes seen so far, without saying which phase a "
        "sample belongs to. The gap between newest and older classes is what learning costs the "
        f"old ones.{_invariance(result)}",
        line_chart(lines, x_label="classes seen", ticks_at=seen),
    )


def _invariance(result: Result) -> str:
    """Whether predictions depend on what stands beside a sample."""
    checks = [c for phase in result["phases"] if (c := phase["invariance"]) is not None]
    if not checks:
        return ""
    checked, differing = (
        sum(check["checked"] for check in checks),
        sum(check["differing"] for check in checks),
    )
    words = "none differed" if not differing else f"{differing:,} differed"
    return f" {checked:,} predictions were repeated among other samples: {words}."


def accuracy_matrix(result: Result) -> Html:
    """The accuracy matrix as a coloured table."""
    overall = [phase["accuracy"]["sample_weighted"] for phase in result["phases"]]
    return section(
        "Accuracy matrix",
        "Row: after which phase. Column: on whose test data. Framed: just learnt. Accuracy in %.",
        matrix_table(result["accuracy_matrix"], overall),
    )


def matrix_table(rows: Sequence[Sequence[float]], overall: Sequence[float]) -> Html:
    """A coloured table.

    Args:
        rows: The accuracy matrix, of one run or in the mean.
        overall: After each phase the accuracy on all classes seen.
    """
    count = len(rows)
    digits = 1 if count <= _DENSE else 0
    body = []
    for t, (row, whole) in enumerate(zip(rows, overall, strict=True)):
        cells = [
            el(
                "td",
                f"{value:.{digits}f}",
                style=f"--v:{(value / 100) ** 1.5:.3f}",  # the upper half is where they differ
                class_="new" if i == t else None,
                title=f"after phase {t + 1}, on phase {i + 1}: {value:.2f} %",
            )
            for i, value in enumerate(row)
        ]
        cells += [el("td", class_="none") for _ in range(count - len(row))]
        last = el("td", f"{whole:.1f}", class_="all")
        body.append(el("tr", el("th", t + 1, scope="row"), cells, last))
    heads = [el("th", i + 1, scope="col") for i in range(count)]
    table = el(
        "table",
        el("thead", el("tr", el("th", "phase"), heads, el("th", "all"))),
        el("tbody", body),
        class_="matrix" if count <= _DENSE else "matrix dense",
        style=f"width:min(100%,{5 * count + 10}em)",
    )
    return el("div", table, class_="scroll", tabindex=0)


def mistakes(result: Result, predictions: Sequence[Prediction]) -> Html | None:
    """Classes and pairs of classes that the final model gets wrong most."""
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
    hardest = sorted(total, key=lambda c: (right[c] / total[c], c))[:_SHOWN]
    rows: list[Sequence[Child]] = [
        (
            names[c],
            join(_share(right[c] / total[c]), f"{100 * right[c] / total[c]:.0f} %"),
            mostly.get(c, MISSING),
        )
        for c in hardest
    ]
    pairs = [(names[a], names[b], f"{n} of {total[a]}") for (a, b), n in ranked[:_SHOWN]]
    return section(
        "What is mistaken",
        "After the last phase, on the whole test data.",
        el(
            "div",
            el(
                "div",
                el("h3", "Hardest classes", class_="sub"),
                plain_table(("Class", "Right", "Mostly taken for"), rows),
            ),
            el(
                "div",
                el("h3", "Most confused pairs", class_="sub"),
                plain_table(("Class", "Taken for", "How often"), pairs, numbers={2}),
            ),
            class_="pair",
        ),
    )


def figures(result: Result) -> Html:
    """Every metric with its definition."""
    values = result["metrics"]
    rows: list[Sequence[Child]] = [
        (
            join(el("code", name), el("br"), el("span", metric.definition, class_="soft")),
            MISSING if (value := values[name]) is None else f"{value:.2f}",
        )
        for name, metric in METRICS.items()
    ]
    return section(
        "All figures, defined",
        "One name means several numbers in the literature; these are the ones meant here.",
        plain_table(("Figure", "% or points"), rows, numbers={1}),
    )


def _card(title: str, figure: str, under: Child, *, first: bool = False) -> Html:
    number, _, unit = figure.replace("\N{NO-BREAK SPACE}", " ").partition(" ")
    return el(
        "div",
        el("h3", title),
        el("p", number, el("small", unit) if unit else None, class_="figure"),
        el("p", under, class_="under"),
        class_="card first" if first else "card",
    )


def _percent(value: float | None) -> str:
    """With a space that no line ends at."""
    return MISSING if value is None else f"{value:.1f}\N{NO-BREAK SPACE}%"


def _outside_card(result: Result) -> Html:
    """What the last phase leaves behind beside the memory."""
    last = result["phases"][-1]
    outside, trained = last["outside_memory"], last["trainable_parameters"]
    size = MISSING if outside is None else bytes_words(outside["bytes"])
    words = "not charged to the budget"
    return _card(
        "Outside the memory",
        size,
        words if trained is None else f"{trained:,} trained parameters; {words}",
    )


def _memory_card(result: Result) -> Html:
    ledger, currency = result["phases"][-1]["memory"], result["budget"]["currency"]
    used, budget = amount_words(ledger["cost"], currency), ledger["budget"]
    if not budget:
        return _card("Memory used", used, "no budget")
    share = ledger["cost"] / budget
    meter = el("span", el("i", style=f"width:{min(100, 100 * share):.1f}%"), class_="meter")
    words = f"{100 * share:.0f} % of {amount_words(budget, currency)}"
    if currency != "bytes":
        words += f"; on disk {bytes_words(ledger['bytes'])}"
    return _card("Memory used", used, join(meter, words))


def _share(share: float) -> Html:
    return el("span", el("i", style=f"width:{100 * share:.0f}%"), class_="share")
