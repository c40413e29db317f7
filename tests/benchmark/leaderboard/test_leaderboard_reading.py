"""Where results are looked for, and where levels are read from: never behind a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.leaderboard.__main__ import main
from benchmark.leaderboard.levels import RECORD, recorded
from benchmark.leaderboard.tree import results_below
from benchmark.run_files import RESULT
from mm_imagenet_r.errors import UserError


def result_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / RESULT).write_text("{}")
    return folder


def test_one_deep_folder_does_not_hide_the_others(tmp_path: Path) -> None:
    deep = result_in(tmp_path.joinpath("m", *"x" * 30))
    others = [result_in(tmp_path / name) for name in ("a", "z")]  # on either side of it
    found = results_below([tmp_path])
    assert found.folders == others
    (refused,) = found.refused
    assert refused.folder in deep.parents
    assert "more than 24 folders deep" in refused.reasons[0]


def test_a_linked_folder_of_results_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result_in(tmp_path / "elsewhere" / "a")
    link = tmp_path / "results"
    link.symlink_to("elsewhere")
    for command in (["verify", str(link)], ["build", str(link), "--out", str(tmp_path / "site")]):
        assert main(command) == 2
        assert f"{link} is a link" in capsys.readouterr().err


def test_a_record_counts_beside_all_results_alone(tmp_path: Path) -> None:
    """Else somebody who may add results could add levels of them."""
    result_in(tmp_path / "a" / "b")
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        (folder / RECORD).write_text("{}")
    found = results_below([tmp_path])
    assert found.folders == [tmp_path / "a" / "b"]
    assert {one.folder for one in found.refused} == {
        tmp_path / "a" / RECORD, tmp_path / "a" / "b" / RECORD,
    }  # fmt: skip


@pytest.mark.parametrize("to", ["elsewhere.json", "nowhere"])
def test_a_linked_record_is_refused(tmp_path: Path, to: str) -> None:
    (tmp_path / "elsewhere.json").write_text('{"version": 1, "results": []}')
    (tmp_path / RECORD).symlink_to(to)
    with pytest.raises(UserError, match="is a link"):
        recorded(tmp_path)
