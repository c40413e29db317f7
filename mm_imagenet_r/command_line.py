"""What the commands of this package share: one way to refuse, one to stop."""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from mm_imagenet_r.errors import UserError


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which schedulers stop what they run: as orderly an end as that of Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """Mistakes in a command line are reported like all others of a user."""

    _given: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As `argparse` has it."""
        self._given = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise what a parser would print as a UserError."""
        words = message.removeprefix("argument ")
        # A mistyped option is also a missing one, which argparse would report first.
        if "required" in message or "unrecognized" in message:
            options = [option for option in self._option_string_actions if option[:2] == "--"]
            named = [word.partition("=")[0] for word in self._given if word.startswith("--")]
            if unknown := next((name for name in named if name not in [*options, "--"]), ""):
                close = difflib.get_close_matches(unknown, options, n=2, cutoff=0.7)
                words = f"unknown option {unknown}"
                words += f": did you mean {' or '.join(close)}?" if close else ""
        raise UserError(f"{words} (--help shows all options)")


def path_of(text: str) -> Path:
    """An argument that is a path; an empty one, which would mean the current folder, is refused."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty: is a shell variable unset?")
    return Path(text)


def run(
    command: Callable[[Sequence[str] | None], int | None],
    arguments: Sequence[str] | None = None,
    *,
    again: str = "the same command resumes from here",
    has_processes: bool = False,
) -> int:
    """Run a command and return the exit code.

    It is what the command returns, 0 if that is None, 2 for a mistake of the user, or as shells
    have it 128 and the number of the signal by which the command was stopped: 130 for Ctrl-C, 143
    for SIGTERM, 141 where nobody reads what it prints any more.

    `arguments` are those of the process if None; `again` says what a user who stopped it can do.
    A command that `has_processes` starts others, which SIGTERM must not leave behind: where this is
    the whole process, that signal stops it as Ctrl-C does. Others just end.
    """
    if arguments is None and has_processes:
        signal.signal(signal.SIGTERM, _terminate)
    if arguments is None:
        _prepare_output()
    try:
        code = command(arguments)
        sys.stdout.flush()
    except OSError as error:
        code = _end_unprinted(error)
        if code != 2 and has_processes:
            print(f"stopped, as its output is not read any more; {again}", file=sys.stderr)
        return code
    except UserError as error:
        # What a user wrote may be no text; it is shown all the same.
        print("error:", str(error).encode(errors="backslashreplace").decode(), file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        if arguments is None:  # this is the whole process: impatience must not disturb its end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(f"\nstopped; {again}", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
    return code or 0


def _end_unprinted(error: OSError) -> int:
    """The exit code where nothing can be printed any more; OSError if it was something else."""
    try:
        print(flush=True)  # what could not be written has left the buffer
    except BrokenPipeError:  # nobody reads it, as before `| head`
        code = 128 + 13  # SIGPIPE, which not every system names
    except OSError:  # as where the disk is full
        print(f"error: the output cannot be written ({error.strerror})", file=sys.stderr)
        code = 2
    else:
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _prepare_output() -> None:
    """Take what stands for it where output is closed, and letters that a terminal does not know."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 (for the whole process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
