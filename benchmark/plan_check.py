"""Mistakes in a configuration that show before any data are opened."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from benchmark.budget import make_budget
from benchmark.cells import cells, reference_run
from benchmark.config import RunConfig
from benchmark.plan import read_reference
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import check_writable

#: More text tokens than any caption needs: attention over them grows with the square.
MOST_TEXT = 1024


def check(config: RunConfig) -> None:
    """Find the mistakes that show before any data are opened.

    Raises:
        UserError: An unknown method or setting, an impossible budget, no run to match, no such
            backbone, a folder that cannot be written.
    """
    _check_backbone(config.backbone)
    if config.max_text_length is not None and config.max_text_length > MOST_TEXT:
        raise UserError(
            f"--max-text-length {config.max_text_length}: give at most {MOST_TEXT} tokens; without "
            "the option there are as many as the backbone was trained with"
        )
    make_budget(
        config.memory,
        currency=config.currency,
        growth=config.growth,
        num_classes=1,
        mean_sample_bytes=1.0,
    )
    for cell in cells(config):
        refuse_itself(cell)
        if cell.match_exemplars_of is not None:
            read_reference(cell)
    check_writable(config.output)


def refuse_itself(cell: RunConfig) -> None:
    """Raise UserError if a cell, as `cells` writes it, is to keep as many exemplars as itself."""
    if cell.match_exemplars_of is not None:
        reference = reference_run(cell)
        if reference.identity() == dataclasses.replace(cell, match_exemplars_of=None).identity():
            raise UserError(
                f"--method {cell.method[0]} --match-exemplars-of {cell.match_exemplars_of}: a run "
                "cannot match itself; name another method, or leave the option out"
            )


def _check_backbone(name: str) -> None:
    """Raise UserError for a folder that is not there: not a name, nor what may be a Hub id."""
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", name) and not name.startswith("."):
        return
    if not Path(name).expanduser().exists():
        raise UserError(
            f"--backbone {name}: there is no folder {name}: name a folder with a ViLT checkpoint, "
            "a Hub id such as dandelin/vilt-b32-mlm (or ID@REVISION), or 'tiny'"
        )
