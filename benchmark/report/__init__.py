"""A run as one self-contained page: `python -m benchmark.report RUNS...`; several, compared.

Pages are views of result files: no network, no dependency, nothing that is not in the run's folder.
The same files give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.formatting import (
    MISSING,
    budget_sentence,
    method_title,
    order_words,
    result_phases_words,
)
from benchmark.options import from_mapping
from benchmark.report import ledger_sections, sections, training_sections
from benchmark.report.gallery import gallery, read_gallery
from benchmark.report.page import page
from benchmark.results import RESULT, find_runs, read
from benchmark.results.derive import given_config
from benchmark.results.records import PREDICTIONS, read_predictions
from benchmark.results.schema import Result
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.markup import Child, Html, el, join

REPORT = "report.html"
_KINDS = {
    "replay": "replay of exemplars",
    "memory-free": "no exemplars",
    "bound": "a bound that methods are measured against",
}

__all__ = ["REPORT", "command", "main", "write_report"]


def write_report(folder: Path, path: Path | None = None) -> Path:
    """Write a run's page.

    Args:
        folder: Where result.json, predictions.parquet and perhaps gallery.json are.
        path: Where to; report.html in the folder by default.

    Returns:
        The page's path.

    Raises:
        UserError: A file is missing or broken, or the page cannot be written.
    """
    result = read(folder)
    predictions = read_predictions(folder / PREDICTIONS)
    items = read_gallery(folder)
    name = method_title(result)
    body = join(
        _header(result),
        el(
            "main",
            sections.cards(result),
            _opened(sections.accuracy(result)),
            sections.accuracy_matrix(result),
            training_sections.classifiers(result),
            sections.section(
                "What an exemplar is",
                "Image, attention of the class token, and what is kept; of the caption, the words "
                "kept. What is dimmed or struck through is not stored.",
                gallery(items),
            )
            if items
            else None,
            ledger_sections.memory(result),
            ledger_sections.outside(result),
            sections.mistakes(result, predictions),
            ledger_sections.phases(result),
            training_sections.training(result),
            sections.figures(result),
            _again(result),
        ),
    )
    path = path or folder / REPORT
    write_atomic(path, page(f"{name} on {result['dataset']['name']}", body).encode())
    return path


def _header(result: Result) -> Html:
    data = result["dataset"]
    backbone, sizes = result["backbone"], [len(phase["classes"]) for phase in result["phases"]]
    facts: dict[str, str] = {
        "data": f"{data['name']}, {data['train']:,} training and {data['test']:,} test samples",
        "backbone": f"{backbone['name']}, {backbone['parameters']:,} parameters",
        "class order": order_words(result["class_order"]),
        "kind": _KINDS.get(result["kind"], result["kind"]),
        "training": training_sections.recipe_words(result),
        "run": f"seed {result['seed']}",
    }
    preset = f"@{result['preset']}" if result["preset"] not in (None, "", "default") else ""
    return el(
        "header",
        el("p", "MM-ImageNet-R · run", class_="eyebrow"),
        el("h1", method_title(result), preset),
        el(
            "p",
            f"{sum(sizes)} classes of ",
            el("strong", data["name"]),
            f" learnt in {result_phases_words(result)}. ",
            budget_sentence(result["budget"], sees_all_data=result["sees_all_data"]),
            class_="lead",
        ),
        el("ul", [el("li", f"{k} ", el("b", v)) for k, v in facts.items()], class_="facts"),
        None
        if result["complete"]
        else el(
            "p",
            f"Not finished: {pluralize(len(sizes), 'phase')} so far. The same command resumes it.",
            class_="warning",
        ),
    )


def _again(result: Result) -> Html:
    """How to reproduce the run, its configuration and where everything came from."""
    data, order, backbone = result["dataset"], result["class_order"], result["backbone"]
    origin = {
        **{f"method: {k}": v for k, v in result["about"].items()},
        "method's code (sha256)": result["method_sha256"],
        "harness's code (sha256)": result["harness_sha256"] or MISSING,
        **{f"{k} (sha256)": v for k, v in result["files"].items()},
        "data set (sha256)": data["data_sha256"],
        "split": data["split"],
        "split (sha256 of the file names evaluated on)": data["split_sha256"],
        "captions": data["captions"],
        "captions (fingerprint of the set, hash of the texts)": data["captions_id"],
        "class order (sha256)": order["sha256"],
        f"backbone {backbone['name']} (sha256)": backbone["sha256"],
        **{f"exemplars of: {k}": v for k, v in (result["match_exemplars_of"] or {}).items()},
        **{f"hardware: {k}": v for k, v in result["hardware"].items()},
        **{f"version: {k}": v for k, v in result["versions"].items()},
    }
    return sections.section(
        "The same again",
        "The same machine and versions give identical results.",
        el(
            "div",
            el("pre", command(given_config(result))),
            el("button", "Copy", type="button"),
            class_="command",
        ),
        el(
            "p",
            "With a later version that has other defaults: ",
            el("code", f"python -m benchmark.run --config {RESULT}"),
            class_="note",
        ),
        el("details", el("summary", "Configuration"), _pairs(result["config"])),
        el("details", el("summary", "Settings of the method"), _pairs(result["method_settings"]))
        if result["method_settings"]
        else None,
        el("details", el("summary", "Provenance"), _pairs(origin)),
    )


def command(config: Mapping[str, Any]) -> str:
    """The command that repeats a run.

    A configuration of another version may have options this one does not know; the result file
    itself then serves as configuration.

    >>> command({"method": ["replay"], "memory": "1"})
    'python -m benchmark.run --method replay --memory 1'
    >>> command({"an_old_option": 1})
    'python -m benchmark.run --config result.json'
    """
    try:
        return RunConfig(**from_mapping(config, source=RESULT)).command()
    except UserError:
        return f"python -m benchmark.run --config {RESULT}"


def _pairs(values: Mapping[str, Any]) -> Html:
    rows: list[Sequence[Child]] = [
        (key, el("code", value if isinstance(value, str) else json.dumps(value)))
        for key, value in values.items()
    ]
    return sections.plain_table((), rows)


def _opened(first: Html) -> Html:
    """The section right under the cards needs no rule above it."""
    return Html(first.replace("<section>", '<section class="open">', 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page of one run, or one page that compares several."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.report",
        description="One page for a run; for several runs, one page that compares them.",
        epilog="example: python -m benchmark.report runs/ --output comparison.html --png curve.png",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or result.json files")
    parser.add_argument("--output", type=Path, help="the page (default: report.html of the run)")
    parser.add_argument(
        "--png", type=Path, help="also draw the accuracy curves: .png, .svg or .pdf"
    )
    given = parser.parse_args(arguments)
    try:
        folders = find_runs(given.runs)
        if len(folders) == 1:
            print(write_report(folders[0], given.output))
        else:
            from benchmark.leaderboard.comparison import write_comparison

            print(write_comparison(folders, given.output or Path("comparison.html")))
        if given.png:
            from benchmark.report.plots import write_curve

            print(write_curve(folders, given.png))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
