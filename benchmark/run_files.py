"""The files of a run's folder: which there are, how long they may be, and reading one back.

Everybody who reads a file of a run reads it here: as a regular file of a length that runs have,
held against its hash or its seal where there is one. A seal says that the content is what was
written, in this run and under this name; against intent only repeating a run helps.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmark.errors import damaged
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import explained, is_temporary
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.reading import open_regular, read_bytes

RESULT: Final = "result.json"
#: The same without spaces and compressed, a tenth of the size: for results that are passed on.
PACKED: Final = "result.json.gz"
PREDICTIONS: Final = "predictions.parquet"
EXEMPLARS: Final = "exemplars.parquet"
GALLERY: Final = "gallery.json"
TUNING: Final = "tuning.json"
REPORT: Final = "report.html"
LEFT_OUT: Final = "left_out.txt"
RUN: Final = "run.json"
LOCK: Final = ".lock"
STATE: Final = "state"
MEMORY: Final = "memory"
SOURCE: Final = "source"
_TRACKER: Final = "tracker"

_FILES: Final = (RESULT, PREDICTIONS, EXEMPLARS, GALLERY, TUNING, REPORT, LEFT_OUT, RUN)
#: What files in the folders of a run are called; others are somebody else's, and stay.
_NAMES: Final = {
    STATE: re.compile(r"phase-\d+\.(json|learnt\.json|begun|partial(\.pt)?|safetensors|pt)"),
    MEMORY: re.compile(r"class-\d+-[0-9a-f]{16}\.bin"),
    SOURCE: re.compile(r"[^.].*\.py"),
    _TRACKER: re.compile(r"events\.out\.tfevents\..+|hparams\.yml"),
}
#: Largest length of a file in bytes, some hundred times that of real ones.
_LIMITS: Final = {
    RESULT: 2**26, PACKED: 2**24, PREDICTIONS: 2**28, EXEMPLARS: 2**28, GALLERY: 2**27,
}  # fmt: skip
_FOLDER_LIMITS: Final = {STATE: 2**33, MEMORY: 2**30}  # of each file in these
_RECORD: Final = 2**28  # of a phase
_CHECKPOINT: Final = 2**40  # of a large network and its optimizer
_OTHERS: Final = 2**25
_SEALED: Final = re.compile(rb'\{"seal": "([0-9a-f]{64})", "record": (.*)\}\n', re.DOTALL)


def limit(path: Path) -> int:
    """The most bytes that a file of a run has.

    >>> limit(Path("run/result.json")) == 2**26, limit(Path("run/memory/class-0001-0.bin")) == 2**30
    (True, True)
    """
    if path.parent.name == STATE and path.suffix in (".json", ".begun"):
        return _RECORD
    if path.suffix == ".partial":
        return _CHECKPOINT
    return _FOLDER_LIMITS.get(path.parent.name) or _LIMITS.get(path.name, _OTHERS)


def read(path: Path, sha256: str | None = None, length: int | None = None) -> bytes:
    """A file of a run, held against its length and hash, or the first digits of it, if known.

    Raises:
        UserError: It is missing, something else than a regular file, too long, or was changed.
    """
    try:
        data = read_bytes(path, limit(path) if length is None else length)
    except FileNotFoundError as error:
        raise UserError(damaged(path, "is missing")) from error
    except OSError as error:
        raise UserError(damaged(path, f"cannot be read ({error.strerror or error})")) from error
    if sha256 is not None and not hashlib.sha256(data).hexdigest().startswith(sha256):
        raise UserError(damaged(path))
    return data


def is_whole(path: Path, sha256: str, length: int | None = None) -> bool:
    """Whether a file is there as it was written, as `read` holds it against what is known."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit(path) or length not in (None, size):
                return False  # it could be endless
            return hashlib.file_digest(file, "sha256").hexdigest().startswith(sha256)
    except OSError:
        return False


def exemplars_name(label: int, data: bytes) -> str:
    """What the file of a class's exemplars is called: with the first digits of its hash."""
    return f"class-{label:04d}-{hashlib.sha256(data).hexdigest()[:16]}.bin"


def hash_in_name(path: Path) -> str:
    """The first digits of its hash in the name of a file of exemplars.

    >>> hash_in_name(Path("memory/class-0001-0123456789abcdef.bin"))
    '0123456789abcdef'
    """
    return path.stem.rpartition("-")[2] if _NAMES[MEMORY].fullmatch(path.name) else "no such file"


