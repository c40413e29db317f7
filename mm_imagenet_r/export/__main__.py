"""The command `python -m mm_imagenet_r.export`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mm_imagenet_r.catalog import CATALOG
from mm_imagenet_r.command_line import Parser, run
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import SHARD_BYTES, export
from mm_imagenet_r.folders import expanded


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
    for entry in CATALOG.values():  # wherever the command finds data
        _refuse_source(given.folder, entry.folder(given.data_dir))
    from mm_imagenet_r.builder import MMImageNetR
    from mm_imagenet_r.export import layout

    for name in given.config:  # before minutes are spent on loading
        layout.refuse_foreign(given.folder, name)
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


def _refuse_source(folder: Path, data: str | None) -> None:
    """Raise UserError if an export to a folder would write into data that are exported."""
    if data is None:
        return
    source = Path(os.path.realpath(expanded(data)))
    for written in (folder, folder / "data", folder / "captions"):
        if Path(os.path.realpath(written)).is_relative_to(source):
            raise UserError(
                f"{written} lies in the data themselves, {data}, whose files are read by such "
                "names: choose another folder to write to"
            )


main = functools.partial(run, _export)

if __name__ == "__main__":
    sys.exit(main())
