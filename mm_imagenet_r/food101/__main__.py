"""The command `python -m mm_imagenet_r.food101`: what is wrong with an unpacked copy."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from mm_imagenet_r.command_line import Parser, run
from mm_imagenet_r.errors import UserError, pluralize
from mm_imagenet_r.food101 import source
from mm_imagenet_r.progress import track


def _check(arguments: Sequence[str] | None) -> None:
    """Print what was fixed and every image that cannot be used; exit code 2 if there is one."""
    from mm_imagenet_r.images import check

    parser = Parser(
        prog="python -m mm_imagenet_r.food101",
        description="Check an unpacked UPMC Food-101: tables, missing images, broken images.",
        allow_abbrev=False,
    )
    parser.add_argument("data_dir", type=Path, help="the folder that holds images and texts")
    data = source(parser.parse_args(arguments).data_dir, partial=True)
    for note in data.notes:
        print(note)
    for path in data.absent:
        print(f"{path} is absent or empty")
    bad = 0
    for split, titles in data.titles.items():
        print(f"{split}: {len(titles):,} rows, {len({title.cls for title in titles})} classes")
        for title in track(titles, f"decoding {split}", len(titles)):
            if (wrong := check(data.read(split, title.name))) is not None:
                print(f"images/{split}/{title.name} {wrong}")
                bad += 1
    if bad or data.absent:
        images = pluralize(bad + len(data.absent), "image")
        raise UserError(f"{images} cannot be used: fetch them again, or leave them out (--partial)")


main = functools.partial(run, _check)

if __name__ == "__main__":
    sys.exit(main())
