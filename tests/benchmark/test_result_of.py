"""A result that lies in the folder of another run is not taken for that run's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import results
from benchmark.config import RunConfig
from benchmark.plan import read_reference
from benchmark.result_of import asked_for
from benchmark.results.schema import Result
from benchmark.results.small_form import copy_small
from benchmark.sweep.ledger import Ledger
from mm_imagenet_r.errors import UserError

Make = Callable[..., Result]
SIZES = (2, 2)


@pytest.fixture
def replayed(tmp_path: Path, synthetic_run: Make) -> RunConfig:
    """A cell with its result."""
    said = synthetic_run(tmp_path / "any", method="replay", sizes=SIZES)
    cell = dataclasses.replace(asked_for(said), output=tmp_path / "runs")
    cell.folder().parent.mkdir(parents=True)
    (tmp_path / "any").rename(cell.folder())
    return cell


@pytest.mark.parametrize("change", [{"seed": 1}, {"memory": 1}, {"method": "joint"}])
def test_a_result_of_another_cell_is_none_of_a_sweep(
    tmp_path: Path, replayed: RunConfig, synthetic_run: Make, change: dict[str, object]
) -> None:
    ledger = Ledger(tmp_path / "kept")
    assert ledger.result(replayed) is not None
    ledger.keep(replayed)
    synthetic_run(replayed.folder(), **{"method": "replay", "sizes": SIZES} | change)
    with pytest.raises(UserError, match=r"result\.json is the result of another run: put back"):
        ledger.result(replayed)
    (small,) = results.find_runs([tmp_path / "kept"])
    copy_small(replayed.folder(), small)
    elsewhere = dataclasses.replace(replayed, output=tmp_path / "empty")
    for use in (ledger.result, ledger.fetch):
        with pytest.raises(UserError, match=r"result\.json\.gz is the result of another run"):
            use(elsewhere)
    assert not elsewhere.output.exists()


def test_the_run_that_is_matched_is_the_one_that_was_asked_for(
    replayed: RunConfig, synthetic_run: Make
) -> None:
    cell = dataclasses.replace(replayed, method=("exemplar_masking",), match_exemplars_of="replay")
    data = read_reference(cell)["dataset"]["data_sha256"]
    assert read_reference(cell, data)["seed"] == 0
    with pytest.raises(UserError, match=r"result\.json was computed on other data: restore"):
        read_reference(cell, "0" * 64)
    synthetic_run(replayed.folder(), method="replay", sizes=SIZES, memory=1)
    with pytest.raises(UserError, match="is the result of another run"):
        read_reference(cell)
