"""The second level: the model, rebuilt from its stored state and memory, predicts the same.

State is safetensors, memory the harness's records: neither can hold code, the method's is the
installed one. Only the last phase's state is kept, so only its predictions can be repeated.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.leaderboard.check import look_at
from benchmark.leaderboard.installed import Means, cell_of, open_known
from benchmark.leaderboard.tree import results_below
from benchmark.results import read, strict_json
from benchmark.results.derive import classifiers
from benchmark.results.io import result_file
from benchmark.results.records import read_exemplars, read_predictions
from benchmark.results.schema import Result
from benchmark.run_files import EXEMPLARS, MEMORY, PREDICTIONS, RESULT, STATE
from mm_imagenet_r.errors import UserError, one_line
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.hashes import json_sha256


@dataclass(frozen=True)
class Repeat:
    """A result to be verified further in a folder to work in; `run` has its state and memory."""

    folder: Path
    run: Path | None
    means: Means
    scratch: Path


def find_runs(folders: Sequence[Path], places: Sequence[Path]) -> dict[Path, Path | None]:
    """Where the whole run of each result lies: in its own folder, else one with the same result.

    Raises:
        UserError: A place holds no runs.
    """
    found: dict[Path, Path | None] = {f: f if (f / STATE).is_dir() else None for f in folders}
    missing = [folder for folder, run in found.items() if run is None]
    if not missing or not places:
        return found
    whole: dict[str, Path] = {}
    for run in results_below(places).folders:
        if (run / STATE).is_dir():
            with contextlib.suppress(UserError):
                whole[_identity(run)] = run
    return found | {folder: whole.get(_identity(folder)) for folder in missing}


def _identity(folder: Path) -> str:
    """Hash of all that a result says, in whichever form it is written."""
    return json_sha256(strict_json.read(result_file(folder)))


def predict(job: Repeat) -> str:
    """Predict the test samples again after the last phase; return what was found, in a sentence.

    Raises:
        UserError: Why the result is not re-predicted.
    """
    from benchmark.devices import find_place
    from benchmark.isolation import isolated
    from benchmark.phase import TestJob, test
    from benchmark.randomness import stream

    result = read(job.folder)
    cell = cell_of(result, job.means, job.scratch)
    if job.run is None or not (job.run / STATE).is_dir():
        raise UserError(
            f"its folder has no {STATE}/: give the folder of the whole run by --runs, or repeat "
            "the run (--run)"
        )
    if job.run != job.folder and (found := look_at(job.run).found):
        raise UserError(f"{job.run}: {found[0]}")
    data = open_known(cell, result)
    index = cell.num_learnt - 1
    seen = data.test.of_classes(range(cell.classes(index).stop))
    order = stream(result["seed"], "harness/test order", index).permutation(len(seen))
    with tempfile.TemporaryDirectory(dir=job.scratch) as name:
        folder = Path(name)
        memory = _lay_out(job.run, result, folder)
        outside = result["phases"][index]["outside_memory"]
        place = find_place(cell.config)
        task = TestJob(
            cell=cell,
            place=place,
            folder=folder,
            index=index,
            num_seen=len(result["class_order"]["order"]),
            samples=seen.select(order).apart(anonymous=True),
            memory=memory,
            state={"sha256": result["files"][STATE], "bytes": outside["bytes"] if outside else 0},
        )
        try:
            predictions = isolated(test, task, lambda *_: None, cell.method.imports).predictions
        except Exception as error:  # state and memory are somebody else's: whatever they cause
            words = one_line(str(error) or type(error).__name__)
            raise UserError(f"the model cannot be rebuilt: {words}") from error
    names = [seen.file_names[i] for i in order.tolist()]
    again = {own: dict(zip(names, rows, strict=True)) for own, rows in predictions.items()}
    return _compared(job.folder, result, again, f"{index + 1} on {place.device}")


def _lay_out(run: Path, result: Result, folder: Path) -> dict[str, Any]:
    """Put what the model is made from into its own folder, trusting no list of the run's files."""
    index = len(result["phases"]) - 1
    backbone = {**result["backbone"], "name": result["config"]["backbone"]}
    write_atomic(folder / "run.json", json.dumps({"backbone": backbone}).encode())
    name = f"phase-{index:02d}.safetensors"
    for place in (STATE, MEMORY):
        (folder / place).mkdir()
    if not (run / STATE / name).is_file():
        raise UserError(f"{STATE}/{name} is missing: it holds the model after the last phase")
    shutil.copyfile(run / STATE / name, folder / STATE / name)
    held = result["phases"][index]["memory"]["per_class"]
    files = _memory_files(run, held)
    rows = read_exemplars(run / EXEMPLARS) if (run / EXEMPLARS).is_file() else []
    manifest: dict[str, Any] = {}
    for key, path in files.items():
        shutil.copyfile(path, folder / MEMORY / path.name)
        own = [row for row in rows if row.label == int(key)]
        latest = max((row.phase for row in own), default=index)
        kept = sorted((row.rank, row.file_name, row.codec) for row in own if row.phase == latest)
        sources = [[file_name, codec] for _, file_name, codec in kept[: held[key]["exemplars"]]]
        size = held[key]["bytes"]
        raw = [None] * len(sources)
        manifest[key] = {"file": path.name, "bytes": size, "sources": sources, "raw": raw}
    return manifest


def _memory_files(run: Path, held: Mapping[str, Any]) -> dict[str, Path]:
    """The file of each class, by its key in the ledger; that they are whole was checked before."""
    found = {}
    for key in held:
        paths = list((run / MEMORY).glob(f"class-{int(key):04d}-*.bin"))
        if len(paths) != 1:
            raise UserError(f"{MEMORY}/ has {len(paths)} files of class {key}, not one")
        found[key] = paths[0]
    return found


def _compared(
    folder: Path, result: Result, again: Mapping[str, Mapping[str, int]], where: str
) -> str:
    last = len(result["phases"]) - 1
    rows = [row for row in read_predictions(folder / PREDICTIONS) if row.phase == last]
    if set(again) != set(classifiers(result)):
        raise UserError(f"the model has the classifiers {sorted(again)}, not those of {RESULT}")
    wrong = sum(again[row.classifier].get(row.file_name) != row.prediction for row in rows)
    if wrong:
        raise UserError(
            f"predicted again, {wrong} of {len(rows)} predictions after phase {where} differ"
        )
    return f"predicted again: all {len(rows):,} predictions after phase {where} are the same"
