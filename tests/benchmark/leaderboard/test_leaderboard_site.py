"""The board as files: what stands in one table, what is escaped, what is written."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from running import write_result

from benchmark.leaderboard import __main__ as command
from benchmark.leaderboard import build
from benchmark.leaderboard.levels import RECORD, Level, Record, files_of, write_record
from benchmark.report.board import boards
from benchmark.report.board.collect import Shown, collect
from benchmark.report.comparison import write_comparison
from benchmark.results import read
from benchmark.results.schema import Result
from mm_imagenet_r.errors import UserError

Make = Callable[..., Result]
Item = Callable[..., dict[str, Any]]
SMALL: dict[str, Any] = {"sizes": (3, 2, 2), "test": 4}
EVIL = "<script>alert('x')</script>\"&</script><!--"
SITE = Path(boards.__file__).parent
COMMITTED = Path(__file__).parents[3] / "results"


def described(root: Path) -> dict[str, Any]:
    """What a page of the results below a folder says."""
    folders = sorted(path.parent for path in root.rglob("result.json"))
    found = collect([Shown(read(folder), folder, folder.name) for folder in folders])
    return boards.describe(found, boards.rank(found), {})


def data_of(page: Path) -> Any:
    """The data in a page."""
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S
    )
    assert found is not None
    return json.loads(found[1])


def change(folder: Path, **changes: Any) -> None:
    """Edit a result; dots lead into objects."""
    value = json.loads((folder / "result.json").read_text())
    for path, new in changes.items():
        *outer, last = path.split("__")
        place = value
        for key in outer:
            place = place[key]
        place[last] = new
    write_result(folder / "result.json", value)


class Tags(HTMLParser):
    """Elements of a page with their attributes, and its text without scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._quiet = "", False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._quiet = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._quiet = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._quiet else data


@pytest.mark.parametrize(
    ("facet", "options", "changes"),
    [
        ("data", {}, {"dataset__data_sha256": "00" * 32}),
        ("split", {}, {"dataset__split_sha256": "00" * 32}),
        ("split", {}, {"config__evaluate_on": "validation"}),
        ("phases", {"sizes": (4, 3)}, {}),
        ("training", {"epochs": 3}, {}),
        ("training", {}, {"config__batch_size": 64}),
        ("backbone", {}, {"backbone__sha256": "00" * 32}),
        ("currency", {"currency": "samples"}, {}),
        ("memory", {"memory": 1}, {}),
        ("memory", {}, {"budget__growth": "total"}),
        ("memory", {}, {"budget__amount": 5.00001}),
    ],
)
def test_what_must_not_be_compared_is_never_ranked_together(
    tmp_path: Path,
    synthetic_run: Make,
    facet: str,
    options: dict[str, Any],
    changes: dict[str, Any],
) -> None:
    synthetic_run(tmp_path / "a", **SMALL)
    synthetic_run(tmp_path / "b", **{**SMALL, **options}, method="replay", share=1.0)
    change(tmp_path / "b", **changes)
    page = described(tmp_path)
    assert len(page["boards"]) == 2
    for board in page["boards"]:
        for reading in board["readings"].values():
            assert len(reading["rows"]) == 1
    names = [name for name, _ in page["facets"]]
    one, other = (dict(zip(names, board["facets"], strict=True)) for board in page["boards"])
    assert one[facet] != other[facet]


def test_other_captions_are_other_data(tmp_path: Path, synthetic_run: Make) -> None:
    """Captions are a part of the hash of the data; the facet says their name."""
    for name in ("a", "b"):
        synthetic_run(tmp_path / name, **SMALL, method={"a": "replay", "b": "ease"}[name])
        changes = {"dataset__captions": name, "dataset__captions_id": name * 64}
        change(tmp_path / name, dataset__data_sha256=name * 64, **changes)
    page = described(tmp_path)
    assert sorted(board["facets"][1] for board in page["boards"]) == ["a", "b"]


def test_the_same_data_of_two_names_are_one_board(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path / "a", **SMALL)
    synthetic_run(tmp_path / "b", **SMALL, method="replay", share=1.0)
    change(tmp_path / "b", dataset__name="another name")
    (board,) = described(tmp_path)["boards"]
    assert len(board["readings"]["own"]["rows"]) == 2
    assert board["heading"].startswith("another name, ")


