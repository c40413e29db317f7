"""The figure of accuracy and exemplars over memory: what is drawn, where, in which files."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import table
from benchmark.results.schema import Result
from benchmark.table.curve import draw, left_out
from mm_imagenet_r.errors import UserError

Make = Callable[..., Result]
MEMORY = (1, 3, 5, 7, 10)
ROWS = {"exemplar_masking": 0.1, "replay": -0.1, "mrdc": 0.0, "codec": 0.05}


@pytest.fixture
def runs(tmp_path: Path, synthetic_run: Make) -> Path:
    """Four methods at five amounts of memory, two orders each; joint and one more at 5 alone."""
    small: dict[str, Any] = {"sizes": (3, 2), "test": 4}
    folder = tmp_path / "runs"
    for order in (1, 2):
        for memory in MEMORY:
            for method, skill in ROWS.items():
                name = f"{method}-{memory}-{order}"
                synthetic_run(
                    folder / name, **small, method=method, memory=memory, skill=skill,
                    share=0.2 if method == "exemplar_masking" else 1.0, class_order_seed=order,
                )  # fmt: skip
        for method in ("joint", "er"):
            synthetic_run(
                folder / f"{method}-{order}", **small, method=method, class_order_seed=order
            )
    return folder


def test_lines_and_bars_show_what_the_tables_say(runs: Path) -> None:
    tables = table.tables([runs])
    figure = draw(tables)
    above, below = figure.axes
    rows = {(r.name, r.budget["amount"]): r for one in tables for r in one.rows}
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(names) == ["Codec", "Exemplar masking", "MRDC", "Replay"]
    assert left_out(tables) == ["ER"]
    for name, container in zip(names, above.containers, strict=True):
        assert container.get_label() == name
        heights = list(container.lines[0].get_ydata())
        assert heights == [rows[name, amount].average.mean for amount in MEMORY]
    for name, container in zip(names, below.containers, strict=True):
        assert [bar.get_height() for bar in container] == [
            rows[name, amount].exemplars for amount in MEMORY
        ]
    assert [text.get_text() for text in below.get_xticklabels()] == ["1", "3", "5", "7", "10"]
    assert below.get_xlabel() == "memory: untouched samples per class, counted in bytes"
    assert [text.get_text()[:6] for text in above.texts] == ["Joint "]


def test_nothing_overlaps(runs: Path) -> None:
    figure = draw(table.tables([runs]))
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    above, below = figure.axes
    texts = [figure.legends[0], above.title, *above.texts]
    texts += [above._left_title, below.xaxis.label, above.yaxis.label, below.yaxis.label]
    texts += below.get_xticklabels()
    for axes in (above, below):
        low, high = axes.get_ylim()
        texts += [one for one in axes.get_yticklabels() if low <= one.get_position()[1] <= high]
    boxes = [text.get_window_extent(renderer) for text in texts]
    shown = [box for box in boxes if box.width > 0]
    assert len(shown) > 12
    whole = figure.bbox
    for box in shown:
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1 + 1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1 + 1
    for one, other in itertools.combinations(shown, 2):
        assert not one.overlaps(other)


def test_files_in_three_formats_are_reproducible(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begins = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    paths = {kind: [tmp_path / f"{number}.{kind}" for number in (1, 2)] for kind in begins}
    for number in (0, 1):
        files = [part for kind in paths for part in ("--curve", str(paths[kind][number]))]
        assert table.main([str(runs), "--format", "csv", "--metric", "last", *files]) == 0
        assert (
            "left out of the curve, as they have only one amount of memory: ER"
            in capsys.readouterr().err
        )
    for kind, (one, other) in paths.items():
        assert one.read_bytes().startswith(begins[kind])
        assert one.read_bytes() == other.read_bytes()
    assert "<!-- Last accuracy, % -->" in paths["svg"][0].read_text()
    ElementTree.parse(paths["svg"][0])


def test_a_curve_needs_two_amounts_and_a_known_suffix(runs: Path, tmp_path: Path) -> None:
    tables = table.tables(list(runs.glob("*-5-1")))
    with pytest.raises(UserError, match="at least two amounts of memory"):
        table.write_curve(tables, tmp_path / "x.svg")
    with pytest.raises(UserError, match=r"x.jpeg: the suffix must be one of \.svg, \.pdf, \.png"):
        table.write_curve(table.tables([runs]), tmp_path / "x.jpeg")


def test_without_matplotlib_the_extra_is_named(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"figures need matplotlib.*the extra `figures`"):
        table.write_curve(table.tables([runs]), tmp_path / "x.svg")
