"""Pages: complete, self-contained, well-formed, and closed to markup in the data."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from running import write_result

from benchmark import report, run_files
from benchmark.report import charts
from benchmark.report.comparison import write_comparison
from benchmark.report.gallery import caption, read_gallery
from benchmark.report.plots import draw, write_curve
from benchmark.results.schema import Result
from mm_imagenet_r.errors import UserError

Make = Callable[..., Result]
Item = Callable[..., dict[str, Any]]
SMALL: dict[str, Any] = {"sizes": (3, 2, 2), "test": 4}
EVIL = "<script>alert('x')</script>\"&"


class Page(HTMLParser):
    """Checks that every element is closed in order; collects text, tags and addresses."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.text += data

    def count(self, tag: str, **attributes: str) -> int:
        return sum(
            name == tag and all(found.get(k.rstrip("_")) == v for k, v in attributes.items())
            for name, found in self.tags
        )


def with_gallery(folder: Path, *items: dict[str, Any]) -> None:
    (folder / "gallery.json").write_text(json.dumps(items))


def test_page_of_a_run_has_every_part(
    tmp_path: Path, synthetic_run: Make, gallery_item: Item
) -> None:
    made = synthetic_run(tmp_path, **SMALL, settings={"tau": 1.0})
    with_gallery(tmp_path, gallery_item(), gallery_item())
    page = Page(report.write_report(tmp_path))
    for words in (
        "Exemplar masking",
        "7 classes of shapes learned in 3 phases, 3 classes first, then 2 each",
        "5 samples per class = 17.1 kB, in bytes",
        "the memory grows with the classes",
        "Accuracy matrix",
        "What an exemplar is",
        "What is remembered",
        "Outside the memory",
        "What is mistaken",
        "Phases and time",
        "Every stage",
        "192 predictions were repeated in other batches: none differed.",
        "scales and shifts, learning rate 0.01, weight decay 0.01",
        "backward_transfer",
        "python -m benchmark.run --config result.json",
        "812 B of",
        made["dataset"]["split_sha256"],
    ):
        assert words in page.text, words
    assert f"{made['metrics']['average_incremental_accuracy']:.1f}" in page.text
    assert f"{made['metrics']['forgetting']:.2f}" in page.text
    assert page.count("td", class_="new") == 3
    assert page.count("section") >= 9


def test_page_shows_further_classifiers_and_the_loss(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path / "one", **SMALL)
    alone = Page(report.write_report(tmp_path / "one"))
    assert "Its classifiers" not in alone.text
    synthetic_run(tmp_path / "two", **SMALL, others=("linear",))
    page = Page(report.write_report(tmp_path / "two"))
    assert "Its classifiers" in page.text
    assert "linear" in page.text
    assert page.text.count("training loss") == 2
    assert "110 kB" in page.text
    assert "112 kB" in page.text  # outside the memory, by phase


