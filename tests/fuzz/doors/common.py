"""A method that learns at once, and the command that tries data without a run."""

from __future__ import annotations

import textwrap
from pathlib import Path

from ..door import Case

METHOD = "method.py"


def write_method(folder: Path) -> None:
    """The example in the docstring of `Method`, as a file."""
    from benchmark.method import Method

    code = (Method.__doc__ or "").rpartition("::\n")[2]
    (folder / METHOD).write_text(textwrap.dedent(code))


def run(*options: str, method: str = f"{METHOD}:MeanColour") -> int:
    """`python -m benchmark.run` in two phases on the CPU; later options override."""
    from benchmark.run import main

    small = {"--method": method, "--dataset": "data", "--phases": "2", "--device": "cpu"}
    small |= {"--batch-size": "8", "--memory": "2"}
    words = [word for pair in small.items() if pair[0] not in options for word in pair]
    return main([*words, *options])


def look(case: Case, *options: str, method: str = f"{METHOD}:MeanColour") -> int:
    """`python -m benchmark.run --dry-run`; its trial, which takes ten times as long, only at times.

    What is handed over to the trial is data that have been read and found good.
    """
    if case.rng.random() < 0.85:
        from benchmark import dry_run

        model = {"parameters": 16, "name": "not tried"}
        dry_run.try_out = lambda plan, place: dry_run.Trial(model, 1.0, 1.0, 1.0, 1.0)
    return run("--dry-run", *options, method=method)


FAKE = Path(__file__).parents[2] / "mm_imagenet_r/captions/fake_captioner.py"


def caption(images: str, *options: str) -> int:
    """`python -m mm_imagenet_r.captions` with a captioner that only counts."""
    from mm_imagenet_r.captions.__main__ import main

    words = [
        "--model",
        "log",
        "--backend",
        f"{FAKE}:Fake",
        "--prompt",
        "Describe.",
        "--workers",
        "1",
    ]
    return main([*words, "--images", images, "--output", "captions", "--unit-size", "4", *options])
