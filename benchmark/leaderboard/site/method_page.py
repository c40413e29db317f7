"""The page of a method: where it stands, with which settings, what it remembers and what it keeps.

Plain HTML in the style of a run's report, without a script of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from benchmark.formatting import MISSING, memory_words, method_title, spread_words
from benchmark.leaderboard.levels import Level
from benchmark.leaderboard.site.collect import Shown
from benchmark.leaderboard.site.text import clean
from benchmark.report import command
from benchmark.report.gallery import KEPT, Item, Word, gallery, read_gallery
from benchmark.report.page import page
from benchmark.report.sections import matrix_table, plain_table, section
from benchmark.results import labels
from benchmark.results.derive import given_config
from benchmark.results.schema import Result
from benchmark.results.tables import Row
from benchmark.table.columns import paired_words
from benchmark.table.compare import Table, contenders
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.markup import Child, Html, el, join

#: A page shows no more matrices, and no more exemplars of each variant, than somebody looks at.
MATRICES, VARIANTS = 6, 3
_IMAGE, _PATCHES = 200_000, 2_000  # of one exemplar: characters of its picture; patches or words
_KINDS = {
    "replay": "replay of exemplars",
    "memory-free": "keeps no exemplars",
    "bound": "a bound that methods are measured against",
}


class Standing(NamedTuple):
    """A row of the method and where it stands in its table.

    Attributes:
        row: The row.
        place: Among the rows that compete; None for a bound.
        rivals: How many compete.
        difference: To the best, in words.
    """

    row: Row
    place: int | None
    rivals: int
    difference: str


def method_page(method: str, tables: Sequence[Table], shown: Sequence[Shown], home: str) -> str:
    """The page of a method, by its own classifier.

    Args:
        method: Its name.
        tables: All of the board.
        shown: All results.
        home: Address of the board, seen from this page.
    """
    standings = [one for table in tables for one in _standings(table, method)]
    own = [one for one in shown if one.result["method"] == method]
    best = max(own, key=lambda one: one.level or Level.REFUSED).result  # most likely to be true
    title = clean(method_title(best))
    body = join(
        _header(title, best, standings, len(own), home),
        el(
            "main",
            _where(standings, {one.folder: one for one in own}),
            _settings(standings),
            _matrices(standings),
            _gallery(standings, own),
            _again(own),
        ),
    )
    return page(f"{title} · Leaderboard", body, check="benchmark.leaderboard verify RESULTS")


def _standings(table: Table, method: str) -> list[Standing]:
    (standing, *_) = table.standings
    order = contenders(table.rows, standing.metric)
    return [
        Standing(
            row,
            order.index(i) + 1 if i in order else None,
            len(order),
            _difference(table, i),
        )
        for i, row in enumerate(table.rows)
        if row.method == method
    ]


def _difference(table: Table, i: int) -> str:
    """Of a row to the best one."""
    (standing, *_) = table.standings
    if standing.baseline is None:
        return MISSING
    if standing.baseline == i:
        return "best"
    return paired_words(standing.differences[i], table.rows[i], table.rows[standing.baseline])


def _header(
    title: str, result: Result, standings: Sequence[Standing], results: int, home: str
) -> Html:
    about, link = result["about"], result["about"].get("link", "")
    facts: list[tuple[str, Child]] = []
    if paper := clean(about.get("paper", "")):
        safe = link if link.startswith(("https://", "http://")) else None
        facts.append(("paper", el("a", paper, href=safe, rel="nofollow noopener")))
    facts += [
        ("kind", _KINDS.get(result["kind"], clean(result["kind"]))),
        ("tables", str(len(standings))),
        ("results", str(results)),
    ]
    return el(
        "header",
        el("p", el("a", "Leaderboard", href=home), " · method", class_="eyebrow"),
        el("h1", title),
        el("p", el("code", clean(result["method"])), class_="lead"),
        el("ul", [el("li", f"{k} ", el("b", v)) for k, v in facts], class_="facts"),
    )


def _where(standings: Sequence[Standing], shown: Mapping[Path, Shown]) -> Html:
    parts: list[Child] = []
    for heading in dict.fromkeys(one.row.heading for one in standings):
        rows = [_where_row(one, shown) for one in standings if one.row.heading == heading]
        heads = ("Memory", "Row", "Place", "Average, %", "To the best", "Last, %", "Runs", "Level")
        parts.append(el("h3", clean(heading), class_="sub"))
        parts.append(plain_table(heads, rows, numbers={2, 3, 4, 5, 6}))
    return section(
        "Where it stands",
        "In each table of the board, by its own classifier and average accuracy. Differences are "
        "in points, with 95 % intervals.",
        el("div", parts),
        wide=True,
    )


def _where_row(one: Standing, shown: Mapping[Path, Shown]) -> Sequence[Child]:
    row = one.row
    levels = [found.level for f in row.folders if f and (found := shown[f]).level is not None]
    return (
        _line(memory_words(row.budget)),
        _line(row.label),
        MISSING if one.place is None else f"{one.place} of {one.rivals}",
        spread_words(row.average),
        one.difference.replace("-", "\N{MINUS SIGN}"),
        spread_words(row.last),
        row.average.n,
        _line(Level(min(levels)).word) if levels else MISSING,
    )


def _settings(standings: Sequence[Standing]) -> Html:
    """What is the same everywhere, and what differs, for each row of each table."""
    rows = [one.row for one in standings]
    found = [_told(row) for row in rows]
    names = list(dict.fromkeys(name for told in found for name in told))
    differing = [n for n in names if any(told.get(n) != found[0].get(n) for told in found)]
    other: list[Sequence[Child]] = [
        (
            _line(row.name),
            _line(memory_words(row.budget)),
            len(row.runs[0]["phases"]),
            *(el("code", told.get(name, MISSING), class_="line") for name in differing),
        )
        for row, told in zip(rows, found, strict=True)
    ]
    same: list[Sequence[Child]] = [
        (clean(name), el("code", found[0][name])) for name in names if name not in differing
    ]
    heads = ("Row", "Memory", "Phases", *map(clean, differing))
    return section(
        "Settings",
        "Of the method and of its training, with the hash of its code.",
        el(
            "div",
            plain_table(heads, other, numbers={2}) if differing else None,
            el("h3", "Everywhere the same", class_="sub") if differing else None,
            plain_table(("Setting", "Value"), same, small=True),
        ),
        wide=True,
    )


def _told(row: Row) -> dict[str, str]:
    """What makes a row, as texts; what is left open says nothing."""
    found = {**labels.identity_of(row.runs[0]), "chosen by": row.tuned or "hand"}
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in found.items()}
    return {k: clean(v) for k, v in texts.items() if v != "null"}


def _line(words: str) -> Html:
    """Words that are not broken: the table is scrolled instead."""
    return el("span", clean(words), class_="line")


def _matrices(standings: Sequence[Standing]) -> Html:
    """Of each variant in each scenario, under the memory that most runs were made with."""
    main: dict[tuple[str, str], Row] = {}
    for one in standings:
        row = main.setdefault((one.row.heading, one.row.name), one.row)
        if one.row.average.n > row.average.n:
            main[one.row.heading, one.row.name] = one.row
    largest = sorted(main.values(), key=lambda row: -row.average.n)[:MATRICES]
    parts: list[Child] = []
    for row in largest:
        matrices = [run["accuracy_matrix"] for run in row.runs]
        mean = [np.mean(rows, axis=0).tolist() for rows in zip(*matrices, strict=True)]
        curves = [[p["accuracy"]["sample_weighted"] for p in run["phases"]] for run in row.runs]
        words = f"{clean(row.label)}, {_phases(row)}, {memory_words(row.budget)}"
        parts += [
            el(
                "h3",
                words,
                el("small", f" mean over {pluralize(len(curves), 'run')}"),
                class_="sub",
            ),
            matrix_table(mean, np.mean(curves, axis=0).tolist()),
        ]
    more = len(main) - len(largest)
    note = "Row: after which phase. Column: on whose test data. Framed: just learnt. Accuracy in %."
    if more:
        note += f" {more} more are in the files of the runs."
    return section("Accuracy matrix", note, el("div", parts))


def _phases(row: Row) -> str:
    return pluralize(len(row.runs[0]["phases"]), "phase")


def _gallery(standings: Sequence[Standing], own: Sequence[Shown]) -> Html | None:
    """Of some variants, exemplars of the first run that has a gallery."""
    names = {one.folder: one.name for one in own}
    found: dict[str, tuple[str, list[Item]]] = {}
    for row in (one.row for one in standings):
        for place in filter(None, row.folders):
            if row.name in found or len(found) == VARIANTS:
                break
            if items := _items(place):
                found[row.name] = (names[place], items[:KEPT])
    if not found:
        return None
    parts: list[Child] = []
    for i, (name, (folder, items)) in enumerate(found.items()):
        parts.append(el("h3", clean(name), " ", el("small", clean(folder)), class_="sub"))
        parts.append(gallery(items, f"picture-{i}"))
    return section(
        "What an exemplar is",
        "Image, attention of the class token, and what is kept; of the caption, the words kept. "
        "Pictures are as they were submitted: verification does not look at them.",
        el("div", parts),
    )


def _items(folder: Path) -> list[Item]:
    """What of a run's gallery a page can hold; nothing of a broken one."""
    try:
        items = read_gallery(folder)
    except UserError:
        return []
    fitting = (
        one
        for one in items
        if len(one["image"]) < _IMAGE and max(len(one["kept"]), len(one["words"])) < _PATCHES
    )
    return [_clean_item(one) for one in fitting]


def _clean_item(item: Item) -> Item:
    """Every text as a page may show it."""
    words: list[Word] = [{**word, "text": clean(word["text"])} for word in item["words"]]
    texts = {key: clean(item[key]) for key in ("class_name", "file_name", "codec")}
    return cast(Item, {**item, **texts, "words": words})


def _again(own: Sequence[Shown]) -> Html:
    config = given_config(own[0].result)
    rows: list[Sequence[Child]] = [
        (
            el("code", clean(one.name)),
            clean(labels.order_name(one.result)),
            one.result["seed"],
            MISSING if one.level is None else one.level.word,
        )
        for one in own
    ]
    return section(
        "The same again",
        "The command of the first result; the others differ in what their settings say.",
        el(
            "div",
            el("pre", command(config)),
            el("button", "Copy", type="button"),
            class_="command",
        ),
        el(
            "details",
            el("summary", pluralize(len(own), "result")),
            plain_table(("Files", "Class order", "Seed", "Level"), rows, numbers={2}),
        ),
    )