def test_page_needs_nothing_from_outside(
    tmp_path: Path, synthetic_run: Make, gallery_item: Item
) -> None:
    synthetic_run(tmp_path, **SMALL)
    with_gallery(tmp_path, gallery_item())
    path = report.write_report(tmp_path)
    page = Page(path)
    addresses = [v for _, found in page.tags for k, v in found.items() if k in {"href", "src"}]
    assert addresses
    assert all(a and a.startswith(("data:image/jpeg;base64,", "#")) for a in addresses)
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)
    assert page.count("meta", name="viewport") == 1
    policy = next(v["content"] for tag, v in page.tags if v.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_same_files_give_the_same_page(
    tmp_path: Path, synthetic_run: Make, gallery_item: Item
) -> None:
    synthetic_run(tmp_path, **SMALL)
    with_gallery(tmp_path, gallery_item())
    first = report.write_report(tmp_path).read_bytes()
    assert report.write_report(tmp_path, tmp_path / "again.html").read_bytes() == first


def test_data_cannot_become_markup(tmp_path: Path, synthetic_run: Make, gallery_item: Item) -> None:
    names = [f"{EVIL}{i}" for i in range(7)]
    settings = {EVIL: EVIL}
    config = {"note": EVIL, EVIL: 1}
    changed = {"names": names, "method": f"m.py:{EVIL}", "settings": settings, "config": config}
    synthetic_run(tmp_path / "a", **SMALL, **changed)
    item = gallery_item(caption="x", class_name=EVIL, file_name=EVIL, codec=EVIL)
    item["words"] = [{"text": EVIL, "kept": True}, {"text": f"##{EVIL}", "kept": False}]
    with_gallery(tmp_path / "a", item)
    path = report.write_report(tmp_path / "a")
    assert Page(path).count("script") == 1
    assert "<script>alert" not in path.read_text(encoding="utf-8")
    assert EVIL in Page(path).text


def test_parts_without_content_are_left_out(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path, sizes=(3,), test=4, memory=0, method="finetune", complete=False)
    page = Page(report.write_report(tmp_path))
    assert "What an exemplar is" not in page.text
    assert "What is remembered" not in page.text
    assert "No sample is kept from one phase to the next." in page.text
    assert "one phase only: nothing to forget" in page.text
    assert "Not finished: 1 phase so far." in page.text


def test_a_memory_with_a_total_only_has_no_class_shares(
    tmp_path: Path, synthetic_run: Make
) -> None:
    synthetic_run(tmp_path, **SMALL)
    value = json.loads((tmp_path / "result.json").read_text())
    value["budget"].update(growth="total", memory="20MB", amount=5860.8)
    for phase in value["phases"]:
        for entry in phase["memory"]["per_class"].values():
            entry["budget"] = None
    write_result(tmp_path / "result.json", value)
    page = Page(report.write_report(tmp_path))
    assert "20 MB in total, in bytes" in page.text
    assert "exemplars per class" in page.text
    assert "budget used, %" not in page.text


def test_kept_words_stand_out() -> None:
    words = [("a", False), ("polar", True), ("bear", True), ("with", False), ("##out", True)]
    shown = caption([{"text": text, "kept": kept} for text, kept in words])
    assert shown == "<s>a</s> <b>polar</b> <b>bear</b> <s>with</s><b>out</b>"


def test_gallery_shows_what_is_dropped(
    tmp_path: Path, synthetic_run: Make, gallery_item: Item
) -> None:
    synthetic_run(tmp_path, **SMALL)
    item = gallery_item(grid=(2, 3))
    item.update(attention=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], kept=[True, False] * 3)
    with_gallery(tmp_path, item)
    page = Page(report.write_report(tmp_path))
    dropped = [found["d"] for tag, found in page.tags if found.get("class") == "dropped"]
    assert dropped == ["M1 0h1v1h-1zM0 1h1v1h-1zM2 1h1v1h-1z"]
    fills = [found["fill"] for tag, found in page.tags if tag == "rect" and found.get("fill")]
    assert len(fills) == 6
    assert fills[0] == "#140e36"
    assert fills[-1] == "#faeb8c"
    assert page.count("svg", viewbox="0 0 3 2") == 3
    assert "3 of 6 patches" in page.text


def test_a_large_gallery_is_folded_not_cut(
    tmp_path: Path, synthetic_run: Make, gallery_item: Item
) -> None:
    synthetic_run(tmp_path, **SMALL)
    with_gallery(tmp_path, *(gallery_item(class_name=f"class{i:02d}") for i in range(30)))
    page = Page(report.write_report(tmp_path))
    assert all(f"class{i:02d}" in page.text for i in range(30))
    assert "20 more" in page.text
    names = [found["id"] for tag, found in page.tags if tag == "image"]
    assert len(set(names)) == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kept": [True]}, r"gallery\[0\] needs 80 numbers"),
        ({"grid": [80]}, "grid is not"),
        ({"image": "not base64!"}, "not base64 of a JPEG"),
        ({"image": "aGVsbG8="}, "not base64 of a JPEG"),
        ({"words": ["a"]}, r"words\[0\] is not an object"),
        ({"bytes": "many"}, "bytes is not an integer"),
    ],
)
def test_broken_galleries_are_refused(
    tmp_path: Path, gallery_item: Item, change: dict[str, Any], message: str
) -> None:
    with_gallery(tmp_path, {**gallery_item(), **change})
    with pytest.raises(UserError, match=message) as caught:
        read_gallery(tmp_path)
    assert "gallery.json" in str(caught.value)
    (tmp_path / "gallery.json").write_text("[")
    with pytest.raises(UserError, match=r"gallery.json cannot be read"):
        read_gallery(tmp_path)


