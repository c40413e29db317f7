"""What the commands of this package share: one way to refuse, one to stop."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from mm_imagenet_r.errors import UserError


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which schedulers stop what they run: as orderly an end as that of Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """Faults of a command line are a user's mistakes like all others, with one way to tell them."""

    def error(self, message: str) -> NoReturn:
        """Raise what a parser would print.

        Raises:
            UserError: Always.
        """
        raise UserError(f"{message.removeprefix('argument ')} (--help shows all options)")


def run(
    command: Callable[[Sequence[str] | None], None],
    arguments: Sequence[str] | None,
    *,
    again: str = "the same command",
    has_processes: bool = False,
) -> int:
    """Run a command and return the exit code.

    It is 0, or 2 for a mistake of the user, or as shells have it 128 and the number of the signal
    by which the command was stopped: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        command: Takes the arguments.
        arguments: Those of the process if None.
        again: What goes on from where it was stopped.
        has_processes: It starts others, which SIGTERM must not leave behind: where this is the
            whole process, that signal stops it as Ctrl-C does. Others just end.
    """
    if arguments is None and has_processes:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        command(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        if arguments is None:  # this is the whole process: impatience must not disturb its end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(f"\nstopped; {again} resumes from here", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
    return 0


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
