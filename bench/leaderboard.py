"""What building a board of 1,000 results costs: seconds of its parts, and bytes of the page.

Results are made up by the rule of the tests: methods, memories, currencies, phases, five class
orders. They stay in FOLDER if one is given, where a second call finds them.

    python bench/leaderboard.py [--results 1000] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.leaderboard import build
from benchmark.leaderboard.check import check

ROOT = Path(__file__).resolve().parents[1]
REPLAY = {
    "exemplar_masking": 0.22, "random_patches": 0.22, "core_tokens": 0.25, "replay": 1.0,
    "mrdc": 0.5, "codec": 0.3, "cim": 0.5, "low_resolution": 0.1, "icarl": 1.0, "wa": 1.0,
    "er": 1.0, "er_ace": 1.0, "derpp": 1.0,
}  # fmt: skip
FREE = ("l2p", "ease", "ranpac", "simplecil", "finetune", "joint")
BUDGETS = ((5, "bytes"), (5, "samples"), (1, "bytes"), (1, "samples"), (3, "bytes"), (10, "bytes"))
ORDERS = range(1993, 1998)


def cells() -> Iterator[dict[str, Any]]:
    """Arguments of `make_run`, for a few thousand results."""
    for epochs, phases in itertools.product(range(1, 9), (10, 5, 20)):
        common = {"epochs": epochs, "sizes": (40 // phases,) * phases}
        for method, order in itertools.product(FREE, ORDERS):
            kind = None if method in ("finetune", "joint") else "memory-free"
            yield {**common, "method": method, "class_order_seed": order, "memory": 0, "kind": kind}
        for (memory, currency), order in itertools.product(BUDGETS, ORDERS):
            for method, share in REPLAY.items():
                heads = ("linear",) if method in ("exemplar_masking", "icarl", "replay") else ()
                at = {"class_order_seed": order, "memory": memory, "currency": currency}
                yield {**common, **at, "method": method, "share": share, "others": heads}


def make(folder: Path, count: int) -> None:
    """Write so many results, those that are not there."""
    path = ROOT / "tests" / "benchmark" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_up", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for number, cell in enumerate(itertools.islice(cells(), count)):
        if not (folder / f"{number:05d}" / "result.json").exists():
            module.make_run(folder / f"{number:05d}", **cell)
            if number % 100 == 99:
                print(f"made {number + 1} of {count}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = given.folder or Path(temporary, "results"), Path(temporary, "site")
        make(folder, given.results)
        begun = processor()
        check([folder])
        checked = processor() - begun
        begun, wall = processor(), time.perf_counter()
        build.build(folder, out)
        built, wall = processor() - begun, time.perf_counter() - wall
        pages = [path.stat().st_size for path in (out / "methods").iterdir()]
        print(
            f"\n{given.results} results: {built:.1f} s of processor time ({wall:.1f} s by the "
            f"clock), of which {checked:.1f} s to check them; index.html "
            f"{(out / 'index.html').stat().st_size / 1e6:.2f} MB, {len(pages)} pages of methods up "
            f"to {max(pages) / 1e6:.2f} MB; {interactive(out / 'index.html')}"
        )


def interactive(page: Path) -> str:
    """How long a browser takes until a click has sorted the table."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if importlib.util.find_spec("playwright") is None or chromium is None:
        return "no browser"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        window = browser.new_page()
        begun = time.perf_counter()
        window.goto(page.resolve().as_uri())
        window.locator("th.metric button").click()
        seconds = time.perf_counter() - begun
        browser.close()
    return f"sorted by a click {seconds:.2f} s after it was asked for"


def processor() -> float:
    """Seconds of processor time of this process and those it has waited for."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
