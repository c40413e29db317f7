"""The commands that README gives from a clone to a submitted result, each as it is printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import results

ROOT = Path(__file__).resolve().parents[2]


def commands() -> list[str]:
    section = (ROOT / "README.md").read_text().split("## Submit a result\n")[1]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1].splitlines()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_from_make_run_to_a_submitted_result(
    tmp_path: Path, coloured: Path, vilt_folder: Path
) -> None:
    first, *others = commands()
    assert first == "make run"
    assert len(others) == 4
    (tmp_path / ".venv").symlink_to(sys.prefix)
    small = f"--dataset {coloured} --backbone {vilt_folder} --phases 3 --memory 2 --device cpu"
    # Nothing is installed anew, and the run is a small one.
    made = ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/.installed", "run", f"ARGS={small}"]
    said = []
    for command in (made, *map(shlex.split, others)):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_TOKEN": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        said.append(done.stdout)
    run, verified, submitted, built, published = said
    assert "report.html" in run
    assert "1 result: 1 consistent" in verified
    assert "git commit -m 'Results of exemplar_masking'" in submitted
    assert built == "site/index.html: 1 result\n"
    assert published.endswith("dry run: nothing was sent\n")
    (there,) = results.find_runs([tmp_path / "submission" / "results"])
    (ran,) = results.find_runs([tmp_path / "runs"])
    assert there.relative_to(tmp_path / "submission" / "results") == ran.relative_to(
        tmp_path / "runs"
    )
    assert results.read(there) == results.read(ran)
    assert (tmp_path / "submission" / "whole-runs.zip").is_file()
