"""What a sweep writes beside runs is its own: nothing that somebody else put there is lost."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.config import RunConfig
from benchmark.result_of import asked_for
from benchmark.results.schema import Result
from benchmark.sweep.ledger import Ledger, failed, failure_file, log_file, make_room, succeeded
from mm_imagenet_r.errors import UserError

Make = Callable[..., Result]


def test_a_kept_result_is_not_put_through_a_link(tmp_path: Path, synthetic_run: Make) -> None:
    said = synthetic_run(tmp_path / "any", method="replay", sizes=(2, 2))
    cell = dataclasses.replace(asked_for(said), output=tmp_path / "runs")
    cell.folder().parent.mkdir(parents=True)
    (tmp_path / "any").rename(cell.folder())
    kept, mine = tmp_path / "kept", tmp_path / "mine"
    mine.mkdir()
    (mine / "predictions.parquet").write_text("precious")
    small = dataclasses.replace(cell, output=kept).folder()
    small.parent.mkdir(parents=True)
    small.symlink_to(mine)
    with pytest.raises(UserError, match="is a link, perhaps to what is not of this run: remove"):
        Ledger(kept).keep(cell)
    small.unlink()
    Ledger(kept).keep(cell)
    there = dataclasses.replace(cell, output=tmp_path / "other")
    there.folder().parent.mkdir(parents=True)
    there.folder().symlink_to(mine)
    with pytest.raises(UserError, match="is a link, perhaps to what is not of this run: remove"):
        Ledger(kept).fetch(there)
    assert [path.name for path in mine.iterdir()] == ["predictions.parquet"]
    assert (mine / "predictions.parquet").read_text() == "precious"


@pytest.mark.parametrize("place", [log_file, failure_file])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_log_stays(
    tmp_path: Path, place: Callable[[RunConfig], Path], kind: str
) -> None:
    cell, mine = RunConfig(output=tmp_path / "runs"), tmp_path / "precious.txt"
    mine.write_text("precious")
    make_room(cell)
    path = place(cell)
    if kind == "link":
        path.symlink_to(mine)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(UserError, match=r"is not a regular file, as sweeps write: remove it"):
        make_room(cell)
    assert mine.read_text() == "precious"


def test_logs_do_not_go_through_a_link_to_a_folder(tmp_path: Path) -> None:
    cell, mine = RunConfig(output=tmp_path / "runs"), tmp_path / "mine"
    mine.mkdir()
    cell.output.mkdir()
    (cell.output / "sweep").symlink_to(mine)
    with pytest.raises(UserError, match=r"sweep is not a folder, as sweeps make it: remove it"):
        make_room(cell)


def test_the_end_of_a_log_without_end_is_kept(tmp_path: Path) -> None:
    cell = RunConfig(output=tmp_path)
    make_room(cell)
    with log_file(cell).open("wb") as file:
        file.truncate(2**36)
        file.seek(0, os.SEEK_END)
        file.write(b"\nValueError: too much\n")
    assert failed(cell, 1).reason == "ValueError: too much"
    succeeded(cell)
    assert not list((tmp_path / "sweep").iterdir())


def test_names_of_long_methods_fit(tmp_path: Path) -> None:
    for letters in (70, 80):
        name = "漢" * letters
        cell = RunConfig(method=(f"{tmp_path}/{name}.py:M",), dataset=name, output=tmp_path)
        other = dataclasses.replace(cell, seeds=(1,))
        assert log_file(cell) != log_file(other)
        for one in (cell, other):
            one.folder().mkdir(parents=True)
            make_room(one)
            log_file(one).touch()
            assert failed(one, 1).reason == "exit code 1"
