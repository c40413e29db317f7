"""`mm-imagenet-r`: one door to all commands, and what is said where others' packages hide ours."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mm_imagenet_r import __main__ as console
from mm_imagenet_r import __version__
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.plugins import find_module, refuse_hidden

ROOT = Path(__file__).resolve().parents[2]


def call(*words: str, folder: Path = ROOT) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mm_imagenet_r", *words], cwd=folder, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_help_lists_every_command_in_a_line_and_each_can_be_started() -> None:
    code, out, _ = call("--help")
    assert code == 0
    listed = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert listed.keys() == console.COMMANDS.keys()
    assert all(len(line) <= 80 for line in listed.values())
    for module, _ in console.COMMANDS.values():
        assert callable(importlib.import_module(module).main)


def test_a_command_is_that_of_its_module() -> None:
    code, out, _ = call("run", "--list", "replay")
    assert code == 0
    assert "replay_share" in out
    code, _, err = call("table", "absent")
    assert (code, "absent does not exist" in err) == (2, True)


def test_unknown_commands_are_refused() -> None:
    code, _, err = call("tabel")
    assert code == 2
    assert err.startswith("error: unknown command 'tabel': did you mean 'table'?")


def test_the_version_stands_in_one_place() -> None:
    assert call("--version")[1] == f"mm-imagenet-r {__version__}\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    attr = project["tool"]["setuptools"]["dynamic"]["version"]["attr"]
    assert attr == "mm_imagenet_r.__version__"
    assert project["project"]["scripts"] == {"mm-imagenet-r": "mm_imagenet_r.__main__:main"}


@pytest.mark.parametrize("package", ["benchmark", "baselines"])
def test_a_folder_that_hides_ours_is_named(tmp_path: Path, package: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    code = f"from mm_imagenet_r.plugins import find_module\nfind_module('{package}.absent')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    wanted = f"{tmp_path / package} has the name of the package '{package}' of mm-imagenet-r"
    assert wanted in done.stderr
    assert "rename it, or run the command from another folder" in done.stderr
    if package == "benchmark":
        assert wanted in call("run", "--list", folder=tmp_path)[2]


def test_modules_of_ones_own() -> None:
    assert find_module("json.decoder").__name__ == "json.decoder"
    with pytest.raises(UserError, match=r"there is no module 'benchmark\.absent'"):
        find_module("benchmark.absent")
    with pytest.raises(UserError, match="'a b' is not a module"):
        find_module("a b")
    refuse_hidden("json")
