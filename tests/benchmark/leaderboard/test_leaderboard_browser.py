"""The board in a browser: sorted, filtered, read by machines, attacked by names.

It takes the extra `dev` and some Chromium; without one of them it is skipped.
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running import write_result

from benchmark.leaderboard import build
from benchmark.leaderboard.levels import Level
from benchmark.report.board.collect import Shown, collect
from benchmark.results import read
from benchmark.results.schema import Result

playwright = pytest.importorskip("playwright.sync_api")

Make = Callable[..., Result]
SMALL: dict[str, Any] = {"sizes": (3, 2, 2), "test": 6}
EVIL = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SLOW = 120_000  # milliseconds; a busy machine is no fault of the page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        own = Path(driver.chromium.executable_path)
        found = next(filter(None, map(shutil.which, NAMES)), own if own.exists() else None)
        if found is None:
            pytest.skip("no Chromium")
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=SLOW)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    synthetic_run: Make,
    gallery_item: Callable[..., dict[str, Any]],
) -> Path:
    """Two numbers of phases, two memories, two currencies; names that would be scripts."""
    root = tmp_path_factory.mktemp("board")
    made = [
        ("exemplar_masking", {"settings": {EVIL: EVIL}, "others": ("linear",), "skill": 0.05}),
        ("replay", {"share": 1.0}),
        ("mrdc", {"share": 0.5}),
        ("ease", {"memory": 0, "kind": "memory-free"}),
        ("joint", {"memory": 0, "skill": 0.1}),
    ]
    levels = (Level.REPRODUCED, Level.REPREDICTED, Level.CONSISTENT, None, Level.CONSISTENT)
    found = []
    for (method, options), level in zip(made, levels, strict=True):
        for order in (1993, 1994, 1995):
            for memory, currency, sizes in (
                (5, "bytes", (3, 2, 2)),
                (1, "bytes", (3, 2, 2)),
                (1, "samples", (3, 2, 2)),
                (5, "bytes", (4, 3)),
            ):
                if order != 1993 and (memory, sizes) != (5, (3, 2, 2)):
                    continue
                given = {"memory": memory, **SMALL, "sizes": sizes, **options}
                folder = root / "results" / f"{method}{order}{memory}{currency}{len(sizes)}"
                synthetic_run(
                    folder, method=method, class_order_seed=order, currency=currency, **given
                )
                value = json.loads((folder / "result.json").read_text())
                value["about"] = {"name": f"{method} {EVIL}" if method == "mrdc" else ""}
                value["dataset"]["captions"] = EVIL
                write_result(folder / "result.json", value)
                found.append(Shown(read(folder), folder, f"{EVIL}{folder.name}", level))
    items = [gallery_item(class_name=EVIL, file_name=EVIL)]
    (root / "results" / "exemplar_masking19935bytes3" / "gallery.json").write_text(
        json.dumps(items)
    )
    build.write(collect(found), root / "site")
    return root / "site"


class Watched:
    """A page and what it said or asked for that it should not have."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}} | options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(SLOW)
        self.faults: list[str] = []
        self.page.on("console", lambda message: self.faults.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.asked: list[str] = []

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, address: str) -> Any:
        self.page.goto(address)
        return self.page


@pytest.fixture
def watched(browser: Any) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(**options: Any) -> Watched:
        made.append(Watched(browser, **options))
        return made[-1]

    yield make
    for one in made:
        assert one.faults == []
        assert all(url.startswith(("file://", "http://127.0.0.1", "data:")) for url in one.asked)
        one.context.close()


@pytest.fixture
def board(watched: Callable[..., Watched], site: Path) -> Any:
    """The page, opened from the file system."""
    return watched().open((site / "index.html").as_uri())


def methods(page: Any) -> list[str]:
    """The rows in their order."""
    return [text.strip() for text in page.locator("tr .method small").all_inner_texts()]


def test_it_opens_with_the_main_table_and_charts(board: Any) -> None:
    assert (
        board.locator("h2").first.inner_text() == "Memory: 5 samples per class = 17.1 kB, in bytes"
    )
    assert set(methods(board)) == {"exemplar_masking", "replay", "mrdc", "ease", "joint"}
    ranks = board.locator("td.rank").all_inner_texts()
    assert sorted(ranks) == ["", "1", "2", "3", "4"]
    assert ranks[methods(board).index("joint")] == ""
    means = [float(t.split()[-3]) for t in board.locator("td.metric").all_inner_texts()]
    assert means == sorted(means, reverse=True)
    assert board.locator(".chart").count() == 3
    assert board.locator(".chart svg > title").all_text_contents() == [
        "Accuracy as classes arrive", "Accuracy over the memory", "Accuracy against bytes",
    ]  # fmt: skip
    assert board.locator("tr .runs circle").count() >= 3 * 4


