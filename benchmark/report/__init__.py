"""A run as one self-contained page, or several compared; the same files give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import formatting
from benchmark.config import RunConfig
from benchmark.figures import check_path
from benchmark.formatting import MISSING, method_title
from benchmark.metrics import METRICS
from benchmark.options import from_mapping
from benchmark.report import sections
from benchmark.report.gallery import drawn, read_gallery
from benchmark.results import find_runs, read
from benchmark.results.derive import classes_seen, given_config
from benchmark.results.records import read_predictions
from benchmark.results.schema import Result
from benchmark.run_files import PREDICTIONS, REPORT, RESULT
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.markup import el
from mm_imagenet_r.pages import check_page, render

KINDS = {
    "replay": "replay of exemplars",
    "memory-free": "keeps no exemplars",
    "bound": "a bound that methods are measured against",
}

__all__ = ["KINDS", "command", "main", "pairs", "write_report"]


def write_report(folder: Path, path: Path | None = None) -> Path:
    """Write the page of the run in a folder, by default beside its result; return its path.

    Raises:
        UserError: A file is missing or broken, or the page cannot be written, as over another file.
    """
    path = path or folder / REPORT
    check_page(path)
    result = read(folder)
    predictions = read_predictions(folder / PREDICTIONS, result["files"].get(PREDICTIONS))
    name, preset = method_title(result), result["preset"]
    page = render(
        "benchmark.report",
        "report.html",
        styles=["report.css"],
        scripts=["report.js"],
        title=f"{name} on {result['dataset']['name']}",
        name=name + (f"@{preset}" if preset not in (None, "", "default") else ""),
        fmt=formatting,
        result=result,
        kind=KINDS.get(result["kind"], result["kind"]),
        recipe=sections.recipe_words(result),
        num_classes=classes_seen(result)[-1],
        curve=sections.curve(result),
        invariance=sections.invariance(result),
        matrix_note=sections.MATRIX_NOTE,
        overall=sections.overall(result),
        classifiers=sections.classifiers(result),
        gallery=drawn(read_gallery(folder)),
        memory=sections.memory(result),
        mistakes=sections.mistakes(result, predictions),
        time=sections.time(result),
        training=sections.training(result),
        metrics=METRICS,
        again=command(given_config(result)),
        provenance={
            "Configuration": pairs(result["config"]),
            "Settings of the method": pairs(result["method_settings"]),
            "Provenance": pairs(_provenance(result)),
        },
    )
    write_atomic(path, page.encode())
    return path


def _provenance(result: Result) -> dict[str, Any]:
    data, backbone = result["dataset"], result["backbone"]
    return {
        **{f"method: {k}": v for k, v in result["about"].items()},
        "method's code (sha256)": result["method_sha256"],
        "harness's code (sha256)": result["harness_sha256"] or MISSING,
        **{f"{k} (sha256)": v for k, v in result["files"].items()},
        "data set (sha256)": data["data_sha256"],
        "split": data["split"],
        "split (sha256 of the file names evaluated on)": data["split_sha256"],
        "captions": data["captions"],
        "captions (fingerprint of the set, hash of the texts)": data["captions_id"],
        "class order (sha256)": result["class_order"]["sha256"],
        f"backbone {backbone['name']} (sha256)": backbone["sha256"],
        **{f"exemplars of: {k}": v for k, v in (result["match_exemplars_of"] or {}).items()},
        **{f"hardware: {k}": v for k, v in result["hardware"].items()},
        **{f"version: {k}": v for k, v in result["versions"].items()},
    }


def command(config: Mapping[str, Any]) -> str:
    """The command that repeats a run; where an option of its is unknown here, its file is given.

    >>> command({"method": ["replay"], "memory": "1"})
    'python -m benchmark.run --method replay --memory 1'
    >>> command({"an_old_option": 1})
    'python -m benchmark.run --config result.json'
    """
    try:
        return RunConfig(**from_mapping(config, source=RESULT)).command()
    except UserError:
        return f"python -m benchmark.run --config {RESULT}"


def pairs(values: Mapping[str, Any]) -> list[sections.Row]:
    """Names and values as rows of a table."""
    return [
        (name, el("code", value if isinstance(value, str) else json.dumps(value)))
        for name, value in values.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page of one run, or one page that compares several; 0, or 2 for a mistake."""
    return command_line.run(_main, arguments)


def _main(arguments: Sequence[str] | None) -> None:
    parser = command_line.Parser(
        prog="python -m benchmark.report",
        description="One page for a run; for several runs, one page that compares them.",
        epilog="example: python -m benchmark.report runs/ --output all.html --curve curve.pdf",
    )
    path = command_line.path_of
    parser.add_argument("runs", nargs="+", type=path, help="folders of runs, or result.json files")
    parser.add_argument(
        "--output",
        type=path,
        help="the page (default: report.html of the run; for several runs comparison-HASH.html "
        "here, where HASH stands for these runs)",
    )
    parser.add_argument(
        "--curve",
        "--png",  # its former name
        type=path,
        metavar="FILE",
        help="also draw accuracy over the classes seen: .svg, .pdf or .png",
    )
    given = parser.parse_args(arguments)
    if given.curve:
        check_path(given.curve)
    folders = find_runs(given.runs)
    if len(folders) == 1:
        print(write_report(folders[0], given.output))
    else:
        from benchmark.report.comparison import comparison_name, write_comparison

        print(write_comparison(folders, given.output or Path(comparison_name(folders))))
    if given.curve:
        from benchmark.report.plots import write_curve

        print(write_curve(folders, given.curve))
