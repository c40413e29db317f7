"""`python -m benchmark.leaderboard`: one module per subcommand, imported when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final

from benchmark import isolation
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError, did_you_mean

#: Name -> what it does; each is a module here with `main(arguments) -> int`.
COMMANDS: Final = {
    "verify": "report the level that each result reaches, and why it is not higher",
    "build": "write a page of all results in a folder; it needs no server",
    "submit": "verify finished runs and arrange them for a pull request",
    "publish": "put the page, its data or a trained model on the Hugging Face Hub",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0, 1 where it says so, or 2 for a mistake of the user."""
    isolation.computes_nothing()
    again = "repeat the same command"
    return command_line.run(_main, arguments, again=again, has_processes=True)


def _main(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print("usage: python -m benchmark.leaderboard COMMAND ... (COMMAND --help: its options)\n")
        for name, text in COMMANDS.items():
            print(f"  {name:<10}{text}")
        return 0
    name, *rest = given
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}: {did_you_mean(name, COMMANDS)}")
    module: Any = importlib.import_module(f"benchmark.leaderboard.{name}")
    return int(module.main(rest))


if __name__ == "__main__":
    sys.exit(main())
