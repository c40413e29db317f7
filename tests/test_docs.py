"""Examples in the documents run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark import results
from benchmark.config import RunConfig
from benchmark.results.tables import table
from benchmark.results.verify import verify
from benchmark.run import run

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
        phases=3, epochs=1, batch_size=8, memory="2",
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
    import dataclasses

    path = tmp_path / name
    path.write_text(code_of(document, name))
    assert len(path.read_text().splitlines()) <= 60
    (folder,) = run(dataclasses.replace(configure, method=(f"{path}:{kind}",)))
    assert verify(folder) == []
    result = results.read(folder)
    assert result["phases"][-1]["memory"]["exemplars"] > 0
    if kind == "BalancedMeans":
        assert [stage["name"] for stage in result["phases"][0]["stages"]] == ["all", "balanced"]
        assert result["classifier"] == "means"
        labels = [row.label for row in table([result])]
        assert labels == ["Balanced means", "Balanced means · linear"] or set(labels) == {
            "Balanced means",
            "Balanced means · linear",
        }