def test_methods_without_memory_stand_beside_every_memory(
    tmp_path: Path, synthetic_run: Make
) -> None:
    for memory in (1, 5):
        synthetic_run(tmp_path / f"m{memory}", **SMALL, memory=memory)
    synthetic_run(tmp_path / "free", **SMALL, memory=0, method="ease", kind="memory-free")
    synthetic_run(tmp_path / "bound", **SMALL, memory=0, method="joint")
    page = described(tmp_path)
    assert len(page["boards"]) == 2
    assert len(page["entries"]) == 4
    shared = set.intersection(*(set(b["readings"]["own"]["rows"]) for b in page["boards"]))
    assert {page["entries"][i]["method"] for i in shared} == {"ease", "joint"}
    for board in page["boards"]:
        own = board["readings"]["own"]
        best = page["entries"][own["rows"][own["standings"][0]["best"]]]
        assert best["kind"] != "bound"


def test_a_row_says_what_its_runs_say(tmp_path: Path, synthetic_run: Make) -> None:
    runs = [
        synthetic_run(tmp_path / str(order), **SMALL, class_order_seed=order, others=("linear",))
        for order in (1993, 1994, 1995)
    ]
    for order in (1993, 1994, 1995):
        synthetic_run(tmp_path / f"r{order}", **SMALL, class_order_seed=order, method="replay")
    page = described(tmp_path)
    (board,) = page["boards"]
    entry = next(e for e in page["entries"] if e["method"] == "exemplar_masking" and e["own"])
    averages = [run["metrics"]["average_incremental_accuracy"] for run in runs]
    assert [run["values"][0] for run in entry["runs"]] == [round(a, 3) for a in averages if a]
    assert [run["order"] for run in entry["runs"]] == ["1993", "1994", "1995"]
    mean, _, n = entry["figures"]["average_incremental_accuracy"]
    assert mean == pytest.approx(sum(a for a in averages if a) / 3, abs=1e-3)
    assert n == 3
    assert [value[2] for value in entry["curve"]] == [3, 3, 3]
    assert board["seen"] == [3, 5, 7]
    assert len(board["readings"]["own"]["rows"]) == 2
    assert len(board["readings"]["all"]["rows"]) == 3
    standing = board["readings"]["own"]["standings"][0]
    (difference,) = [d for d in standing["differences"] if d]
    low, high = difference["values"][1:]
    assert low < difference["values"][0] < high
    assert re.fullmatch(r"-\d+\.\d \[-?\+?\d+\.\d, [+-]\d+\.\d\]", difference["words"])


@pytest.fixture
def results(tmp_path: Path, synthetic_run: Make, gallery_item: Item) -> Path:
    """A folder with two methods, an unfinished run and one whose figures do not follow."""
    root = tmp_path / "results"
    for order in (1993, 1994):
        synthetic_run(
            root / f"em{order}", **SMALL, class_order_seed=order, settings={"tau_image": 1.0}
        )
        synthetic_run(root / f"r{order}", **SMALL, class_order_seed=order, method="replay")
    synthetic_run(root / "unfinished", **SMALL, class_order_seed=1995, complete=False)
    synthetic_run(root / "forged", **SMALL, class_order_seed=1996)
    value = json.loads((root / "forged" / "result.json").read_text())
    value["phases"][-1]["accuracy"]["per_phase"][0] = 99.0
    write_result(root / "forged" / "result.json", value)
    (root / "em1993" / "gallery.json").write_text(json.dumps([gallery_item(), gallery_item()]))
    (root / "em1994" / "gallery.json").write_text("[{")
    return root


