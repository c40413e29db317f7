"""The comparison in docs/results.md: `python -m studies.mini --jobs 2`.

Mini in 10 phases, memory 1 and 5, three seeds, both currencies. The oracle is replay of as many
whole samples as exemplar masking keeps; the share is how much of the way to it masking goes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.config import RunConfig
from mm_imagenet_r.files import replace_section
from studies import grid

FREE = ("finetune", "joint")  # no memory: the same in every setting
UNDER_BUDGET = ("replay", "random_patches", "exemplar_masking@paper", "exemplar_masking")
CODEC_ONLY = "exemplar_masking@whole"  # all patches through the same codec; no use without bytes
SEEDS = (0, 1, 2)
PAGE = Path("docs/results.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing and write the page."""
    command = argparse.ArgumentParser(prog="python -m studies.mini", description=__doc__)
    command.add_argument("--jobs", type=int, default=1, help="processes side by side")
    command.add_argument("--output", type=Path, default=Path("runs"))
    command.add_argument("--device", default="cpu")
    given = command.parse_args(arguments)
    base = RunConfig(output=given.output, device=given.device)
    free = {m: _cells(base, m) for m in FREE}
    table = {
        (currency, memory): {
            **{m: _cells(base, m, memory=memory, currency=currency) for m in _methods(currency)},
            "oracle": _cells(
                base,
                "replay",
                memory=memory,
                currency=currency,
                match_exemplars_of="exemplar_masking",
            ),
        }
        for currency in ("bytes", "samples")
        for memory in ("5", "1")
    }
    everything = [*free.values(), *(c for group in table.values() for c in group.values())]
    grid.run_all([cell for cells in everything for cell in cells], given.jobs)
    text = "".join(_setting(key, cells | free) for key, cells in table.items())
    replace_section(PAGE, "comparison", text)
    replace_section(Path("docs/mini.md"), "room", _room(free, table["bytes", "5"]))
    print(text)
    return 0


def _room(free: dict[str, list[RunConfig]], cells: dict[str, list[RunConfig]]) -> str:
    found = {m: grid.last(grid.load(group)).mean for m, group in (free | cells).items()}
    rows = [
        ["joint above ssf at memory 5", f"{found['joint'] - found['ssf']:.1f}"],
        ["oracle above ssf at memory 5", f"{found['oracle'] - found['ssf']:.1f}"],
    ]
    return grid.markdown(["last accuracy", "points"], rows)


def _methods(currency: str) -> tuple[str, ...]:
    return (CODEC_ONLY, *UNDER_BUDGET) if currency == "bytes" else UNDER_BUDGET


def _cells(base: RunConfig, method: str, **changes: str) -> list[RunConfig]:
    return grid.with_seeds(dataclasses.replace(base, method=(method,), **changes), SEEDS)  # type: ignore[arg-type]


def _setting(key: tuple[str, str], cells: dict[str, list[RunConfig]]) -> str:
    currency, memory = key
    found = {method: grid.load(group) for method, group in cells.items()}
    order = ["finetune", *_methods(currency), "oracle", "joint"]
    low, high = grid.average(found["replay"]).mean, grid.average(found["oracle"]).mean
    low_last, high_last = grid.last(found["replay"]).mean, grid.last(found["oracle"]).mean
    rows = []
    for method in order:
        group = found[method]
        mean, last = grid.average(group), grid.last(group)
        counts = ["-"] * 4
        if method not in FREE:
            counts = [f"{grid.exemplars(group):.1f}", f"{grid.kilobytes(group):.0f}"]
            counts += [_share(mean.mean, low, high), _share(last.mean, low_last, high_last)]
        rows.append([method.replace("_", " "), grid.spread(mean), grid.spread(last), *counts])
    header = ["method", "average accuracy", "last accuracy", "exemplars a class", "kB",
              "share of the gap, average", "last"]  # fmt: skip
    return f"\n### Memory {memory}, currency {currency}\n\n" + grid.markdown(header, rows)


def _share(value: float, low: float, high: float) -> str:
    return f"{(value - low) / (high - low):.0%}" if high > low else "-"


if __name__ == "__main__":
    sys.exit(main())
