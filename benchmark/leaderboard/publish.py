"""`python -m benchmark.leaderboard publish`: page, results or a model to the Hub."""

from __future__ import annotations

import argparse
import io
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmark.formatting import bytes_words
from benchmark.leaderboard import cards, tasks
from benchmark.leaderboard.build import CSV, INDEX, JSON, METHODS, build
from benchmark.leaderboard.check import check
from benchmark.leaderboard.levels import RECORD, Level, safe
from benchmark.report.board.collect import Collection, Shown
from benchmark.results.io import is_there, read, result_file
from benchmark.results.small_form import files_beside
from benchmark.run_files import GALLERY, RESULT
from mm_imagenet_r.command_line import Parser, path_of
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.folders import exists, is_folder
from mm_imagenet_r.uploads import DryRun, Upload, check_name, send

_CARD: Final = "README.md"
_RESULTS: Final = "results"
#: What folders and files may be called in a repository, whoever named them.
_PLAIN: Final = re.compile(r"(?!\.)[\w.@=+-]+", re.ASCII)

_EXAMPLES: Final = """examples:
  python -m benchmark.leaderboard publish results --space me/leaderboard --dry-run
  python -m benchmark.leaderboard publish results --space me/leaderboard \\
      --dataset me/leaderboard-results --benchmark me/mm_imagenet_r
  python -m benchmark.leaderboard publish runs/mini-10phases-5-bytes/replay/seed0-1a2b3c4d \\
      --model me/my-model --task-of me/mm_imagenet_r

Only what is named is published; a second time, only what changed is sent. docs/publish.md says
what the Hub's staff must do before the Hub shows a board of its own."""


