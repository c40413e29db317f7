"""The command `python -m mm_imagenet_r.export`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from mm_imagenet_r.command_line import Parser, run
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import SHARD_BYTES, export


def _export(arguments: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m mm_imagenet_r.export",
        description="Write configurations as Parquet with a data set card, ready for the Hub.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder", type=Path, help="where to write; existing configurations are kept"
    )
    parser.add_argument(
        "--config", nargs="+", default=["mini"], metavar="NAME", help="(default: mini)"
    )
    parser.add_argument("--data-dir", type=Path, help="where the images and caption sets are")
    parser.add_argument("--split-name", help="which split into train and test")
    parser.add_argument(
        "--partial",
        action="store_true",
        help="continue where images or captions are missing or broken",
    )
    parser.add_argument(
        "--shard-mb", type=int, default=SHARD_BYTES // 10**6, metavar="N",
        help="maximum size of a file in megabytes (default: %(default)s)",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    if given.shard_mb < 1:
        raise UserError(f"--shard-mb {given.shard_mb}: give a number from 1 on")
    if given.data_dir is not None and given.data_dir.resolve() == given.folder.resolve():
        raise UserError(
            f"{given.folder} holds the data themselves, and the export has files of the same "
            "names: choose another folder to write to"
        )
    from mm_imagenet_r.builder import MMImageNetR
    from mm_imagenet_r.export import card

    card.refuse_foreign(given.folder)  # before minutes are spent on loading
    for name in given.config:
        builder = MMImageNetR(
            config_name=name,
            data_dir=given.data_dir,
            split_name=given.split_name,
            partial=given.partial,
        )
        builder.download_and_prepare()
        source = builder.source
        export(
            given.folder,
            builder.config.name,
            builder.as_dataset(),
            source.provenance(),
            captions=source.captions_read(),
            shard_bytes=given.shard_mb * 10**6,
        )
    print(f"load_dataset({str(given.folder)!r}, {given.config[0]!r}) reads it")


main = functools.partial(run, _export)

if __name__ == "__main__":
    sys.exit(main())
