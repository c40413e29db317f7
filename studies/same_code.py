"""Show that code which was changed gives the same digits: `python -m studies.same_code`.

One committed result of each method is run again and compared in every prediction, exemplar, loss
and tensor of state. Where all are the same, the hash of the method's code, and after all methods
that of the harness, is added to `benchmark/same_code.json`. A method is not run again if both its
hash and that of the harness are listed there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmark import results
from benchmark.devices import find_place
from benchmark.leaderboard.rerun import other_digits, repeat
from benchmark.load_method import load_method
from benchmark.plan import find_cell_of
from benchmark.registry import REGISTRY
from benchmark.same_code import FILE, HARNESS, known
from benchmark.source_hash import harness_sha256, method_sha256
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic

RESULTS = Path("results/mini-10phases-5-bytes")
TABLE = Path("benchmark") / FILE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not shown yet; return the exit code."""
    return command_line.run(_main, arguments, again="repeat the same command", has_processes=True)


def _main(arguments: Sequence[str] | None) -> None:
    command = argparse.ArgumentParser(prog="python -m studies.same_code", description=__doc__)
    command.add_argument("--method", nargs="+", default=list(REGISTRY), choices=list(REGISTRY))
    given = command.parse_args(arguments)
    shown = []
    for name in given.method:
        now = method_sha256(load_method(name)[0])
        if now in known().get(name, ()) and harness_sha256() in known().get(HARNESS, ()):
            continue
        folder = min(results.find_runs([RESULTS / name]), key=lambda path: path.name)
        then = results.read(folder)
        _run_again(folder)
        print(f"{name}: every prediction, exemplar, loss and state is the same", flush=True)
        _add(name, then["method_sha256"], now)
        shown.append(then["harness_sha256"])
    if shown and given.method == list(REGISTRY):
        for then_harness in sorted(set(shown)):
            _add(HARNESS, then_harness, harness_sha256())


def _run_again(folder: Path) -> None:
    """Run a result again.

    Raises:
        UserError: A digit is different.
    """
    result = results.read(folder)
    with tempfile.TemporaryDirectory() as name:
        config = find_cell_of(result).config
        config = dataclasses.replace(config, output=Path(name))
        again = repeat(config, find_place(config))
        different = list(other_digits(folder, result, again, results.read(again)))
    if different:
        raise UserError(f"{folder}, run again: {', '.join(different[:5])} differ")


def _add(name: str, then: str, now: str) -> None:
    groups = known()
    group = groups.setdefault(name, [then])
    group += [sha256 for sha256 in (then, now) if sha256 not in group]
    write_atomic(TABLE, (json.dumps(groups, indent=1) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
