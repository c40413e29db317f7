"""`mm-imagenet-r COMMAND ...`, which is `python -m mm_imagenet_r COMMAND ...`: all commands.

Nothing but the one that is asked for is imported.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

from mm_imagenet_r import __version__, command_line
from mm_imagenet_r.errors import UserError, did_you_mean
from mm_imagenet_r.plugins import refuse_hidden

#: Module with `main`, and what it does.
COMMANDS: Final = {
    "run": ("benchmark.run", "run class-incremental methods under one memory budget"),
    "sweep": ("benchmark.sweep.command", "run every cell of a grid that is not done yet"),
    "tune": ("benchmark.tune", "choose a method's settings on validation data"),
    "table": ("benchmark.table.command", "tables and memory curves of results"),
    "report": ("benchmark.report", "HTML pages of runs, or the comparison of several"),
    "results": ("benchmark.results.__main__", "check results, recompute them from predictions"),
    "save": ("benchmark.save", "save a run's model in the format of transformers"),
    "leaderboard": ("benchmark.leaderboard.__main__", "build, submit to and verify a leaderboard"),
    "download": ("mm_imagenet_r.download", "fetch ImageNet-R"),
    "captions": ("mm_imagenet_r.captions.__main__", "write captions by a model, and audit them"),
    "export": ("mm_imagenet_r.export.__main__", "write data sets as Parquet with a card"),
    "push": ("mm_imagenet_r.push", "upload an export to the Hugging Face Hub"),
    "food101": ("mm_imagenet_r.food101.__main__", "check an unpacked UPMC Food-101"),
}


def main() -> int:
    """Run the command that the process was started with, and return its exit code."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print("usage: mm-imagenet-r COMMAND [OPTION ...]\n\ncommands:")
        for name, (_, does) in COMMANDS.items():
            print(f"  {name:<12} {does}")
        print("\nmm-imagenet-r COMMAND --help shows the options of one, --version the version")
        return 0
    if words[0] == "--version":
        print(f"mm-imagenet-r {__version__}")
        return 0
    return command_line.run(lambda _: _run(words[0]), words)


def _run(name: str) -> int:
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}: {did_you_mean(name, COMMANDS)}")
    module = COMMANDS[name][0]
    refuse_hidden(module)
    del sys.argv[1]
    code: int = importlib.import_module(module).main()
    return code


if __name__ == "__main__":
    sys.exit(main())
