"""Which cells of a grid are done, and what is kept of them and of failures.

OUTPUT/.../result.json           a finished run, among its other files
OUTPUT/sweep/NAME.json, .log     a cell that failed: its command, exit code, last words
RESULTS/.../result.json.gz       the small form of a finished run, to be passed on
RESULTS/.../gallery.json         what exemplars look like, of one run of each method

A cell is done where either folder has its whole result.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import re
from pathlib import Path

from benchmark import results, run_files
from benchmark.config import RunConfig
from benchmark.paths import shortened
from benchmark.result_of import read_result_of
from benchmark.results.schema import Result
from benchmark.results.small_form import copy_small, restore
from benchmark.run_folder import RunFolder
from mm_imagenet_r.errors import UserError, one_line
from mm_imagenet_r.files import explained, write_atomic
from mm_imagenet_r.reading import open_regular

_LAST = 12  # lines of the output of a failed cell
_END = 2**16  # bytes of it that these are looked for in: it may have any length
_LONGEST = 255 - len("..json.01234567.tmp")  # bytes of a log's name that all its files have
#: How the last line of a traceback begins, and a user's mistake.
_ERROR = re.compile(r"(error|[\w.]*(Error|Exception|Interrupt))(: |$)")


@dataclasses.dataclass(frozen=True)
class Failure:
    """A cell that could not be run to its end.

    `code` is its exit code, negative for a signal; `words` are the last lines of its output.
    """

    cell: RunConfig
    code: int
    words: str

    @property
    def reason(self) -> str:
        """The error in one line, and the phase if it came in one."""
        lines = self.words.splitlines()
        errors = [line for line in lines if _ERROR.match(line)]
        found = one_line((errors or lines or [f"exit code {self.code}"])[-1].strip())
        phases = finished_phases(self.cell)
        if self.code != 1 or phases is None or phases >= (self.cell.stop_after or self.cell.phases):
            return found
        return f"{found} (phase {phases + 1})"

    @property
    def command(self) -> str:
        """What runs the cell alone."""
        return dataclasses.replace(self.cell, overwrite=False).command(place=True)


class Ledger:
    """What is there of a grid's cells; a file that cannot be read or written is a UserError."""

    def __init__(self, folder: Path | None = None) -> None:
        """Look at runs, and at the small form of finished results in `folder`."""
        self._folder = folder

    def result(self, cell: RunConfig) -> Result | None:
        """The result of a finished cell, else None; UserError if it is damaged or another's."""
        for place in filter(None, (cell.folder(), self._small(cell))):
            if results.is_there(place) and (found := read_result_of(cell, place))["complete"]:
                return found
        return None

    def keep(self, cell: RunConfig) -> None:
        """Copy the small form of a finished run, if it was run here and there is a place for it."""
        from benchmark.report.gallery import KEPT, read_gallery
        from benchmark.run_files import GALLERY

        run, small = cell.folder(), self._small(cell)
        if self._folder is None or small is None or not results.is_there(run):
            return
        if not results.is_there(small):
            run_files.refuse_links(small)
            copy_small(run, small)
        # Pictures are larger than all else: a few are kept, of one run of each method.
        method = glob.escape(small.parent.name)
        if not any(self._folder.glob(f"*/{method}/*/{GALLERY}")) and (items := read_gallery(run)):
            write_atomic(small / GALLERY, json.dumps(items[:KEPT]).encode())

    def fetch(self, cell: RunConfig) -> None:
        """Put a result of the small form where runs look for that of another (or UserError)."""
        run, small = cell.folder(), self._small(cell)
        if small is None or results.is_there(run) or not (small / run_files.PACKED).exists():
            return
        read_result_of(cell, small)
        with RunFolder(run).locked():
            restore(small, run)

    def _small(self, cell: RunConfig) -> Path | None:
        return self._folder and dataclasses.replace(cell, output=self._folder).folder()


def log_file(cell: RunConfig) -> Path:
    """Where the output of a cell is written; removed once it is done."""
    name = shortened("_".join(cell.folder().relative_to(cell.output).parts), _LONGEST)
    return cell.output / "sweep" / f"{name}.log"


def failure_file(cell: RunConfig) -> Path:
    """The record of the last attempt at a cell, if that failed."""
    return log_file(cell).with_suffix(".json")


def make_room(cell: RunConfig) -> None:
    """Make the folder of a cell's log, before it is started.

    Raises:
        UserError: The folder cannot be made or is none, or what has a name in it that a sweep
            writes to is no file, but perhaps a link to one.
    """
    log = log_file(cell)
    with explained(log):
        log.parent.mkdir(parents=True, exist_ok=True)
    if log.parent.is_symlink():
        raise UserError(f"{log.parent} is not a folder, as sweeps make it: remove it")
    for path in (log, failure_file(cell)):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise UserError(f"{path} is not a regular file, as sweeps write: remove it")


def finished_phases(cell: RunConfig) -> int | None:
    """How many phases of a cell are finished, None if it was not started."""
    folder = RunFolder(cell.folder(), writes=False)
    return len(folder.read_done()) if (folder.path / "run.json").exists() else None


def succeeded(cell: RunConfig) -> None:
    """Remove the record of an earlier failure, and the log."""
    for path in (log_file(cell), failure_file(cell)):
        path.unlink(missing_ok=True)


def failed(cell: RunConfig, code: int) -> Failure:
    """Write down that a cell failed, with the last lines of its output; UserError if it cannot."""
    text = _end(log_file(cell)).decode(errors="replace")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()][-_LAST:]
    failure = Failure(cell, code, "\n".join(lines))
    record = {"command": failure.command, "exit_code": code, "last_lines": lines}
    write_atomic(failure_file(cell), (json.dumps(record, indent=1) + "\n").encode())
    return failure


def _end(path: Path) -> bytes:
    try:
        with open_regular(path, follow=False) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _END))
            return file.read(_END)
    except OSError:  # a failure is told without it as well
        return b""
