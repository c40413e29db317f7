"""The command `python -m mm_imagenet_r.push`: an exported folder to the Hub, checked first."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from mm_imagenet_r.command_line import Parser, run
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.uploads import Upload, check_name, send


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload an exported folder as a data set repository (owner/name).

    The repository is made if it is not there. Files that are on the Hub already are not sent
    again. Shards of an older export are removed from the configurations that the folder holds;
    everything else there stays. Returns the repository's address and what was done, in words.

    Raises:
        UserError: The folder is incomplete or holds more than an export, the name is not valid,
            the repository holds something else, or the Hub refuses or cannot be reached.
    """
    from mm_imagenet_r.export import card, layout

    check_name(repository)
    if found := card.faults(folder):
        raise UserError(f"{folder} cannot be published: {'; '.join(found)}. Repeat the export")
    names = [config.name for config in card.exported(folder)]
    numbers = "[0-9]" * 5
    upload = Upload(
        "dataset",
        repository,
        layout.published(folder, names),
        "Export of mm_imagenet_r",
        ours=tuple(f"data/{name}/*-{numbers}-of-{numbers}.parquet" for name in names),
        mark=layout.MARKS[0].strip(),
    )
    return send(upload, private=private)


def _push(arguments: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m mm_imagenet_r.push",
        description="Upload an exported folder to the Hugging Face Hub.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="written by python -m mm_imagenet_r.export")
    parser.add_argument("repository", metavar="OWNER/NAME", help="created if it does not exist")
    parser.add_argument(
        "--private", action="store_true", help="for the owner only; refuses a public one"
    )
    given = parser.parse_args(arguments)
    print(push(given.folder, given.repository, private=given.private))


main = functools.partial(run, _push)

if __name__ == "__main__":
    sys.exit(main())