def parser() -> argparse.ArgumentParser:
    """Its command line."""
    command = Parser(
        prog="python -m benchmark.leaderboard publish",
        description="Publish results on the Hugging Face Hub, with the token of hf auth login or "
        "HF_TOKEN.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = command.add_argument
    add(
        "results", type=path_of, metavar="RESULTS", help="a folder of results; with --model one run"
    )
    name = "OWNER/NAME"
    add("--space", metavar=name, help="static Space for the page; created if it does not exist")
    add("--dataset", metavar=name, help="data set repository for the results; created likewise")
    add(
        "--benchmark",
        metavar=name,
        help=f"existing data set repository of the benchmark: gets {tasks.EVAL}, the tasks that "
        "the results answer",
    )
    add(
        "--model",
        metavar=name,
        help="model repository for the trained model of a run, which needs state and memory; "
        "created if it does not exist",
    )
    add(
        "--task-of",
        metavar=f"{name}[@COMMIT]",
        help=f"with --model: data set repository of the benchmark, perhaps at a commit, named in "
        f"{tasks.EVAL_RESULTS}",
    )
    add(
        "--method",
        action="append",
        default=[],
        metavar="FILE:CLASS",
        help="with --model: the run's method, if not one of the program's; its code is executed; "
        "may be repeated, for that of --match-exemplars-of",
    )
    add("--private", action="store_true", help="visible to the owner only; refuses public ones")
    add(
        "--dry-run",
        action="store_true",
        help="print every call and file, send nothing; needs neither token nor network",
    )
    return command


def main(arguments: Sequence[str]) -> int:
    """Publish; always 0.

    Raises:
        UserError: A mistake in the command line, a result that is refused, a model that cannot be
            made, or the Hub refuses or is away.
    """
    given = parser().parse_args(arguments)
    _refuse(given)
    hub = DryRun() if given.dry_run else None
    with tempfile.TemporaryDirectory(prefix="publish-") as name:
        make = _of_model if given.model else _of_results
        for upload in make(given, Path(name)):
            if given.dry_run:
                print(_heading(upload))
            done = send(upload, hub, private=given.private)
            print("" if given.dry_run else done, flush=True)
    if given.dry_run:
        print("dry run: nothing was sent")
    return 0


def _refuse(given: argparse.Namespace) -> None:
    boards = [given.space, given.dataset, given.benchmark]
    if not any([*boards, given.model]):
        raise UserError("say what to publish: --space, --dataset, --benchmark or --model")
    if given.model and any(boards):
        raise UserError("--model takes one run, the others a folder of results: use two commands")
    for option in ("task_of", "method"):
        if getattr(given, option) and not given.model:
            raise UserError(f"--{option.replace('_', '-')} needs --model")
    if given.private and not any([given.space, given.dataset, given.model]):
        raise UserError("--private applies to new repositories, not to --benchmark: remove it")
    there = [check_name(name) for name in (*boards, given.model) if name]
    if given.dataset and given.dataset == given.benchmark:
        raise UserError(f"--dataset and --benchmark are both {there[0]}: results need their own")
    if given.task_of:
        name, at, revision = given.task_of.partition("@")
        check_name(name)
        if at and not re.fullmatch("[0-9a-f]{40}", revision):
            raise UserError(f"--task-of {given.task_of}: a commit has 40 hexadecimal digits")
    if not is_folder(given.results):
        words = "is not a folder" if exists(given.results) else "does not exist"
        what = "the folder of one run" if given.model else "a folder of results"
        raise UserError(f"{given.results} {words}: give {what}")


def _heading(upload: Upload) -> str:
    sizes = [len(d) if isinstance(d, bytes) else d.stat().st_size for d in upload.files.values()]
    words = f"{upload.kind} {upload.repository}: {pluralize(len(sizes), 'file')}"
    removed = f"; removes what else matches {', '.join(upload.ours)}" if upload.ours else ""
    return f"{words}, {bytes_words(sum(sizes))}; sends what differs{removed}"


def _of_results(given: argparse.Namespace, scratch: Path) -> Iterator[Upload]:
    """The uploads of a folder of results; what others link to comes first."""
    site = scratch / "site"
    found = build(given.results, site)
    for name, why in found.left_out:
        print(f"left out: {safe(name)}: {why}")
    if given.benchmark:
        yield _benchmark(given.benchmark, found)
    pages = {
        path.relative_to(site).as_posix(): path
        for path in (site / INDEX, site / CSV, site / JSON, *sorted((site / METHODS).iterdir()))
    }
    if given.dataset:
        yield _dataset(given.dataset, given.results, found, pages)
    if given.space:
        card = cards.space_card(given.dataset).encode()
        files: dict[str, bytes | Path] = {_CARD: card, **pages}
        ours = (f"{METHODS}/*.html",)
        yield Upload("space", given.space, files, "Leaderboard", ours=ours, marks=(CSV, JSON))


def _benchmark(repository: str, found: Collection) -> Upload:
    settings = set()
    why: UserError | None = None
    for one in found.shown:
        try:
            settings.add(tasks.setting_of(one.result))
        except UserError as error:
            why = error
    if why and not settings:
        raise why
    files = {tasks.EVAL: tasks.eval_yaml(settings)}
    return Upload("dataset", repository, files, "Tasks of the benchmark", create=False)


def _dataset(repository: str, root: Path, found: Collection, pages: dict[str, Path]) -> Upload:
    """Results as they lie, all runs as a table, and the figures of the page."""
    files: dict[str, bytes | Path] = {CSV: pages[CSV], JSON: pages[JSON]}
    shown = []
    for one in found.shown:
        place = one.folder.relative_to(root)
        pictures = [GALLERY] if (one.folder / GALLERY).is_file() else []
        names = [result_file(one.folder).name, *files_beside(one.folder), *pictures]
        parts = [part for name in names for part in (place / name).parts]
        if strange := [part for part in parts if not _PLAIN.fullmatch(part)]:
            why = f"{strange[0]!r} is not a plain file or folder name"
            print(f"left out of {repository}: {safe(one.name)}: {safe(why)}")
            continue
        shown.append(one)
        for name in names:
            files[(_RESULTS / place / name).as_posix()] = one.folder / name
    if not shown:
        raise UserError(f"nothing is left for {repository}: rename the folders listed above")
    if (root / RECORD).is_file():
        files[f"{_RESULTS}/{RECORD}"] = root / RECORD
    files[cards.RUNS] = _runs(root, shown)
    files[_CARD] = cards.dataset_card(repository, shown).encode()
    ours, marks = (f"{_RESULTS}/*",), (CSV, JSON, cards.RUNS)
    return Upload("dataset", repository, files, "Results", ours=ours, marks=marks)


def _runs(root: Path, shown: Sequence[Shown]) -> bytes:
    """A row for each run and classifier, as Parquet; equal results give equal bytes."""
    from benchmark.table.frame import frame

    table = frame([one.folder for one in shown], per="run")
    levels = {str(one.folder): Level(one.level).word if one.level else "" for one in shown}
    table["level"] = table["folder"].map(levels)
    table["folder"] = [Path(name).relative_to(root).as_posix() for name in table["folder"]]
    out = io.BytesIO()
    table.to_parquet(out, index=False)
    return out.getvalue()


def _of_model(given: argparse.Namespace, scratch: Path) -> Iterator[Upload]:
    from benchmark.save import CLASSIFIER, card, save

    run: Path = given.results
    if not is_there(run):
        raise UserError(f"{run} has no {RESULT}: --model takes the folder of one run")
    for verdict in check([run]):
        if verdict.level is Level.REFUSED:
            raise UserError(f"{verdict.folder} is refused: {verdict.reasons[0]}")
    result = read(run)
    more: dict[str, Any] = {}
    name, _, revision = (given.task_of or "").partition("@")
    if name:
        more[tasks.EVAL_RESULTS] = tasks.eval_results(result, name, revision or None)
    folder = scratch / "model"
    save(run, folder, given.method)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    saved = {path.relative_to(folder).as_posix(): path for path in paths}
    files = {**saved, **more, _CARD: card(result, name or None).encode()}
    yield Upload("model", given.model, files, f"Model of {run.name}", marks=(CLASSIFIER,))
