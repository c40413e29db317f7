"""The page of a method: its ranks, settings, forgetting and memory, as plain HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from benchmark.formatting import MISSING, memory_words, method_title, spread_words
from benchmark.leaderboard.levels import Level
from benchmark.report import KINDS, command, sections
from benchmark.report.board.collect import Shown
from benchmark.report.board.document import clean
from benchmark.report.gallery import KEPT, Item, Word, drawn, read_gallery
from benchmark.results import labels
from benchmark.results.derive import given_config
from benchmark.results.schema import Result
from benchmark.results.tables import Row
from benchmark.table.columns import paired_words
from benchmark.table.compare import Table, contenders
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.markup import Html, el
from mm_imagenet_r.pages import render

#: Stands in every page of a method, of former versions too, so that no other one is overwritten.
MARK: Final = "Leaderboard</a> · method</p>"
#: A page shows no more matrices, and no more exemplars of each variant, than somebody looks at.
MATRICES, VARIANTS = 6, 3
_IMAGE, _PATCHES = 200_000, 2_000  # of one exemplar: characters of its picture; patches or words


def method_page(method: str, tables: Sequence[Table], shown: Sequence[Shown], home: str) -> str:
    """The page of a method, by its own classifier; `home` is the address of the board."""
    own = [one for one in shown if one.result["method"] == method]
    best = max(own, key=lambda one: one.level or Level.REFUSED).result  # most likely to be true
    name = clean(method_title(best))
    by_folder = {one.folder: one for one in own}
    rows: list[Row] = []
    standings: dict[str, list[sections.Row]] = {}
    for table in tables:
        for i, row in enumerate(table.rows):
            if row.method == method:
                rows.append(row)
                place = _place(table, i, by_folder)
                standings.setdefault(clean(row.heading), []).append(place)
    return render(
        "benchmark.leaderboard",
        "method.html",
        parts="benchmark.report",
        styles=["report.css"],
        scripts=["report.js"],
        title=f"{name} · Leaderboard",
        name=name,
        method=clean(method),
        home=home,
        header=_header(best, len(rows), len(own)),
        standings=standings,
        settings=_settings(rows),
        matrices=_matrices(rows),
        galleries=_galleries(rows, by_folder),
        again=command(given_config(own[0].result)),
        num_results=pluralize(len(own), "result"),
        results=[
            (
                el("code", clean(one.name)),
                clean(labels.order_name(one.result)),
                one.result["seed"],
                MISSING if one.level is None else Level(one.level).word,
            )
            for one in own
        ],
    )


def _header(result: Result, tables: int, results: int) -> dict[str, str | Html | int]:
    about, link = result["about"], result["about"].get("link", "")
    facts: dict[str, str | Html | int] = {}
    if paper := clean(about.get("paper", "")):
        safe = link if link.startswith(("https://", "http://")) else None
        facts["paper"] = el("a", paper, href=safe, rel="nofollow noopener")
    kind = KINDS.get(result["kind"], clean(result["kind"]))
    return {**facts, "kind": kind, "tables": tables, "results": results}


def _place(table: Table, i: int, shown: Mapping[Path, Shown]) -> sections.Row:
    """Where a row stands in its table; bounds have no place."""
    row, (standing, *_) = table.rows[i], table.standings
    order, base = contenders(table.rows, standing.metric), standing.baseline
    difference = MISSING if base is None else "best"
    if base is not None and base != i:
        difference = paired_words(standing.differences[i], row, table.rows[base])
    levels = [level for f in row.folders if f and (level := shown[f].level) is not None]
    return (
        _line(memory_words(row.budget)),
        _line(row.label),
        f"{order.index(i) + 1} of {len(order)}" if i in order else MISSING,
        spread_words(row.average),
        difference.replace("-", "\N{MINUS SIGN}"),
        spread_words(row.last),
        row.average.n,
        _line(Level(min(levels)).word) if levels else MISSING,
    )


def _settings(rows: Sequence[Row]) -> dict[str, Any]:
    """What is the same everywhere, and what differs, for each row of each table."""
    found = [_identity(row) for row in rows]
    names = list(dict.fromkeys(name for one in found for name in one))
    differing = [n for n in names if any(one.get(n) != found[0].get(n) for one in found)]
    return {
        "heads": ["Row", "Memory", "Phases", *map(clean, differing)],
        "differing": differing
        and [
            (
                _line(row.name),
                _line(memory_words(row.budget)),
                len(row.runs[0]["phases"]),
                *(el("code", one.get(name, MISSING), class_="line") for name in differing),
            )
            for row, one in zip(rows, found, strict=True)
        ],
        "same": [(clean(n), el("code", found[0][n])) for n in names if n not in differing],
    }


def _identity(row: Row) -> dict[str, str]:
    """What makes a row, as texts, without what is left open."""
    found = {**labels.identity_of(row.runs[0]), "chosen by": row.tuned or "hand"}
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in found.items()}
    return {k: clean(v) for k, v in texts.items() if v != "null"}


def _line(words: str) -> Html:
    """Words that are not broken: the table is scrolled instead."""
    return el("span", clean(words), class_="line")


def _matrices(rows: Sequence[Row]) -> dict[str, Any]:
    """Of each variant in each scenario, under the memory that most runs were made with."""
    main: dict[tuple[str, str], Row] = {}
    for row in rows:
        other = main.setdefault((row.heading, row.name), row)
        if row.average.n > other.average.n:
            main[row.heading, row.name] = row
    largest = sorted(main.values(), key=lambda row: -row.average.n)[:MATRICES]
    more = len(main) - len(largest)
    return {
        "note": sections.MATRIX_NOTE
        + (f" {more} more are in the files of the runs." if more else ""),
        "shown": [_matrix(row) for row in largest],
    }


def _matrix(row: Row) -> dict[str, Any]:
    matrices = [run["accuracy_matrix"] for run in row.runs]
    phases = pluralize(len(row.runs[0]["phases"]), "phase")
    return {
        "title": f"{clean(row.label)}, {phases}, {memory_words(row.budget)}",
        "runs": pluralize(len(row.runs), "run"),
        "mean": [np.mean(rows, axis=0).tolist() for rows in zip(*matrices, strict=True)],
        "overall": np.mean([sections.overall(run) for run in row.runs], axis=0).tolist(),
    }


def _galleries(rows: Sequence[Row], shown: Mapping[Path, Shown]) -> list[tuple[str, str, Any]]:
    """Of some variants, exemplars of the first run that has a gallery."""
    found: dict[str, tuple[str, list[Item]]] = {}
    for row in rows:
        for folder in filter(None, row.folders):
            if row.name in found or len(found) == VARIANTS:
                break
            if items := _items(folder):
                found[row.name] = (shown[folder].name, items[:KEPT])
    return [
        (clean(name), clean(folder), drawn(items, f"picture-{i}"))
        for i, (name, (folder, items)) in enumerate(found.items())
    ]


def _items(folder: Path) -> list[Item]:
    """What of a run's gallery a page can hold, every text cleaned; nothing of a broken one."""
    try:
        items = read_gallery(folder)
    except UserError:
        return []
    return [
        _clean_item(one)
        for one in items
        if len(one["image"]) < _IMAGE and max(len(one["kept"]), len(one["words"])) < _PATCHES
    ]


def _clean_item(item: Item) -> Item:
    words: list[Word] = [{**word, "text": clean(word["text"])} for word in item["words"]]
    texts = {key: clean(item[key]) for key in ("class_name", "file_name", "codec")}
    return cast(Item, {**item, **texts, "words": words})
