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
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark import results
from benchmark.config import RunConfig
from benchmark.results.schema import Result
from benchmark.results.small_form import copy_small, restore
from benchmark.run_folder import RunFolder
from mm_imagenet_r.errors import one_line
from mm_imagenet_r.files import write_atomic

_LAST = 12  # lines of what a failed cell said
#: How the last line of a traceback begins, and a user's mistake.
_ERROR = re.compile(r"(error|[\w.]*(Error|Exception|Interrupt))(: |$)")


@dataclasses.dataclass(frozen=True)
class Failure:
    """A cell that could not be run to its end.

    Attributes:
        cell: Which.
        code: Its exit code, negative for the signal that ended it.
        words: The last lines it wrote.
    """

    cell: RunConfig
    code: int
    words: str

    @property
    def reason(self) -> str:
        """The error in one line, and the phase if it came while one was learnt."""
        lines = self.words.splitlines()
        errors = [line for line in lines if _ERROR.match(line)]
        found = one_line((errors or lines or [f"exit code {self.code}"])[-1].strip())
        phases = begun(self.cell)
        learnt = self.cell.stop_after or self.cell.phases
        in_phase = self.code == 1 and phases is not None and phases < learnt
        return f"{found} (phase {phases + 1})" if in_phase and phases is not None else found

    @property
    def command(self) -> str:
        """What runs the cell alone."""
        return dataclasses.replace(self.cell, overwrite=False).command(place=True)


class Ledger:
    """What is there of a grid's cells.

    Attributes:
        folder: Where finished results are kept in their small form, None for nowhere.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Look at runs, and at results in `folder`."""
        self.folder = folder

    def result(self, cell: RunConfig) -> Result | None:
        """The result of a cell, None if it is not finished.

        Raises:
            UserError: It is damaged.
        """
        for place in filter(None, (cell.folder(), self._small(cell))):
            if results.is_there(place) and (found := results.read(place))["complete"]:
                return found
        return None

    def keep(self, cell: RunConfig) -> None:
        """Copy the small form of a finished run, if it was run here and there is a place for it.

        Raises:
            UserError: A file cannot be read or written.
        """
        run, small = cell.folder(), self._small(cell)
        if small is None or not results.is_there(run):
            return
        if not results.is_there(small):
            copy_small(run, small)
        self._keep_gallery(run, small)

    def _keep_gallery(self, run: Path, small: Path) -> None:
        """Pictures weigh more than all else: a few are kept, of one run of each method."""
        from benchmark.report.gallery import GALLERY, KEPT, read_gallery

        method = glob.escape(small.parent.name)
        there = self.folder is not None and any(self.folder.glob(f"*/{method}/*/{GALLERY}"))
        if not there and (items := read_gallery(run)):
            write_atomic(small / GALLERY, json.dumps(items[:KEPT]).encode())

    def fetch(self, cell: RunConfig) -> None:
        """Put a result of the small form where runs look for that of another.

        Raises:
            UserError: A file cannot be read or written.
        """
        run, small = cell.folder(), self._small(cell)
        if small is None or results.is_there(run) or not (small / results.PACKED).exists():
            return
        restore(small, run)

    def _small(self, cell: RunConfig) -> Path | None:
        return self.folder and dataclasses.replace(cell, output=self.folder).folder()


def log_file(cell: RunConfig) -> Path:
    """Where a cell writes what it would print; removed once it is done."""
    name = "_".join(cell.folder().relative_to(cell.output).parts)
    return cell.output / "sweep" / f"{name}.log"


def begun(cell: RunConfig) -> int | None:
    """How many phases of a cell are finished, None if it was not begun."""
    folder = RunFolder(cell.folder(), writes=False)
    return len(folder.read_done()) if (folder.path / "run.json").exists() else None


def succeeded(cell: RunConfig) -> None:
    """Forget that a cell failed, and what it printed."""
    for path in (log_file(cell), log_file(cell).with_suffix(".json")):
        path.unlink(missing_ok=True)


def failed(cell: RunConfig, code: int) -> Failure:
    """Write down that a cell failed, with its last words.

    Raises:
        UserError: That cannot be written.
    """
    path = log_file(cell)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    failure = Failure(cell, code, "\n".join(lines[-_LAST:]))
    record: dict[str, Any] = {
        "command": failure.command,
        "exit_code": code,
        "last_lines": failure.words.splitlines(),
    }
    write_atomic(path.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())
    return failure


def failed_before(grid: Sequence[RunConfig]) -> Iterator[RunConfig]:
    """The cells whose last attempt failed."""
    return (cell for cell in grid if log_file(cell).with_suffix(".json").exists())