def test_a_sentence_says_which_row_is_best_and_by_how_much(board: Any) -> None:
    verdict = board.locator("#verdict")
    rows = board.locator("table.board tbody tr:not(.bound)")
    names = [name.strip() for name in rows.locator(".method span > bdi").all_inner_texts()]
    shown = rows.locator("td.difference").all_inner_texts()
    level = [i for i in range(1, 4) if rows.nth(i).locator("td.metric abbr").count()]
    following = next((i for i in range(1, 4) if i not in level), None)
    words = verdict.inner_text()
    mean = rows.first.locator("td.metric").inner_text().removeprefix("≈ ")
    assert words.startswith(f"Best average accuracy: {names[0]}, {mean}\N{NO-BREAK SPACE}%")
    for i in (*level, *([] if following is None else [following])):
        assert f"{names[i]} ({shown[i].strip()})" in words
    assert ("No difference to it is shown for" in words) == bool(level)
    assert ("Next: " in words) == (following is not None)
    board.get_by_role("searchbox").fill("nothing like it")
    assert verdict.inner_text() == words
    board.get_by_role("radio", name="Last accuracy").check()
    assert verdict.inner_text().startswith("Best last accuracy: ")
    assert "no interval" not in verdict.inner_text()
    board.locator("select[name=memory]").select_option("1 sample per class")
    assert ", no interval)" in verdict.inner_text()  # one class order


def test_headers_sort_with_mouse_and_keyboard(board: Any) -> None:
    falling = methods(board)
    header = board.locator("th.metric button")
    assert board.locator("th.metric").get_attribute("aria-sort") == "descending"
    header.click()
    assert board.locator("th.metric").get_attribute("aria-sort") == "ascending"
    assert methods(board) == falling[::-1]
    board.locator("thead th.name button").focus()
    board.keyboard.press("Enter")
    names = board.locator("tr .method bdi").all_inner_texts()[::2]
    assert names == sorted(names, key=str.lower)
    assert board.evaluate("document.activeElement.closest('th').className") == "name"
    board.keyboard.press("Space")
    assert board.locator("tr .method bdi").all_inner_texts()[::2] == names[::-1]
    kept = board.locator("td.kept").all_inner_texts()
    assert all(text.endswith((" B", "kB", "MB")) for text in kept)


def test_filters_hide_rows_and_keep_their_places(board: Any) -> None:
    places = dict(zip(methods(board), board.locator("td.rank").all_inner_texts(), strict=True))
    board.get_by_role("searchbox").fill("re")
    assert methods(board) == ["replay"]
    assert board.locator("td.rank").all_inner_texts() == [places["replay"]]
    assert "4 hidden" in board.locator("#status").inner_text()
    board.get_by_role("searchbox").fill("nothing like it")
    assert board.locator("td.none").inner_text() == "No row matches."
    board.get_by_role("searchbox").fill("")
    board.get_by_label("bounds").uncheck()
    assert "joint" not in methods(board)
    board.get_by_label("Verified").select_option(label="re-predicted or more")
    assert set(methods(board)) == {"exemplar_masking", "replay", "ease"}


def test_facets_lead_to_one_table_at_a_time(board: Any) -> None:
    memory, phases, currency = (
        board.locator(f"select[name={name}]") for name in ("memory", "phases", "currency")
    )
    assert memory.locator("option").all_text_contents() == [
        "1 sample per class",
        "5 samples per class",
    ]
    memory.select_option("1 sample per class")
    assert "1 sample per class = 3.41 kB, in bytes" in board.locator("h2").first.inner_text()
    assert "#memory=1+sample+per+class" in board.url
    currency.select_option("samples")
    assert board.locator("h2").first.inner_text() == "Memory: 1 sample per class, in samples"
    assert memory.locator("option").all_text_contents() == ["1 sample per class"]
    phases.select_option("2 phases, 4 classes first, then 3 each")
    assert "5 samples per class = 17.1 kB, in bytes" in board.locator("h2").first.inner_text()
    assert board.evaluate("document.activeElement.name") == "phases"
    address = board.url
    board.goto("about:blank")
    board.goto(address)
    assert phases.input_value() == "2 phases, 4 classes first, then 3 each"
    board.goto(address.partition("#")[0] + "#memory=no+such&reading=__proto__&sort=constructor")
    assert board.locator("table.board").count() == 1


def test_classifiers_and_metrics_rank_anew(board: Any) -> None:
    board.get_by_label("Classifiers").select_option("all")
    assert methods(board).count("exemplar_masking") == 2
    board.get_by_label("Classifiers").select_option("own")
    board.get_by_role("radio", name="Last accuracy").check()
    assert board.locator("th.metric").inner_text().startswith("Last")
    means = [float(t.split()[-3]) for t in board.locator("td.metric").all_inner_texts()]
    assert means == sorted(means, reverse=True)
    assert "metric=last" in board.url


