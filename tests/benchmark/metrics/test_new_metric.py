"""A metric is added in one place: a function under `@metric`."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from benchmark import metrics, report, results
from benchmark.results.verify import verify
from benchmark.table import frame
from benchmark.table import main as table_main

OLD = Path(__file__).parents[2] / "fixtures" / "schema1" / "mini-2phases-0.5-bytes"
RUN = OLD / "exemplar_masking" / "seed0-4dfcc283"


def test_one_function_is_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stands in the result, CSV, data frame and page, of a run older than the metric."""
    monkeypatch.setitem(metrics.METRICS, "worst_phase", None)  # so that it is gone afterwards

    @metrics.metric("lowest final accuracy of a phase", column="Lowest")
    def worst_phase(matrix: metrics.Matrix) -> float:
        return min(matrix[-1])

    result = results.read(RUN)
    value = result["metrics"]["worst_phase"]
    assert value == min(result["accuracy_matrix"][-1])
    assert verify(RUN) == []
    assert table_main([str(RUN), "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(row["worst_phase"]) == pytest.approx(value, abs=1e-3)
    assert table_main([str(RUN), "--wide"]) == 0
    assert "Lowest" in capsys.readouterr().out
    assert (frame([RUN], per="run")["worst_phase"] == value).all()
    page = report.write_report(RUN, tmp_path / "page.html").read_text()
    assert "worst_phase" in page
    assert "lowest final accuracy of a phase" in page
