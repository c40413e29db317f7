"""Results of runs, given to all that read them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ..door import Case, Door
from ..generic import GENERIC
from ..tables import in_parquet
from ..values import in_json
from .runs import RUN, finished

_FIXTURES = Path(__file__).parents[2] / "fixtures"
#: 1: something is wrong with a result.
_REFUSES = frozenset({1, 2})


def _table(case: Case) -> int:
    from benchmark.table.command import main

    form = case.rng.choice(("markdown", "latex", "json", "csv"))
    return main(["runs", "--format", form])


def _report(case: Case) -> int:
    from benchmark.report import main

    return main(["runs", "--output", "page.html"])


def _verify(case: Case) -> int:
    from benchmark.results.__main__ import main

    return main(["runs", "--verify"])


def _judge(case: Case) -> int:
    from benchmark.leaderboard.__main__ import main

    return main(["verify", "runs"])


def _build_board(case: Case) -> int:
    from benchmark.leaderboard.__main__ import main

    return main(["build", "runs", "--out", "site"])


def _submit(case: Case) -> int:
    from benchmark.leaderboard.__main__ import main

    return main(["submit", "runs", "--out", "submission"])


_COMMANDS: tuple[Callable[[Case], int], ...] = (
    _table, _report, _verify, _judge, _build_board, _submit,
)  # fmt: skip


def _try(case: Case) -> int:
    return case.rng.choice(_COMMANDS)(case)


def _older(folder: Path) -> None:
    """One run of each of the older schemas."""
    for schema in ("schema1", "schema2"):
        first = min(_FIXTURES.glob(f"{schema}/*/*/seed*"))
        shutil.copytree(first, folder / "runs" / first.relative_to(_FIXTURES))


RESULTS = Door("results", finished, in_json(), _try, RUN, GENERIC, refuses=_REFUSES)
ROWS = Door("results-rows", finished, in_parquet(), _try, f"{RUN}/*.parquet", GENERIC,
            refuses=_REFUSES)  # fmt: skip
OLDER = Door("results-older", _older, in_json() | in_parquet(), _try, "runs", GENERIC,
             refuses=_REFUSES)  # fmt: skip
