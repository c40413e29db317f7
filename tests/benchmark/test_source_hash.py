"""Hashes of code: what changes them and what does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.load_method import load_method
from benchmark.source_hash import (
    HARNESS,
    code_sha256,
    harness_sha256,
    method_sha256,
    method_sources,
)

ROOT = Path(__file__).parent.parent.parent
CODE = b'''
"""A module."""
class A:
    """A class."""
    def f(self, x: int = 1) -> str:
        """A method."""
        return f"{x!r:>{x}} {x + 1}"
'''


@pytest.mark.parametrize(
    "code",
    [
        CODE.replace(b"A module.", b"Another."),
        CODE.replace(b'"""A method."""\n', b"# nothing\n"),
        CODE.replace(b"x: int = 1", b"x : int=1"),
        CODE.replace(b"\n    def", b"\n\n\n    def"),
        CODE.replace(b"(self, x", b"(\n        self,\n        x"),
    ],
)
def test_docstrings_comments_and_layout_change_nothing(code: bytes) -> None:
    assert code != CODE
    assert code_sha256(code) == code_sha256(CODE)


@pytest.mark.parametrize(
    "code",
    [
        CODE.replace(b"= 1", b"= 2"),
        CODE.replace(b"= 1", b"= 1.0"),
        CODE.replace(b"= 1", b"= None"),
        CODE.replace(b"x + 1", b"x - 1"),
        CODE.replace(b"def f", b"def g"),
        CODE + b"B = A\n",
        CODE + b"'a string that is no docstring' or None\n",
    ],
)
def test_code_changes_it(code: bytes) -> None:
    assert code_sha256(code) != code_sha256(CODE)


METHOD = "from benchmark.method import Method\n{}\nclass Mine(Method):\n    x = 1\n"


@pytest.mark.parametrize(
    "words",
    [
        "from own_methods import helper",
        "from own_methods.helper import FACTOR",
        "import own_methods.helper as h",
        "import own_methods.helper",
        "from . import helper",
        "from .helper import FACTOR",
    ],
)
def test_every_way_to_import_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    package = tmp_path / "own_methods"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("from own_methods.further import *\nFACTOR = 1\n")
    (package / "further.py").write_text("A = 1\n")
    (package / "unrelated.py").write_text("A = 1\n")
    (package / "mine.py").write_text(METHOD.format(words))
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("own_methods")]:
        monkeypatch.delitem(sys.modules, name)
    method, _ = load_method("own_methods.mine:Mine")
    names = {"mine.py", "helper.py", "further.py", "__init__.py"}
    assert {Path(name).name for name in method_sources(method)} == names
    before = method_sha256(method)
    (package / "unrelated.py").write_text("A = 2\n")
    (package / "further.py").write_text("# a comment\nA = 1\n")
    assert method_sha256(method) == before
    (package / "further.py").write_text("A = 2\n")
    assert method_sha256(method) != before


def test_files_beside_a_method_given_by_its_path_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"beside_{folder}.py").write_text(f"NAME = '{folder}'\n")
        words = f"import json\nimport beside_{folder}\nfrom baselines.exemplars import selection"
        (tmp_path / folder / "mine.py").write_text(METHOD.format(words))
        monkeypatch.syspath_prepend(tmp_path / folder)
    (one, _), (other, _) = (load_method(f"{tmp_path}/{folder}/mine.py:Mine") for folder in "ab")
    assert one is not other
    own = {"baselines/__init__.py", "baselines/exemplars/__init__.py", "mine.py", "beside_a.py"}
    own |= {"baselines/exemplars/selection.py"}
    assert set(method_sources(one)) == own
    assert method_sha256(one) != method_sha256(other)


def test_methods_of_baselines_have_all_they_are_made_of() -> None:
    method, _ = load_method("exemplar_masking")
    names = set(method_sources(method))
    assert {
        "baselines/exemplar_masking.py",
        "baselines/learner.py",
        "baselines/vilt/model.py",
    } <= names
    assert not any(name.startswith(("benchmark", "mm_imagenet_r")) for name in names)


def test_the_harness_is_there() -> None:
    there = {name for name in HARNESS if (ROOT / "benchmark" / name).is_file()}
    assert {"training.py", "memory.py", "budget.py", "experiment.py", "data/samples.py"} <= there


PROBE = """
import json, sys
from pathlib import Path
from benchmark import results
from benchmark.config import RunConfig
from benchmark.load_method import load_method
from benchmark.source_hash import harness_sha256, method_sha256
from benchmark.results.tables import table
from benchmark.results.verify import verify
run = Path(sys.argv[1])
method, _ = load_method("replay")
print(json.dumps([
    harness_sha256(), method_sha256(method),
    RunConfig(epochs=3).fingerprint(), RunConfig(method=("joint",)).folder().name,
    verify(run), table([results.read(run)])[0].label,
]))
"""


def test_an_option_a_metric_and_a_comment_change_no_hash_and_break_no_result(
    tmp_path: Path,
) -> None:
    run = next((ROOT / "tests" / "fixtures" / "schema1").rglob("result.json")).parent

    def probe(folder: Path) -> list[object]:
        found = subprocess.run(
            [sys.executable, "-c", PROBE, str(run)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        value: list[object] = json.loads(found.stdout)
        return value

    for package in ("benchmark", "baselines", "mm_imagenet_r"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    before = probe(tmp_path)

    def edit(name: str, old: str, new: str) -> None:
        path = tmp_path / name
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    edit(
        "benchmark/config_fields.py",
        "    device: str = _place(",
        '    sharpness: float = _option(0.0, "something new")\n\n    device: str = _place(',
    )
    edit(
        "benchmark/metrics/__init__.py",
        '@metric("mean over old phases of final',
        '@metric("of the last row")\ndef spread(matrix: Matrix) -> float:\n'
        "    return max(matrix[-1]) - min(matrix[-1])\n\n\n"
        '@metric("mean over old phases of final',
    )
    for name in ("benchmark/budget.py", "benchmark/training.py", "baselines/replay.py"):
        path = tmp_path / name
        path.write_text(f"{path.read_text()}\n# a comment\n")
    after = probe(tmp_path)
    assert before == after
    assert before[4] == []
    edit("benchmark/budget.py", "_MISSES = 16", "_MISSES = 17")
    assert probe(tmp_path)[0] != after[0]
    assert harness_sha256() == before[0]