def test_command_line(
    tmp_path: Path, synthetic_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic_run(tmp_path / "runs" / "a", **SMALL)
    one, png = tmp_path / "runs" / "a" / "report.html", tmp_path / "curve.png"
    assert report.main([str(tmp_path / "runs"), "--png", str(png)]) == 0
    assert capsys.readouterr().out.split() == [str(one), str(png)]
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "· run" in Page(one).text
    synthetic_run(tmp_path / "runs" / "b", **SMALL, seed=1)
    both = tmp_path / "both.html"
    assert report.main([str(tmp_path / "runs"), "--output", str(both)]) == 0
    assert "Comparison" in Page(both).text
    assert report.main([str(one.parent), "--output", str(both)]) == 0
    result = one.with_name("result.json")
    before = result.read_bytes()
    assert report.main([str(one.parent), "--output", str(result)]) == 2
    assert f"over {result} (it is something else): remove" in capsys.readouterr().err
    assert result.read_bytes() == before
    assert report.main([str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_no_page_takes_the_place_of_a_result(
    tmp_path: Path, synthetic_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        synthetic_run(tmp_path / str(seed), **SMALL, seed=seed)
    result, svg = tmp_path / "0" / "result.json", tmp_path / "x.svg"
    before = result.read_bytes()
    for runs in (result.parent, tmp_path):  # a page, and a comparison
        assert report.main([str(runs), "--output", str(result), "--curve", str(svg)]) == 2
        assert f"over {result} (it is something else): remove" in capsys.readouterr().err
    with pytest.raises(UserError, match="it is something else"):
        report.write_report(result.parent, result)
    with pytest.raises(UserError, match="it is something else"):
        write_comparison([result.parent], result)
    assert result.read_bytes() == before
    assert not svg.exists()


@pytest.mark.parametrize(
    ("suffix", "begins"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")]
)
def test_curves_are_written_as_their_name_says(
    tmp_path: Path, synthetic_run: Make, suffix: str, begins: bytes
) -> None:
    synthetic_run(tmp_path / "a", **SMALL)
    synthetic_run(tmp_path / "b", **SMALL, seed=1)
    folders = [tmp_path / "a", tmp_path / "b"]
    first = write_curve(folders, tmp_path / f"1.{suffix}").read_bytes()
    assert first.startswith(begins)
    assert write_curve(folders, tmp_path / f"2.{suffix}").read_bytes() == first


@pytest.mark.parametrize("option", ["--curve", "--png"])
def test_a_curve_of_another_suffix_is_refused_before_anything_is_written(
    tmp_path: Path, synthetic_run: Make, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    synthetic_run(tmp_path / "a", **SMALL)
    assert report.main([str(tmp_path), option, str(tmp_path / "x.jpg")]) == 2
    assert "x.jpg: the suffix must be one of .svg, .pdf, .png" in capsys.readouterr().err
    assert not (tmp_path / "a" / run_files.REPORT).exists()
    svg = tmp_path / "x.svg"
    assert report.main([str(tmp_path), option, str(svg)]) == 0
    assert svg.read_bytes().startswith(b"<?xml")


def test_bands_stay_within_percent(tmp_path: Path, synthetic_run: Make) -> None:
    for seed, skill in enumerate((1.0, -1.0)):
        synthetic_run(tmp_path / str(seed), **SMALL, seed=seed, skill=skill)
    (axes,) = draw([tmp_path / "0", tmp_path / "1"]).axes
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    values = [line.get_ydata() for line in axes.lines]
    assert min(heights) >= 0
    assert max(heights) == 100
    assert max(values[0]) < 100


def test_many_rows_and_class_orders_leave_the_curves_free(
    tmp_path: Path, synthetic_run: Make
) -> None:
    methods = ("replay", "mrdc", "codec", "cim", "er", "icarl", "wa", "derpp", "joint")
    for i, method in enumerate(methods):
        for order in (1, 2, 3):
            synthetic_run(
                tmp_path / f"{method}{order}", **SMALL, method=method, class_order_seed=order,
                skill=i / 10 - 0.4,
            )  # fmt: skip
    figure = draw(sorted(tmp_path.iterdir()))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    legend, plot = axes.get_legend(), axes.get_window_extent(renderer)
    assert legend is not None
    assert len(legend.get_texts()) == len(methods)
    assert legend.get_window_extent(renderer).x0 >= plot.x1 - 1
    assert legend.get_window_extent(renderer).x1 <= figure.bbox.x1
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == len(methods)
    assert axes._left_title.get_window_extent(renderer).x1 <= figure.bbox.x1


def test_no_comparison_takes_the_place_of_another(
    tmp_path: Path,
    synthetic_run: Make,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for method in ("replay", "joint", "er"):
        synthetic_run(tmp_path / "runs" / "s" / method / "seed0", **SMALL, method=method)
    assert report.main(["runs/s/replay", "runs/s/joint"]) == 0
    assert report.main(["runs/s/replay", "runs/s/er"]) == 0
    assert report.main(["runs/s/er", "runs/s/replay"]) == 0
    first, second, again = capsys.readouterr().out.split()
    assert second == again != first
    assert re.fullmatch(r"comparison-joint-replay-[0-9a-f]{8}\.html", first)
    assert "Joint" in (tmp_path / first).read_text()
    assert "Joint" not in (tmp_path / second).read_text()


def test_line_ends_do_not_overlap() -> None:
    lines = [charts.Line(str(i), [0, 1], [50, 60 + i / 10], colour=i) for i in range(5)]
    drawn = charts.line_chart(lines, x_label="x", ticks_at=[0, 1]).split("</svg>")[0]
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" class="end', drawn))
    assert len(heights) == 5
    assert min(b - a for a, b in itertools.pairwise(heights)) > 12


def test_repeated_command(tmp_path: Path) -> None:
    config = {"method": ["replay"], "seeds": [3], "dataset": "mini", "memory": "1", "output": "/x"}
    assert report.command(config) == "python -m benchmark.run --method replay --seeds 3 --memory 1"


@pytest.mark.parametrize("losses", [[-0.06, -0.1], [0.0, 0.0], [0.3, -0.1], [2.0, 1.0]])
def test_a_loss_may_be_negative_or_nothing(losses: list[float]) -> None:
    """A loss that rewards similarity is; so is one of a phase with a single class."""
    phase: Any = {"index": 0, "steps": 2, "loss": [[1, losses[0]], [2, losses[1]]]}
    drawn = charts.loss_chart([phase]).split("</svg>")[0]
    points = re.findall(r'points="([^"]*)"', drawn)[0].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert (heights[0] < heights[1]) == (losses[0] > losses[1])
    assert all(charts._TOP - 1 <= height <= 300 for height in heights)


def test_the_loss_has_a_line_for_each_phase(tmp_path: Path, synthetic_run: Make) -> None:
    result = synthetic_run(tmp_path, **SMALL)
    page = Page(report.write_report(tmp_path))
    drawn = [found for tag, found in page.tags if tag == "polyline" and "thin" in str(found)]
    assert len(drawn) == 2 * 3, "for wide and narrow screens"
    for phase, found in zip(result["phases"], drawn, strict=False):
        assert len(str(found["points"]).split()) == len(phase["loss"])
        first, last = phase["loss"][0][1], phase["loss"][-1][1]
        words = f"phase {phase['index'] + 1}: loss {first:.3f} at first, {last:.3f} at last"
        assert words in page.text
        assert f"{last:.3f}" in page.text
    ends = [float(str(found["points"]).split()[-1].split(",")[0]) for found in drawn[:3]]
    starts = [float(str(found["points"]).split()[0].split(",")[0]) for found in drawn[:3]]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
