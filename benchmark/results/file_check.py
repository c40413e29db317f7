"""Whether the files beside a result.json are those it was written with."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from benchmark import run_files
from benchmark.recipe_file import RecipeFile
from benchmark.results.schema import Result, TuningInfo
from benchmark.run_files import (
    EXEMPLARS,
    MEMORY,
    PREDICTIONS,
    SOURCE,
    STATE,
    TUNING,
    hash_in_name,
    is_whole,
)  # fmt: skip
from benchmark.source_hash import sources_sha256
from benchmark.tuned_recipe import read
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.hashes import file_sha256


def changed_files(folder: Path, result: Result) -> list[str]:
    """Names of the files of a finished run that are not there as they were written.

    State, memory and source may be missing as a whole: runs are passed on without them.
    """
    said = result["files"]
    found = [n for n, sha256 in said.items() if n != STATE and not is_whole(folder / n, sha256)]
    states = _tensors(folder)
    last = result["phases"][-1]
    size = last["outside_memory"]["bytes"] if last["outside_memory"] else None
    if STATE in said and states and not any(is_whole(path, said[STATE], size) for path in states):
        found.append(f"{STATE}/{states[-1].name}")
    kept = {path.name.rpartition("-")[0]: path for path in _files(folder / MEMORY)}
    for label, held in last["memory"]["per_class"].items() if kept else ():
        path = kept.get(f"class-{int(label):04d}")
        if path is None or not is_whole(path, hash_in_name(path), held["bytes"]):
            found.append(f"{MEMORY}/{path.name if path else f'class-{int(label):04d}'}")
    if any(source_faults(folder, result)):
        found.append(SOURCE)
    return found


def hash_faults(folder: Path, result: Result) -> Iterator[str]:
    """Predictions, exemplars and the last state against the hashes in the result."""
    said = result["files"]
    for name in (PREDICTIONS, EXEMPLARS, STATE):
        if name not in said and result["schema_version"] > 1:
            yield f"files.{name} is missing"
    for name in (PREDICTIONS, EXEMPLARS):  # an absent file is reported elsewhere
        if name in said and (folder / name).is_file() and not is_whole(folder / name, said[name]):
            yield f"{name} has another hash than files.{name}"
    yield from _tuning_faults(folder, result)
    states = _tensors(folder)
    if not states or STATE not in said:
        return
    own = [path for path in states if is_whole(path, said[STATE])]
    outside = result["phases"][-1]["outside_memory"]
    if not own:
        yield f"no file in {STATE}/ has the hash files.{STATE}"
    elif outside is not None and own[0].stat().st_size != outside["bytes"]:
        yield (
            f"phases[{len(result['phases']) - 1}].outside_memory.bytes is {outside['bytes']}, but "
            f"{STATE}/{own[0].name} has {own[0].stat().st_size} bytes"
        )


def _tuning_faults(folder: Path, result: Result) -> Iterator[str]:
    """The recipe file against its hash and what the result says of it."""
    tuning = result.get("tuning")
    if tuning is None and (folder / TUNING).is_file():
        yield f"{TUNING} exists, but the result is of no recipe"
    if tuning is None or (path := recipe_file(folder, tuning)) is None:
        return
    if file_sha256(path) != tuning["sha256"]:
        yield f"{TUNING} has another hash than tuning.sha256"
        return
    try:
        said = _read(path)
    except UserError as error:
        yield str(error)
        return
    if len(said["trials"]) != tuning["trials"]:
        yield f"tuning.trials is {tuning['trials']}, but {TUNING} has {len(said['trials'])}"
    for key, value in {**said, "chosen": said["chosen"]["settings"]}.items():
        if key in ("recipe", "phases", "searched", "chosen") and cast(Any, tuning)[key] != value:
            yield f"tuning.{key} is not what {TUNING} says"


def recipe_file(folder: Path, tuning: TuningInfo) -> Path | None:
    """The recipe that a run's settings are from: its copy, else one of this project's own."""
    copy = folder / TUNING
    return copy if copy.is_file() else _shipped().get(tuning["sha256"])


@functools.cache
def _shipped() -> dict[str, Path]:
    """By hash; a wheel has none."""
    folder = Path(__file__).parents[2] / "recipes"
    return {file_sha256(path): path for path in sorted(folder.glob("*/*.json"))}


@functools.lru_cache(maxsize=256)
def _read(path: Path) -> RecipeFile:
    return read(path).said


def source_faults(folder: Path, result: Result) -> Iterator[str]:
    """The copy of the method's source against its hash."""
    place = folder / SOURCE
    if result["schema_version"] == 1 or not place.is_dir():
        return
    try:
        found = source_sha256(place)
    except UserError as error:
        yield str(error)
        return
    if found != result["method_sha256"]:
        yield f"method_sha256 is not that of the files in {SOURCE}/"


def source_sha256(place: Path) -> str:
    """Hash of the Python files in a copy of a method's source; UserError if one is not Python."""
    try:
        return sources_sha256(
            run_files.read(path) for path in place.rglob("*.py") if path.is_file()
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError, UserError) as error:
        raise UserError(f"{SOURCE}/ cannot be read as Python") from error


def missing_files(folder: Path, result: Result) -> list[str]:
    """What a run's folder was passed on without: memory, state, recipe, source."""
    found = []
    if result["phases"][-1]["memory"]["exemplars"] and not _files(folder / MEMORY):
        found.append(MEMORY)
    if not _tensors(folder):
        found.append(STATE)
    if "tuning" in result and recipe_file(folder, result["tuning"]) is None:
        found.append("recipe")
    if result["schema_version"] > 1 and not (folder / SOURCE).is_dir():
        found.append(SOURCE)
    return found


def _tensors(folder: Path) -> list[Path]:
    """The states that are there, of this version or of the first."""
    return [path for path in _files(folder / STATE) if path.suffix in (".safetensors", ".pt")]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir() or folder.is_symlink():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink())
