"""`python -m benchmark.results`: whether results hold; their tables are `benchmark.table`'s."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.results.io import find_runs
from benchmark.run_files import RESULT, RUN
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import pluralize


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the runs below some folders; without --verify it is `python -m benchmark.table`."""
    return command_line.run(_main, arguments, again="give the same command again")


def _main(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--verify" not in given and not {"-h", "--help"} & set(given):
        from benchmark.table import main as table

        return table(arguments)
    parser = command_line.Parser(
        prog="python -m benchmark.results",
        description="Recompute everything that follows from configuration, predictions and "
        "exemplars of finished runs; exit 1 on a difference. Whether a result is accepted "
        "on a leaderboard: python -m benchmark.leaderboard verify. Without --verify the same as "
        "python -m benchmark.table.",
        epilog="example: python -m benchmark.results runs/ --verify",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or result.json files")
    parser.add_argument("--verify", action="store_true", help="check instead of making tables")
    paths = parser.parse_args(given).runs
    folders = find_runs(paths)
    from benchmark.results.verify import UNCHECKED, verify_all

    failed = 0
    for verdict in verify_all(folders):
        failed += bool(verdict.found)
        many = "discrepancy" if len(verdict.found) == 1 else "discrepancies"
        words = f"{len(verdict.found)} {many}" if verdict.found else "verified"
        print(f"{verdict.folder}: {', '.join([words, *verdict.notes])}")
        for line in verdict.found:
            print(f"  {line}")
    begun = {run.parent for path in paths if path.is_dir() for run in path.rglob(RUN)}
    if waiting := len(begun - set(folders)):
        are = "are" if waiting > 1 else "is"
        print(f"{pluralize(waiting, 'run')} without a {RESULT} {are} not checked: finish it first")
    print(UNCHECKED)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