def test_building_writes_the_whole_site(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site"
    assert command.main(["build", str(results), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"{out / 'index.html'}: 4 results" in said
    assert "left out: forged: " in said
    assert "left out: unfinished: " in said
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        "index.html", "leaderboard.csv", "leaderboard.json",
        "methods/exemplar_masking.html", "methods/replay.html",
    ]  # fmt: skip
    data = json.loads((out / "leaderboard.json").read_text())
    assert data == data_of(out / "index.html")
    assert [name for name, _ in data["left_out"]] == ["forged", "unfinished"]
    assert {entry["level"] for entry in data["entries"]} == {Level.CONSISTENT}
    lines = list(csv.DictReader((out / "leaderboard.csv").read_text().splitlines()))
    assert {line["method"] for line in lines} == {"exemplar_masking", "replay"}
    assert {line["level"] for line in lines} == {"consistent"}
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    build.build(results, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_pages_of_methods_that_are_gone_are_removed(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build.build(results, out)
    (out / "methods" / "mine.html").write_text("not of the board")
    for order in (1993, 1994):
        for file in (results / f"r{order}").iterdir():
            file.unlink()
    build.build(results, out)
    assert {path.name for path in (out / "methods").iterdir()} == {
        "exemplar_masking.html",
        "mine.html",
    }


def test_what_maintainers_recorded_lifts_a_row_as_far_as_its_least_run(
    results: Path, tmp_path: Path
) -> None:
    record = Record(Level.REPRODUCED, "run again", "")
    names = ("em1993", "em1994", "r1993")
    write_record(results, {files_of(results / n): record._replace(folder=n) for n in names})
    (results / "forged" / RECORD).write_text((results / RECORD).read_text())
    build.build(results, tmp_path / "site")
    entries = json.loads((tmp_path / "site" / "leaderboard.json").read_text())["entries"]
    assert {e["method"]: e["level"] for e in entries} == {
        "exemplar_masking": Level.REPRODUCED,
        "replay": Level.CONSISTENT,
    }


def test_of_equal_results_the_one_that_was_verified_is_shown(results: Path, tmp_path: Path) -> None:
    """A copy with another word about the hardware takes nobody's place."""
    copied = shutil.copytree(results / "r1993", results / "a-copy")
    change(copied, hardware__device_name="mine")
    record = Record(Level.REPRODUCED, "run again", "r1993")
    write_record(results, {files_of(results / "r1993"): record})
    build.build(results, tmp_path / "site")
    entries = json.loads((tmp_path / "site" / "leaderboard.json").read_text())["entries"]
    (runs,) = (entry["runs"] for entry in entries if entry["method"] == "replay")
    found = {run["folder"]: run["level"] for run in runs}
    assert found == {"r1993": Level.REPRODUCED, "r1994": Level.CONSISTENT}


def test_what_nothing_could_contradict_is_said(results: Path, tmp_path: Path) -> None:
    build.build(results, tmp_path / "site")
    data = json.loads((tmp_path / "site" / "leaderboard.json").read_text())
    said = {line for b in data["boards"] for r in b["readings"].values() for line in r["remarks"]}
    assert any("compare with: labels, test part, data, captions" in line for line in said)
    build.build(COMMITTED, tmp_path / "own")  # all are of data that is shipped, and re-predicted
    assert "compare with: " not in (tmp_path / "own" / "leaderboard.json").read_text()


def test_nothing_to_show_is_said_and_nothing_written(
    tmp_path: Path, synthetic_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic_run(tmp_path / "results", **SMALL, complete=False)
    out = tmp_path / "site"
    assert command.main(["build", str(tmp_path / "results"), "--out", str(out)]) == 2
    assert "no result that can be shown" in capsys.readouterr().err
    assert command.main(["build", str(tmp_path / "nowhere"), "--out", str(out)]) == 2
    assert command.main(["build", str(tmp_path)]) == 2
    assert not out.exists()


def test_no_other_page_is_overwritten(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site"
    out.mkdir()
    (out / "index.html").write_text("<title>My home page</title>")
    (out / "README.md").write_text("mine")
    assert command.main(["build", str(results), "--out", str(out)]) == 2
    assert f"{out / 'index.html'} is not part of such a page" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {"index.html", "README.md"}
    (out / "index.html").unlink()
    (out / "methods").mkdir()
    assert command.main(["build", str(results), "--out", str(out)]) == 2
    assert f"{out / 'methods'} is not part of such a page" in capsys.readouterr().err
    (out / "methods").rmdir()
    assert command.main(["build", str(results), "--out", str(out)]) == 0
    assert command.main(["build", str(results), "--out", str(out)]) == 0
    assert (out / "README.md").read_text() == "mine"
    assert command.main(["build", str(results), "--out", str(results)]) == 2
    assert command.main(["build", str(results), "--out", str(results / "r1993")]) == 2
    assert "is a folder of results" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["methods", "leaderboard.csv", "leaderboard.json", "index.html"])
def test_nothing_is_written_through_a_link(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out, mine = tmp_path / "site", tmp_path / "mine"
    build.build(results, out)
    (out / name).rename(mine)
    (out / name).symlink_to(mine)
    before = {path: path.read_bytes() for path in (mine, *mine.glob("*")) if path.is_file()}
    for path in mine.glob("*"):
        path.write_text("another")
        before[path] = b"another"
    assert command.main(["build", str(results), "--out", str(out)]) == 2
    assert f"{out / name} is not part of such a page" in capsys.readouterr().err
    assert (out / name).is_symlink()
    assert {path: path.read_bytes() for path in before} == before


def test_pages_of_others_among_those_of_methods_stay(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site"
    build.build(results, out)
    mine, own = out / "methods" / "notes.html", out / "methods" / "replay.html"
    mine.write_text("<p>of its owner")
    value = json.loads((out / "leaderboard.json").read_text())
    value["entries"][0]["page"] = "methods/notes.html"
    (out / "leaderboard.json").write_text(json.dumps(value))
    build.build(results, out)
    own.write_text(mine.read_text())
    assert command.main(["build", str(results), "--out", str(out)]) == 2
    assert f"{own} is not part of such a page" in capsys.readouterr().err
    assert own.read_text() == mine.read_text() == "<p>of its owner"


def test_what_cannot_be_an_earlier_page_is_told_or_replaced(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, loop = tmp_path / "site", tmp_path / "loop"
    build.build(results, out)
    before = (out / "leaderboard.json").read_bytes()
    (out / "leaderboard.json").write_text("[" * 100_000)
    build.build(results, out)
    assert (out / "leaderboard.json").read_bytes() == before
    (out / "leaderboard.json").unlink()
    os.mkfifo(out / "leaderboard.json")
    loop.symlink_to(loop)
    long = tmp_path / ("x" * 300)
    for place, to, message in (
        (results, out, f"{out / 'leaderboard.json'} is not part of such a page"),
        (results, loop, f"{loop} cannot be written"),
        (loop, tmp_path / "new", "is a link"),
        (long, tmp_path / "new", "does not exist"),
    ):
        assert command.main(["build", str(place), "--out", str(to)]) == 2
        assert message in capsys.readouterr().err
    for words in (["verify"], ["verify", str(results), "--record"], ["publish", "--space", "a/b"]):
        assert command.main([*words, str(long)]) == 2
        assert str(long) in capsys.readouterr().err


def test_a_broken_record_is_told_with_its_own_remedy(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / RECORD).write_text("{")
    assert command.main(["build", str(results), "--out", str(tmp_path / "site")]) == 2
    error = capsys.readouterr().err
    assert f"{results / RECORD} is not valid JSON" in error
    assert "restore it, or remove it" in error


def test_folders_that_cannot_be_made_are_named(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs a file system where nothing can be made")
    assert command.main(["build", str(results), "--out", "/proc/site"]) == 2
    error = capsys.readouterr().err
    assert "/proc/site cannot be written (No such file or directory): choose another" in error


def scripts_and_styles(page: Path) -> tuple[list[str], list[str]]:
    text = page.read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    return scripts, re.findall(r"<style>(.*?)</style>", text, re.S)


def hash_of(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def test_pages_allow_their_own_script_and_style_alone(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build.build(results, out)
    for page in (out / "index.html", out / "methods" / "exemplar_masking.html"):
        tags = Tags(page).found
        (policy,) = (a["content"] for t, a in tags if a.get("http-equiv"))
        (script,), (style,) = scripts_and_styles(page)
        assert policy is not None
        assert policy.startswith(
            f"default-src 'none'; script-src {hash_of(script)}; style-src-elem {hash_of(style)};"
        )
        assert "'unsafe-inline'" not in policy.replace("style-src-attr 'unsafe-inline'", "")
        assert not re.search(r"@import|url\((?!#)", style)
        for tag, attributes in tags:
            assert tag not in {"link", "iframe", "object", "embed", "base"}
            assert not any(name.startswith("on") or name == "src" for name in attributes)
            address = attributes.get("href") or ""
            assert re.match(r"(data:image/|#|methods/|leaderboard\.|\.\./index\.html|$)", address)


def test_scripts_never_parse_text_as_markup() -> None:
    for path in SITE.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", text)
        assert not re.search(r"fetch\(|XMLHttp|import\(|https?://(?!www\.w3\.org/2000/svg)", text)


def test_names_cannot_become_markup(
    tmp_path: Path, synthetic_run: Make, gallery_item: Item
) -> None:
    root = tmp_path / "results"
    names = [f"{EVIL}{i}" for i in range(7)]
    evil = {"names": names, "settings": {EVIL: EVIL}, "config": {"note": EVIL}}
    synthetic_run(root / "a", **SMALL, **evil)
    synthetic_run(root / "b", **SMALL, **{**evil, "settings": {EVIL: EVIL * 2}})
    for name in "ab":
        about = {"name": "Exemplar masking", "paper": EVIL, "link": "javascript:alert(1)"}
        change(root / name, about=about, dataset__captions=EVIL)
    item = gallery_item(caption="x", class_name=EVIL, file_name=EVIL, codec=EVIL)
    item["words"] = [{"text": EVIL, "kept": True}]
    (root / "a" / "gallery.json").write_text(json.dumps([item]))
    found = collect([Shown(read(root / n), root / n, f"{EVIL}{n}") for n in "ab"])
    build.write(found, tmp_path / "site")
    write_comparison([root / "a", root / "b"], tmp_path / "all.html")
    pages = [*(tmp_path / "site").rglob("*.html"), tmp_path / "all.html"]
    assert len(pages) == 3
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<!--" not in text
        assert "javascript:" not in text
    index = tmp_path / "site" / "index.html"
    assert [t for t, _ in Tags(index).found].count("script") == 2
    assert EVIL in json.dumps(data_of(index), ensure_ascii=False).replace('\\"', '"')
    method = tmp_path / "site" / "methods" / "exemplar_masking.html"
    assert [t for t, _ in Tags(method).found].count("script") == 1
    assert EVIL in Tags(method).text


def test_a_spreadsheet_does_not_compute_what_a_name_says(
    tmp_path: Path, synthetic_run: Make
) -> None:
    synthetic_run(tmp_path / "results", **SMALL)
    change(tmp_path / "results", about={"name": "=HYPERLINK(1)"})
    found = collect([Shown(read(tmp_path / "results"), tmp_path / "results", "x")])
    build.write(found, tmp_path / "site")
    (line,) = csv.DictReader((tmp_path / "site" / "leaderboard.csv").read_text().splitlines())
    assert line["label"] == "'=HYPERLINK(1)"


def test_page_of_a_method(results: Path, tmp_path: Path) -> None:
    build.build(results, tmp_path / "site")
    page = Tags(tmp_path / "site" / "methods" / "exemplar_masking.html")
    for words in (
        "Where it stands", "of 2", "Settings", "tau_image", "3e3e3e3e", "Accuracy matrix",
        "mean over 2 runs", "What an exemplar is", "red ball", "verification does not look",
        "python -m benchmark.run", "em1994", "consistent",
    ):  # fmt: skip
        assert words in page.text, words
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(set(ids)) == len(ids) == 2
    assert "What an exemplar is" not in Tags(tmp_path / "site" / "methods" / "replay.html").text


def test_the_head_of_a_method_page_is_that_of_the_highest_level(
    tmp_path: Path, synthetic_run: Make
) -> None:
    for name, order in (("a", 1993), ("b", 1994)):
        synthetic_run(tmp_path / name, **SMALL, class_order_seed=order)
        about = {"name": name * 3, "paper": "A", "link": f"https://{name}.example"}
        change(tmp_path / name, about=about)
    levels = {"a": Level.CONSISTENT, "b": Level.REPREDICTED}
    shown = [Shown(read(tmp_path / n), tmp_path / n, n, level) for n, level in levels.items()]
    build.write(collect(shown), tmp_path / "site")
    text = (tmp_path / "site" / "methods" / "exemplar_masking.html").read_text()
    assert "<h1>bbb</h1>" in text
    assert "https://b.example" in text
    assert "https://a.example" not in text


def test_settings_that_differ_say_where(tmp_path: Path, synthetic_run: Make) -> None:
    for memory, tau in ((1, 0.5), (5, 1.0)):
        folder = tmp_path / "results" / str(memory)
        synthetic_run(folder, **SMALL, memory=memory, settings={"tau_image": tau, "codec": "webp"})
    build.build(tmp_path / "results", tmp_path / "site")
    text = Tags(tmp_path / "site" / "methods" / "exemplar_masking.html").text
    assert re.search(r"Exemplar masking1 sample per class[^,]*, in bytes30\.5", text)
    assert re.search(r"Exemplar masking5 samples per class[^,]*, in bytes31\.0", text)
    assert "codecwebp" in text


def test_galleries_on_one_page_show_their_own_pictures(
    tmp_path: Path, synthetic_run: Make, gallery_item: Item
) -> None:
    for i, tau in enumerate((0.5, 1.0)):
        folder = tmp_path / "results" / str(i)
        synthetic_run(folder, **SMALL, settings={"tau_image": tau})
        (folder / "gallery.json").write_text(json.dumps([gallery_item()]))
    build.build(tmp_path / "results", tmp_path / "site")
    page = Tags(tmp_path / "site" / "methods" / "exemplar_masking.html")
    ids = [attributes["id"] for tag, attributes in page.found if tag == "image"]
    used = {attributes["href"] for tag, attributes in page.found if tag == "use"}
    assert len(set(ids)) == 2
    assert used == {f"#{name}" for name in ids}


def runs(root: Path) -> Sequence[Path]:
    return sorted(path.parent for path in root.rglob("result.json"))


def test_comparison_never_mixes_currencies(tmp_path: Path, synthetic_run: Make) -> None:
    for seed in (0, 1):
        for memory in (1, 5):
            kept = {"seed": seed, "memory": memory, **SMALL}
            synthetic_run(tmp_path / f"em{memory}{seed}", **kept)
            synthetic_run(tmp_path / f"ssf{memory}{seed}", **kept, method="replay", share=1.0)
        synthetic_run(tmp_path / f"samples{seed}", **SMALL, seed=seed, currency="samples")
    page = write_comparison(runs(tmp_path), tmp_path / "all.html")
    data = data_of(page)
    found = {
        (b["amount"], b["facets"][6], len(b["readings"]["own"]["rows"])) for b in data["boards"]
    }
    assert found == {(1, "bytes", 2), (5, "bytes", 2), (5, "samples", 1)}
    assert "10 runs of 2 methods in 3 tables" in Tags(page).text
    assert all(entry["level"] is None and entry["page"] is None for entry in data["entries"])


def test_comparison_needs_a_finished_run(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path / "a", **SMALL, complete=False)
    with pytest.raises(UserError, match="none of these runs is finished"):
        write_comparison([tmp_path / "a"], tmp_path / "all.html")
    synthetic_run(tmp_path / "b", **SMALL)
    (tmp_path / "b" / "report.html").write_text("")
    data = data_of(write_comparison(runs(tmp_path), tmp_path / "all.html"))
    assert data["left_out"] == [["a", "unfinished after 3 phases"]]
    (entry,) = data["entries"]
    assert entry["runs"][0]["report"] == "b/report.html"


def test_comparison_refuses_one_run_with_two_outcomes(tmp_path: Path, synthetic_run: Make) -> None:
    synthetic_run(tmp_path / "a", **SMALL)
    synthetic_run(tmp_path / "b", **SMALL, skill=0.3)
    with pytest.raises(UserError, match="more than once"):
        write_comparison(runs(tmp_path), tmp_path / "all.html")
