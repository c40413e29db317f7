"""The page of results: what it claims follows from the intervals, and it is what results/ gives."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.results.schema import Result
from studies import published

ROOT = Path(__file__).parent.parent.parent
Make = Callable[..., Result]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, synthetic_run: Make) -> Path:
    """Exemplar masking loses to `codec`, is level with `mrdc`, and wins over `replay`."""
    folder = tmp_path_factory.mktemp("published")
    skills = {"exemplar_masking": 0.2, "codec": 0.6, "mrdc": 0.2, "replay": -0.5, "joint": 0.7}
    for memory, currency in ((5, "bytes"), (1, "bytes"), (5, "samples")):
        for method, skill in skills.items():
            if method == "joint" and (memory, currency) != (5, "bytes"):
                continue  # the same under every budget, so run once
            for order in (1993, 1, 2, 3, 4):
                given: dict[str, Any] = {"memory": memory, "currency": currency, "seed": 0}
                synthetic_run(
                    folder / f"{method}-{memory}-{currency}-{order}",
                    method=method, skill=skill, sizes=(1,) * 10, test=15,
                    class_order_seed=order, others=("linear",), **given,
                )  # fmt: skip
    return folder


def test_losses_are_named_first_and_bounds_never(results: Path) -> None:
    claims = published.sections(results)["claims"]
    below, level, above = (claims.index(f"**{title}**") for title in published._OUTCOMES)
    assert below < level < above
    assert "average accuracy, memory 5 in bytes: `codec` -" in claims[below:level]
    assert "`mrdc`" in claims[level:above]
    assert "average accuracy, memory 1 in bytes: `replay` +" in claims[above:]
    assert "joint" not in claims


def test_rows_that_count_file_sizes_are_marked(results: Path) -> None:
    claims = published.sections(results)["claims"]
    counted = [line for line in claims.splitlines() if "in samples" in line]
    assert any("`codec` † -" in line for line in counted)
    assert "`replay` +" in "".join(counted)
    assert "†" not in "".join(line for line in claims.splitlines() if "in bytes" in line)


def test_the_command_writes_each_part_once(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, readme, curve = (tmp_path / name for name in ("page.md", "readme.md", "curve.svg"))
    shutil.copy(ROOT / published.PAGE, page)
    shutil.copy(ROOT / published.README, readme)
    command = ["--results", str(results), "--page", str(page), "--readme", str(readme)]
    command += ["--board", str(tmp_path / "board")]
    assert published.main([*command, "--curve", str(curve)]) == 0
    once = page.read_text(), readme.read_text(), curve.read_bytes()
    assert "Codec" in once[0]
    assert "Exemplar masking" in once[1]
    assert published.main([*command, "--curve", str(curve)]) == 0
    assert once == (page.read_text(), readme.read_text(), curve.read_bytes())


@pytest.mark.timeout(900)
def test_the_docs_are_what_the_results_give(tmp_path: Path) -> None:
    board = ROOT / published.BOARD
    kept = [ROOT / name for name in (published.PAGE, published.README, published.CURVE)]
    made = [tmp_path / path.name for path in kept]
    for path, copy in zip(kept[:2], made, strict=False):
        shutil.copy(path, copy)
    options = zip(
        ("--page", "--readme", "--curve", "--board"),
        map(str, [*made, tmp_path / "board"]),
        strict=True,
    )
    arguments = ["--results", str(ROOT / "results"), *(x for pair in options for x in pair)]
    assert published.main(arguments) == 0
    files = sorted(path.relative_to(board) for path in board.rglob("*") if path.is_file())
    written = (tmp_path / "board").rglob("*")
    assert files == sorted(p.relative_to(tmp_path / "board") for p in written if p.is_file())
    kept += [board / name for name in files]
    made += [tmp_path / "board" / name for name in files]
    for path, copy in zip(kept, made, strict=True):
        assert copy.read_bytes() == path.read_bytes(), (
            f"{path} is not what results/ gives: python -m studies.published"
        )
