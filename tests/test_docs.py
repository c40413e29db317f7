"""Examples in the documents run as they are printed."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark import results, training
from benchmark.config import RunConfig
from benchmark.results.tables import table
from benchmark.results.verify import verify
from benchmark.run import run
from benchmark.run_files import EXEMPLARS, PREDICTIONS

ROOT = Path(__file__).resolve().parent.parent


def code_of(document: str, first_line: str) -> str:
    """The Python block of a document that begins with this line."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), flags=re.DOTALL)
    (found,) = (block for block in blocks if block.startswith(f"# {first_line}\n"))
    return str(found)


@pytest.fixture
def configure(coloured: Path, vilt_folder: Path, tmp_path: Path) -> RunConfig:
    return RunConfig(
        dataset=str(coloured), backbone=str(vilt_folder), output=tmp_path / "runs", device="cpu",
        phases=3, epochs=3, batch_size=8, memory="2",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("document", "name", "kind"),
    [
        ("README.md", "least_sure.py", "LeastSure"),
        ("docs/own_method.md", "balanced_means.py", "BalancedMeans"),
    ],
)
def test_a_method_in_a_file_runs_as_it_is_printed(
    configure: RunConfig, tmp_path: Path, document: str, name: str, kind: str
) -> None:
    path = tmp_path / name
    path.write_text(code_of(document, name))
    assert len(path.read_text().splitlines()) <= 60
    (folder,) = run(dataclasses.replace(configure, method=(f"{path}:{kind}",)))
    assert verify(folder) == []
    result = results.read(folder)
    assert result["phases"][-1]["memory"]["exemplars"] > 0
    if kind == "BalancedMeans":
        stages = [phase["stages"] for phase in result["phases"]]
        assert all([one["name"] for one in of_phase] == ["all", "balanced"] for of_phase in stages)
        assert all([one["steps"] for one in of_phase] == [5, 1] for of_phase in stages)
        assert result["classifier"] == "means"
        labels = [row.label for row in table([result])]
        assert set(labels) == {"Balanced means", "Balanced means · linear"}


def test_a_run_that_is_stopped_in_its_second_stage_resumes_there(
    configure: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "balanced_means.py"
    path.write_text(code_of("docs/own_method.md", "balanced_means.py"))
    config = dataclasses.replace(
        configure, method=(f"{path}:BalancedMeans",), checkpoint_seconds=0, batch_size=2, epochs=2
    )
    (undisturbed,) = run(config)
    again = dataclasses.replace(config, output=tmp_path / "again")
    with monkeypatch.context() as patch:
        forward = training._backward

        def stopped(method: Any, *rest: Any) -> Any:
            if method.progress.stage == 1 and method.progress.step == 1:
                raise KeyboardInterrupt
            return forward(method, *rest)

        patch.setattr(training, "_backward", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(again)
    partial = (again.folder() / "state" / "phase-00.partial").read_bytes()
    state = torch.load(io.BytesIO(partial[partial.index(b"\n") + 1 :]))  # behind its seal
    assert len(state["finished"]) == 1  # the first stage is not trained again
    (folder,) = run(again)
    for name in (PREDICTIONS, EXEMPLARS):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    assert results.read(folder)["phases"][0]["resumed"] == 1
