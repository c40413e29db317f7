"""From finished phases to the files that others read: at the end, and where they were lost."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmark import results
from benchmark.assemble import build_result, file_contents
from benchmark.errors import Damaged, damaged
from benchmark.plan import Plan
from benchmark.results.file_check import changed_files, missing_files, source_faults
from benchmark.results.schema import PhaseRecord, Result
from benchmark.run_files import GALLERY, RESULT, RUN, SOURCE, STATE, read
from benchmark.run_folder import RunFolder
from benchmark.source_hash import sources_sha256
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic


def write_results(plan: Plan, folder: RunFolder) -> None:
    """Write predictions, exemplars, gallery, the method's source and, last, result.json."""
    with _of_whole_phases(folder):
        contents = file_contents(plan, folder.done)
        result = build_result(plan, folder, contents)
    for name, data in contents.items():
        write_atomic(folder.path / name, data)
    results.write(folder.path / RESULT, result)


@contextlib.contextmanager
def _of_whole_phases(folder: RunFolder) -> Iterator[None]:
    """Records of a version without seals may have been changed into what makes no result."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if folder.sealed:
            raise
        raise UserError(damaged(folder.path / STATE)) from error


def restore(plan: Plan, folder: RunFolder) -> list[str]:
    """Look at a finished run, and write again what was changed or removed; say what that was.

    Predictions, exemplars, gallery and result follow from the finished phases in `state/`.

    Raises:
        UserError: Something was changed that does not follow from what is there.
    """
    path, notes = folder.path, []
    try:
        done = folder.read_done()
    except UserError:
        done = []
    whole = len(done) == plan.num_learnt
    if not whole and (path / RUN).exists():
        words = "a finished phase was changed or removed, so nothing can be written again from it"
        notes.append(f"{path / STATE}: {words}")
    with _of_whole_phases(folder):
        contents = file_contents(plan, done) if whole else {}
    if (result := _read_result(path, done, whole)) is None:
        with _of_whole_phases(folder):
            results.write(path / RESULT, build_result(plan, folder, contents))
        result = results.read(path)
        notes.append(_restored(RESULT))
    wrong = changed_files(path, result)
    if (path / RUN).exists():
        gone = missing_files(path, result)
        sources = [path / at for at in contents if at.startswith(f"{SOURCE}/")]
        own = sources_sha256(plan.sources.values()) == result["method_sha256"]
        if own and SOURCE not in wrong and not all(source.is_file() for source in sources):
            wrong.append(SOURCE)
        for name in gone:
            if name != SOURCE:
                notes.append(f"{path / name} is missing: the model cannot be used without it")
            elif not own:
                notes.append(f"{path / name}, a copy of the method's code of then, is missing")
    if contents and not _is_gallery(path / GALLERY, contents[GALLERY]):
        wrong.append(GALLERY)
    for name in wrong:
        _write_again(path, name, contents, result)
        others = name == SOURCE and any(source_faults(path, result))
        notes.append(
            f"{path / SOURCE} holds other Python files than the method's: remove them"
            if others
            else _restored(name)
        )
    return notes


def _read_result(path: Path, done: list[PhaseRecord], whole: bool) -> Result | None:
    """The result; None if it is damaged or of another run, and all phases are there."""
    try:
        result = results.read(path)
    except Damaged:
        if not whole:
            raise
        return None
    of_phases = [phase["result"]["accuracy"]["per_phase"] for phase in done]
    said = [phase["accuracy"]["per_phase"] for phase in result["phases"]]
    return None if whole and of_phases != said else result


def _write_again(path: Path, name: str, contents: Mapping[str, bytes], result: Result) -> None:
    own = {at: data for at, data in contents.items() if Path(at).parts[0] == name}
    if name == SOURCE:
        sha256 = sources_sha256(own.values())
    else:
        sha256 = hashlib.sha256(own.get(name, b"")).hexdigest()
    said = {GALLERY: sha256, SOURCE: result["method_sha256"], **result["files"]}
    if not own or said.get(name) != sha256:
        remedy = "put it back as it was, or give --overwrite to run it again"
        raise UserError(damaged(path / name, "was changed or removed", remedy))
    for at, data in own.items():
        write_atomic(path / at, data)


def _is_gallery(path: Path, wanted: bytes) -> bool:
    """Whether the pictures are there; those of earlier versions have no seals."""
    try:
        found = read(path)
        return found == wanted or json.loads(found) == [
            _unsealed(one) for one in json.loads(wanted)
        ]
    except (UserError, ValueError, RecursionError):
        return False


def _unsealed(picture: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in picture.items() if key != "seal"}


def _restored(name: str) -> str:
    return f"{name} was changed or removed: it is written again"