def test_rows_open_and_lines_are_chosen(board: Any) -> None:
    more = board.get_by_role("button", name="Open details of Replay")
    more.click()
    details = board.locator("tr.details")
    assert details.locator(".plain").last.locator("tbody tr").count() == 3
    assert "forgetting chaudhry" in details.inner_text()
    assert board.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    board.keyboard.press("Enter")
    assert details.count() == 0
    lines = board.locator("#phases-title").locator("xpath=..").locator("polyline:not(.other)")
    before = lines.count()
    board.get_by_label("Show Replay in color in the charts").uncheck()
    assert lines.count() == before - 1
    board.locator("#legend button").first.click()
    assert lines.count() == before - 2
    board.locator(".chart summary").first.click()
    assert board.locator(".chart").first.locator("tbody tr").count() == 5


def test_names_run_nothing_and_are_shown_as_they_are(
    site: Path, watched: Callable[..., Watched]
) -> None:
    board = watched().open((site / "index.html").as_uri())
    names = board.locator("tr .method").all_inner_texts()
    assert any(EVIL in name for name in names)
    for button in board.locator("button.more").all():
        button.click()
    assert EVIL in board.locator("tr.details").first.inner_text()
    assert board.locator("img").count() == 0
    for path in sorted((site / "methods").iterdir()):
        page = watched().open(path.as_uri())
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 1


def test_even_markup_that_got_in_could_not_run(site: Path, watched: Callable[..., Watched]) -> None:
    for name in ("index.html", "methods/exemplar_masking.html"):
        one = watched()
        page = one.open((site / name).as_uri())
        evil = "<img src=x onerror=alert(1)><iframe srcdoc='<script>alert(2)</script>'></iframe>"
        page.evaluate("text => document.body.insertAdjacentHTML('beforeend', text)", evil)
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'),"
            " {textContent: 'alert(3)'}))"
        )
        page.wait_for_timeout(300)
        assert len(one.faults) >= 2
        assert all("Content Security Policy" in fault for fault in one.faults)
        one.faults.clear()


def test_a_page_for_each_method_and_back(board: Any) -> None:
    board.get_by_role("link", name="Exemplar masking").first.click()
    board.wait_for_url("**/methods/exemplar_masking.html")
    assert board.locator("h1").inner_text() == "Exemplar masking"
    for words in ("Where it stands", "Settings", "Accuracy matrix", "What an exemplar is"):
        assert board.get_by_role("heading", name=words).count() == 1
    board.get_by_role("link", name="Leaderboard").click()
    board.wait_for_url("**/index.html")


def test_it_is_the_same_from_a_server(site: Path, watched: Callable[..., Watched]) -> None:
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        one = watched()
        page = one.open(f"http://127.0.0.1:{server.server_port}/")
        assert page.locator("table.board tbody tr").count() == 5
        assert len(one.asked) == 1
        with page.expect_download() as caught:
            page.get_by_role("link", name="CSV").click()
        assert Path(caught.value.path()).read_bytes() == (site / "leaderboard.csv").read_bytes()
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize("name", ["index.html", "methods/exemplar_masking.html"])
def test_it_fits_a_telephone(watched: Callable[..., Watched], site: Path, name: str) -> None:
    page = watched(viewport={"width": 390, "height": 844}).open((site / name).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    if name == "index.html":
        table = page.locator("#table")
        assert table.evaluate("table => table.scrollWidth <= table.clientWidth")
        page.locator("button.more").first.click()
        assert table.evaluate("table => table.scrollWidth <= table.clientWidth")
        assert page.locator("td.metric").first.is_visible()
        assert not page.locator("td.runs").first.is_visible()


def test_dark_and_print(watched: Callable[..., Watched], site: Path) -> None:
    page = watched(color_scheme="dark").open((site / "index.html").as_uri())
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(15, 19, 23)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert not page.locator("#filters").is_visible()
    assert page.locator("table.board").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1360, 390])
@pytest.mark.parametrize("name", ["index.html", "methods/exemplar_masking.html"])
def test_nothing_stands_in_the_way_of_assistive_technology(
    watched: Callable[..., Watched], site: Path, name: str, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options: dict[str, Any] = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    page = watched(**options).open((site / name).as_uri())
    if name == "index.html":
        page.locator("button.more").first.click()
        page.locator(".chart summary").first.click()
    found = axe.run(page).response
    assert [f"{v['id']}: {v['nodes'][0]['html']}" for v in found["violations"]] == []
