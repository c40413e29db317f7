"""The parts of a run's page that tell what it cost: memory, what lies beside it, time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from benchmark.formatting import MISSING, amount_words, bytes_words, class_share, seconds_words
from benchmark.report.charts import COLOURS, column_chart
from benchmark.report.sections import plain_table, section
from benchmark.results.schema import ClassLedger, LoadedPhase, Result
from mm_imagenet_r.markup import Child, Html, el


def memory(result: Result) -> Html | None:
    """Budget and exemplars of every class, after the last phase."""
    ledgers = {int(k): v for k, v in result["phases"][-1]["memory"]["per_class"].items()}
    if not any(ledger["exemplars"] for ledger in ledgers.values()):
        return None
    currency, names = result["budget"]["currency"], result["class_order"]["names"]
    phase_of = {c: phase["index"] for phase in result["phases"] for c in phase["classes"]}
    classes = [c for c in sorted(phase_of) if c in ledgers]
    counts = [ledgers[c]["exemplars"] for c in classes]
    titles = [f"{names[c]}: {_ledger_words(ledgers[c], currency)}" for c in classes]
    groups = [phase_of[c] for c in classes]
    shares = [class_share(ledgers[c]) for c in classes]
    charts = [
        column_chart(
            counts,
            titles=titles,
            groups=groups,
            y_label="exemplars a class",
            numbers=[str(count) for count in counts],
        )
    ]
    if all(share is not None for share in shares):
        used = [100 * cast(float, share) for share in shares]
        charts.append(
            column_chart(used, titles=titles, groups=groups, y_label="budget used, %", limit=100.0)
        )
    rows: list[Sequence[Child]] = [
        (
            names[c],
            group + 1,
            ledgers[c]["exemplars"],
            bytes_words(ledgers[c]["bytes"]),
            _used(ledgers[c], currency),
        )
        for c, group in zip(classes, groups, strict=True)
    ]
    unit = result["budget"]["unit"]
    note = f"After the last phase, by class in the order learnt. Currency: {currency}."
    if unit is not None and currency == "bytes":
        note += f" One untouched sample: {bytes_words(unit)} ({result['budget']['unit_meaning']})."
    heads = ("Class", "Phase", "Exemplars", "Bytes", "Budget used")
    return section(
        "What is remembered",
        note,
        charts,
        el("figcaption", "Numbers under the columns: the phase a class came in."),
        el(
            "div",
            el(
                "details",
                el("summary", "Every class"),
                plain_table(heads, rows, numbers={1, 2, 3, 4}),
            ),
            class_="more",
        ),
    )


def outside(result: Result) -> Html | None:
    """What passes on beside the memory, after the last phase; `phases` tells it of each."""
    carried = result["phases"][-1]["outside_memory"]
    if carried is None or not carried["bytes"]:
        return None
    rows: list[Sequence[Child]] = [
        (name, bytes_words(size)) for name, size in carried["what"].items()
    ]
    whole = "the state file" if result["schema_version"] > 1 else "all"
    rows.append((el("b", whole), el("b", bytes_words(carried["bytes"]))))
    return section(
        "Beside the memory",
        "What passes from phase to phase without being charged to the budget, after the last "
        "phase. It is not free: compare it with the memory.",
        plain_table(("What", "Size"), rows, numbers={1}, small=True),
    )


def phases(result: Result) -> Html:
    """What each phase brought and how long it took."""
    kinds = list(dict.fromkeys(k for phase in result["phases"] for k in phase["seconds"]))
    totals = [sum(phase["seconds"].values()) for phase in result["phases"]]
    longest = max([*totals, 1e-9])
    legend = el(
        "ul",
        [el("li", el("i", class_=f"c{i % COLOURS}"), kind) for i, kind in enumerate(kinds)],
        class_="legend blocks",
    )
    rows: list[Sequence[Child]] = [
        (
            phase["index"] + 1,
            len(phase["classes"]),
            f"{phase['train']:,}",
            f"{phase['test']:,}",
            f"{phase['memory']['exemplars']:,}",
            bytes_words(phase["memory"]["bytes"]),
            MISSING if (o := phase["outside_memory"]) is None else bytes_words(o["bytes"]),
            f"{phase['steps']:,}",
            seconds_words(total) + "*" * bool(phase["resumed"]),
            _bar(phase, kinds, longest),
        )
        for phase, total in zip(result["phases"], totals, strict=True)
    ]
    heads = (
        *("Phase", "Classes", "Train", "Test", "Exemplars", "Memory", "Outside it"),
        *("Steps", "Time", ""),
    )
    device = result["hardware"].get("accelerator") or f"{result['hardware'].get('cores')} CPU cores"
    steps = sum(phase["steps"] for phase in result["phases"])
    note = f"{steps:,} training steps and {seconds_words(sum(totals))} in all on {device}. "
    note += "Train and test: samples the phase adds."
    if any(phase["resumed"] for phase in result["phases"]):
        note += " * Interrupted: the time since the phase was last resumed."
    return section(
        "Phases and time",
        note,
        legend,
        plain_table(heads, rows, numbers=range(9)),
    )


def _ledger_words(ledger: ClassLedger, currency: str) -> str:
    held = f"{ledger['exemplars']} exemplars, {bytes_words(ledger['bytes'])}"
    return f"{held}, {_used(ledger, currency)}"


def _used(ledger: ClassLedger, currency: str) -> str:
    if ledger["budget"] is None:
        return amount_words(ledger["cost"], currency)
    share = class_share(ledger)
    words = (
        f"{amount_words(ledger['cost'], currency)} of {amount_words(ledger['budget'], currency)}"
    )
    return words if share is None else f"{words} ({100 * share:.0f} %)"


def _bar(phase: LoadedPhase, kinds: Sequence[str], longest: float) -> Html:
    parts = [
        el(
            "i",
            class_=f"c{i % COLOURS}",
            style=f"width:{100 * phase['seconds'].get(kind, 0) / longest:.2f}%",
            title=f"{kind}: {seconds_words(phase['seconds'].get(kind, 0))}",
        )
        for i, kind in enumerate(kinds)
        if phase["seconds"].get(kind, 0) > 0
    ]
    return el("div", parts, class_="bar")
