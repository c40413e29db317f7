"""What the commands of this package share: one way to refuse, one to stop."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from mm_imagenet_r.errors import UserError


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
) -> int:
    """Run a command and return the exit code: 0, 2 for a mistake of the user, 130 if stopped.

    Args:
        command: Takes the arguments.
        arguments: Those of the process if None.
        again: What goes on from where it was stopped.
    """
    try:
        command(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if arguments is None:  # this is the whole process: impatience must not disturb its end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(f"\nstopped; {again} goes on from here", file=sys.stderr)
        return 130
    return 0
