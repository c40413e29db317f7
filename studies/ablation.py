"""Why the defaults are what they are: `python -m studies.ablation --jobs 2`, into docs/ablation.md.

One setting at a time is changed from the default of `exemplar_masking`. Everything is measured on a
validation part of the training data; the test data take no part in any choice.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from mm_imagenet_r import command_line
from mm_imagenet_r.files import replace_section
from studies import grid

PAGE = Path("docs/ablation.md")
CHANGES: dict[str, tuple[str, ...]] = {
    "masked training of new samples": (
        "mask_prob=0", "mask_prob=0.5", "mask_prob=0.75", "mask_prob=1",
    ),
    "text mask": ("mask_text=false", "mask_text=true"),
    "attention source": ("attention=last", "attention=mean", "attention=rollout"),
    "rate": ("tau_image=0", "tau_image=0.7", "tau_image=1", "tau_image=1.3", "tau_image=1.6"),
    "selection": ("selection=cosine", "selection=herding", "selection=random"),
    "augmentation": ("text_swap_prob=0", "text_swap_prob=0.5", "text_swap_prob=1"),
    "codec": ("codec=auto", "codec=raw", "codec=jpeg", "codec=webp"),
    "fidelity": ("min_psnr=26", "min_psnr=28", "min_psnr=30", "min_psnr=34"),
}  # fmt: skip
# The other side gets the same chance: what replay of whole samples leaves open.
REPLAY = (
    ("selection", "set", "selection=random"),
    ("selection", "set", "selection=cosine"),
    ("distillation", "set", "distillation=1"),
    ("learning rate", "learning_rate", 3e-3),
    ("learning rate", "learning_rate", 2e-2),
    ("epochs", "epochs", 2 * RunConfig.epochs),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing and write the page; return the exit code."""
    return command_line.run(_main, arguments, has_processes=True)


def _main(arguments: Sequence[str] | None) -> None:
    command = argparse.ArgumentParser(prog="python -m studies.ablation", description=__doc__)
    command.add_argument("--jobs", type=int, default=1, help="processes side by side")
    command.add_argument("--output", type=Path, default=Path("runs/ablation"))
    command.add_argument("--device", default="cpu")
    command.add_argument("--memory", default="5")
    command.add_argument("--currency", default="bytes")
    command.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = command.parse_args(arguments)
    base = RunConfig(
        output=given.output, device=given.device, memory=given.memory, currency=given.currency,
        evaluate_on="validation",
    )  # fmt: skip
    default = grid.with_seeds(base, given.seeds)
    cells = {
        change: grid.with_seeds(dataclasses.replace(base, set=(change,)), given.seeds)
        for changes in CHANGES.values()
        for change in changes
        if not _is_default(change)
    }
    whole = dataclasses.replace(base, method=("replay",))
    replay = {"default": grid.with_seeds(whole, given.seeds)}
    for what, field, value in REPLAY:
        differing: dict[str, Any] = {field: (value,) if field == "set" else value}
        name = str(value) if field == "set" else f"{what} {value:g}"
        replay[name] = grid.with_seeds(dataclasses.replace(whole, **differing), given.seeds)
    groups = [default, *replay.values(), *cells.values()]
    grid.run_all([cell for group in groups for cell in group], given.jobs)
    rows = [_row("replay of whole samples (ssf)", name, group) for name, group in replay.items()]
    for what, changes in CHANGES.items():
        for change in changes:
            chosen = _is_default(change)
            name = f"**{change}** (default)" if chosen else change
            rows.append(_row(what, name, default if chosen else cells[change]))
    header = ["part", "setting", "average accuracy", "last accuracy", "exemplars a class", "kB"]
    text = grid.markdown(header, rows)
    replace_section(PAGE, f"memory {given.memory} {given.currency}", text)
    print(text)


def _row(what: str, change: str, cells: list[RunConfig]) -> list[str]:
    found = grid.load(cells)
    return [
        what, change, grid.spread(grid.average(found)), grid.spread(grid.last(found)),
        f"{grid.exemplars(found):.1f}", f"{grid.kilobytes(found):.0f}",
    ]  # fmt: skip


def _is_default(change: str) -> bool:
    from baselines.exemplar_masking import MaskingSettings

    key, _, value = change.partition("=")
    default = getattr(MaskingSettings(), key)
    if isinstance(default, float):
        return default == float(value)
    return str(default).lower() == value


if __name__ == "__main__":
    sys.exit(main())
