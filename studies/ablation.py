"""Why the defaults are what they are: `python -m studies.ablation --jobs 2`, into docs/ablation.md.

One setting at a time is changed from the default of `exemplar_masking`. Everything is measured on a
validation part of the training data; the test data take no part in any choice.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmark import results
from benchmark.cells import cells
from benchmark.config import RunConfig
from benchmark.formatting import spread_words
from benchmark.metrics import mean_std
from benchmark.sweep.command import How, sweep
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import replace_section

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
        evaluate_on="validation", seeds=tuple(given.seeds),
    )  # fmt: skip
    changed = {
        change: () if _is_default(change) else (change,)
        for changes in CHANGES.values()
        for change in changes
    }
    rows = {
        change: cells(dataclasses.replace(base, set=settings))
        for change, settings in changed.items()
    }
    whole = dataclasses.replace(base, method=("replay",))
    replay = {"default": cells(whole)}
    for what, field, value in REPLAY:
        differing: dict[str, Any] = {field: (value,) if field == "set" else value}
        name = str(value) if field == "set" else f"{what} {value:g}"
        replay[name] = cells(dataclasses.replace(whole, **differing))
    groups = [*replay.values(), *rows.values()]
    if sweep([cell for group in groups for cell in group], How(jobs=given.jobs)):
        raise UserError("the page is written once all cells are done")
    lines = [_line("replay of whole samples (replay)", *item) for item in replay.items()]
    for what, changes in CHANGES.items():
        for change in changes:
            name = change if changed[change] else f"**{change}** (default)"
            lines.append(_line(what, name, rows[change]))
    text = markdown(lines)
    replace_section(PAGE, f"memory {given.memory} {given.currency}", text)
    print(text)


def _line(what: str, change: str, runs: Sequence[RunConfig]) -> list[str]:
    found = [results.read(cell.folder()) for cell in runs]
    memories = [run["phases"][-1]["memory"] for run in found]
    counts = [
        memory["exemplars"] / run["dataset"]["num_classes"]
        for memory, run in zip(memories, found, strict=True)
    ]
    kilobytes = statistics.fmean(memory["bytes"] for memory in memories) / 1000
    metrics: Any = [run["metrics"] for run in found]
    shown = ("average_incremental_accuracy", "last_accuracy")
    figures = [spread_words(mean_std([one[name] for one in metrics])) for name in shown]
    return [what, change, *figures, f"{statistics.fmean(counts):.1f}", f"{kilobytes:.0f}"]


def markdown(lines: Iterable[Sequence[str]]) -> str:
    """The page's table."""
    header = ["part", "setting", "average accuracy", "last accuracy", "exemplars per class", "kB"]
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _is_default(change: str) -> bool:
    from baselines.exemplar_masking import MaskingSettings

    key, _, value = change.partition("=")
    default = getattr(MaskingSettings(), key)
    if isinstance(default, float):
        return default == float(value)
    return str(default).lower() == value


if __name__ == "__main__":
    sys.exit(main())