def seal(record: Any, place: str) -> bytes:
    """A JSON record as it is written, with a hash of its text and its place.

    >>> unseal(seal({"a": 1}, "run/phase-00.json"), "run/phase-00.json")
    {'a': 1}
    >>> unseal(seal({"a": 1}, "run/phase-00.json").replace(b"1", b"2"), "run/phase-00.json")
    Traceback (most recent call last):
    ValueError: it was changed after it was written, or belongs elsewhere
    """
    text = json.dumps(record).encode()
    return b'{"seal": "%s", "record": %s}\n' % (_digest(text, place), text)


def unseal(data: bytes, place: str) -> Any:
    """The record of `seal`; ValueError if it is not as it was written."""
    found = _SEALED.fullmatch(data)
    if found is None or found[1] != _digest(found[2], place):
        raise ValueError("it was changed after it was written, or belongs elsewhere")
    return json.loads(found[2])


def seal_of(value: Mapping[str, Any]) -> str:
    """Hash of a JSON object but for its `seal`, whatever its layout.

    >>> seal_of({"a": 1, "seal": "..."}) == seal_of({"a": 1})
    True
    """
    return json_sha256({key: content for key, content in value.items() if key != "seal"})


def seal_bytes(content: bytes, place: str) -> bytes:
    """Content of any kind as it is written, behind a hash of it and its place."""
    return _digest(content, place) + b"\n" + content


def unseal_bytes(data: bytes, place: str) -> bytes:
    """The content of `seal_bytes`; ValueError if it is not as it was written."""
    said, content = data[:65], data[65:]
    if said != _digest(content, place) + b"\n":
        raise ValueError("it was changed after it was written, or belongs elsewhere")
    return content


def is_sealed(data: bytes) -> bool:
    """Whether a record is of a version that seals them."""
    return data.startswith(b'{"seal')


def _digest(content: bytes, place: str) -> bytes:
    return hashlib.sha256(place.encode() + b"\0" + content).hexdigest().encode()


def refuse_links(folder: Path) -> None:
    """Refuse a run's folder that leads elsewhere: what is written or removed there is not its own.

    The two folders above it are made by runs as well.

    Raises:
        UserError: One of them, or a folder in it, is a link or no folder.
    """
    for path in (*folder.parents[:2], folder, *(folder / name for name in _NAMES)):
        with explained(path):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
        if not stat.S_ISDIR(mode):
            what = "a link, perhaps to what is not of this run" if stat.S_ISLNK(mode) else "a file"
            raise UserError(f"{path} is {what}: remove it, or choose another --output")


def own_files(folder: Path) -> list[Path]:
    """What runs have written into a folder: the result first, what it was started with last.

    Other files are somebody else's. A link with such a name stands for itself, not its target.
    """
    here = _entries(folder)
    below = [path for name in (STATE, MEMORY) for path in _entries(folder / name)]
    deeper = [path for name in (SOURCE, _TRACKER) for path in _walk(folder / name)]
    own = [path for path in (*below, *deeper) if _NAMES[_top(path, folder)].fullmatch(path.name)]
    leftover = [path for path in (*below, *deeper, *here) if is_temporary(path.name)]
    first, *others = (folder / name for name in _FILES)
    there = set(here)
    return [
        *(path for path in (first,) if path in there), *own, *leftover,
        *(path for path in others if path in there),
    ]  # fmt: skip


def refuse_others(folder: Path) -> None:
    """Refuse what stands in the place of a file of a run: a folder or a pipe is nobody's to remove.

    Raises:
        UserError: There is such a thing.
    """
    places = [folder / name for name in _FILES]
    for name in (STATE, MEMORY):
        inside = folder / name
        places += [p for p in inside.glob("*") if _NAMES[name].fullmatch(p.name)]
    for path in places:
        if path.exists() and not path.is_symlink() and not path.is_file():
            raise UserError(f"{path} is not a regular file, as runs write: remove it")


def remove(paths: Iterable[Path]) -> None:
    """Remove files; UserError if one cannot be removed."""
    for path in paths:
        with explained(path):
            path.unlink(missing_ok=True)


def put_aside(folder: Path) -> Path:
    """Rename a folder, so that its files stay, and return its new place; UserError if that fails.

    A link stays one, and what it leads to where it is.
    """
    names = (folder.with_name(f"{folder.name}.old{number}") for number in itertools.count(1))
    aside = next(path for path in names if not path.exists() and not path.is_symlink())
    with explained(folder):
        return folder.rename(aside)


def _entries(folder: Path) -> list[Path]:
    """Files and links in a folder that is none itself, without asking for each."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        names = [one.name for one in found if one.is_symlink() or one.is_file()]
    return [folder / name for name in sorted(names)]


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder; no link is followed."""
    for place, _, _ in () if folder.is_symlink() else os.walk(folder):
        yield from _entries(Path(place))


def _top(path: Path, folder: Path) -> str:
    return path.relative_to(folder).parts[0]
