"""The small form of a finished run: what is passed on of it, enough to check its figures.

It has no state, memory or report; `source/` only if the method is not registered.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmark.registry import REGISTRY
from benchmark.results.io import pack, read, unpack
from benchmark.run_files import EXEMPLARS, PACKED, PREDICTIONS, RESULT, SOURCE, TUNING
from mm_imagenet_r.files import write_atomic

_BESIDE: Final = (PREDICTIONS, EXEMPLARS, TUNING)


def files_beside(folder: Path) -> Iterator[str]:
    """Names of the files that are passed on beside a result, in a run's folder or a small form.

    Raises:
        UserError: The result cannot be read.
    """
    yield from (name for name in _BESIDE if (folder / name).is_file())
    method, _, _ = read(folder)["config"]["method"][0].partition("@")
    if method not in REGISTRY:
        sources = sorted((folder / SOURCE).rglob("*.py"))
        yield from (path.relative_to(folder).as_posix() for path in sources if path.is_file())


def copy_small(run: Path, to: Path) -> None:
    """Write the small form of a finished run, or of a small form; equal runs give equal bytes.

    Raises:
        UserError: A file cannot be read or written.
    """
    packed = (run / PACKED).read_bytes() if (run / PACKED).exists() else pack(run / RESULT)
    for name in files_beside(run):
        write_atomic(to / name, (run / name).read_bytes())
    write_atomic(to / PACKED, packed)  # last: with it the copy is whole


def restore(small: Path, run: Path) -> None:
    """Put a small form where runs look for the result of another.

    Raises:
        UserError: A file cannot be read or written.
    """
    for name in files_beside(small):
        write_atomic(run / name, (small / name).read_bytes())
    unpack(small / PACKED, run / RESULT)
