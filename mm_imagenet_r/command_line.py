"""What the commands of this package share: one way to refuse, one to stop."""

from __future__ import annotations

import argparse
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


def run(command: Callable[[Sequence[str] | None], None], arguments: Sequence[str] | None) -> int:
    """Run a command and return the exit code: 0, 2 for a mistake of the user, 130 if stopped."""
    try:
        command(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0
