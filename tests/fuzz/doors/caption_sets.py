"""A caption set, unfinished or finished, and the command that made it given once more."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..door import Case, Damage, Door
from ..generic import GENERIC
from ..pictures import write_folder
from ..tables import in_parquet
from ..values import in_json
from .common import caption

_SET = "captions/*"


def _finished(folder: Path) -> None:
    write_folder(folder / "data", 3)
    assert caption("data") == 0


def _unfinished(folder: Path) -> None:
    """Without one of its units, and the file that is made of all."""
    _finished(folder)
    (path,) = folder.glob("captions/????????????????")
    (path / "parts" / "00000001.parquet").unlink()
    (path / "captions.parquet").unlink()


def _digits(folder: Path) -> dict[str, str]:
    """The finished captions."""
    (path,) = folder.glob("captions/????????????????")
    file = path / "captions.parquet"
    if not file.is_file() or file.stat().st_size > 2**24:
        return {"captions": "none"}
    return {"captions": hashlib.sha256(file.read_bytes()).hexdigest()}


def _again(case: Case) -> int:
    return caption("data")


_OWN: dict[str, Damage] = in_json() | in_parquet()
UNFINISHED = Door("caption-sets", _unfinished, _OWN, _again, _SET, GENERIC, digits=_digits)
FINISHED = Door("caption-sets-done", _finished, _OWN, _again, _SET, GENERIC, digits=_digits)
