"""What a case did, in one word."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

#: What a command gave, by part.
Digits = Mapping[str, str]
ROOT: Final = Path(__file__).resolve().parents[2]
GOOD: Final = ("worked", "refused")
BAD: Final = {
    "traceback": "an exception reached the user",
    "hang": "it did not end in time",
    "memory": "it took more memory than any input is worth",
    "killed": "it ended by a signal",
    "foreign": "it changed what belongs to somebody else",
    "silent": "it worked, and gave other digits",
    "mute": "it failed without one sentence that says why",
    "unprepared": "the harness could not damage its input, and has a fault itself",
}
UNPREPARED: Final = 99  # exit code
OUTCOMES: Final = (*GOOD, *BAD)
_OWN: Final = ("mm_imagenet_r/", "benchmark/", "baselines/")
_FRAME: Final = re.compile(r'  File "([^"]+)", line (\d+), in (\S+)')


@dataclass(frozen=True)
class Ended:
    """What is left of the process of a case."""

    code: int  # exit code, or minus the signal
    late: bool  # it was stopped, as its time was over
    printed: str
    said: str  # on standard error
    foreign: list[str] = field(default_factory=list)  # what it changed outside its folder
    digits: Digits | None = None  # what it gave


@dataclass(frozen=True)
class Verdict:
    """An outcome, and for a failure what it looks like: the same of cases with one cause."""

    outcome: str
    cause: str = ""


def judge(ended: Ended, refuses: frozenset[int], healthy: Digits | None) -> Verdict:
    """Name what happened; `healthy` are the digits of the input before it was damaged."""
    if ended.code == UNPREPARED:
        return Verdict("unprepared", _raised(ended.said))
    if ended.foreign:
        return Verdict("foreign", ended.foreign[0])
    if ended.late or ended.code == -signal.SIGXCPU:
        return Verdict("hang", _where_it_was(ended.said))
    if "MemoryError" in ended.said or "Cannot allocate memory" in ended.said:
        return Verdict("memory", _raised(ended.said))
    if ended.code < 0:
        return Verdict("killed", signal.Signals(-ended.code).name)
    if "Traceback (most recent call last)" in ended.said + ended.printed:
        return Verdict("traceback", _raised(ended.said))
    if ended.code == 0:
        wanted, given = healthy or {}, ended.digits or {}
        if other := [part for part, value in given.items() if wanted.get(part) != value]:
            return Verdict("silent", f"other {', '.join(other)}")
        return Verdict("worked")
    errors = [line for line in ended.said.splitlines() if line.startswith("error: ")]
    explained = len(errors) == 1 if ended.code == 2 else bool(ended.printed.strip())
    if ended.code in refuses and explained:
        return Verdict("refused")
    return Verdict("mute", f"exit code {ended.code}: {_last(ended.said)}")


def _raised(said: str) -> str:
    """The exception, and the deepest place of this project that it passed."""
    frames = [
        (os.path.relpath(file, ROOT), line, name) for file, line, name in _FRAME.findall(said)
    ]
    own = [f"{file}:{line} {name}" for file, line, name in frames if file.startswith(_OWN)]
    kinds = re.findall(
        r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Warning|Invalid)[\w.]*)", said, re.M
    )
    return f"{kinds[-1] if kinds else _last(said)} at {own[-1] if own else frames[-1:]}"


def _where_it_was(said: str) -> str:
    """The deepest place of this project in what faulthandler wrote."""
    found = re.findall(r'  File "([^"]+)", line (\d+) in (\S+)', said)
    own = [
        f"{os.path.relpath(file, ROOT)}:{line} {name}"
        for file, line, name in found
        if os.path.relpath(file, ROOT).startswith(_OWN)
    ]
    return own[0] if own else str(found[:1])


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return re.sub(r"\d+", "N", lines[-1])[:200] if lines else "nothing"
