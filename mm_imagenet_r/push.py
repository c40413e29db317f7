"""The command `python -m mm_imagenet_r.push`: an exported folder to the Hub, checked first."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from mm_imagenet_r.command_line import Parser, run
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.uploads import check_name, explained


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload an exported folder as a data set repository (owner/name) and return its address.

    The repository is made if it is not there. Files that are on the Hub already are not sent
    again. Shards of an older export are removed from the configurations that the folder holds;
    everything else there stays. UserError if the folder is incomplete, the name is not valid, or
    the Hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    from mm_imagenet_r.export import card

    if found := card.faults(folder):
        raise UserError(f"{folder} cannot be published: {'; '.join(found)}. Repeat the export")
    hub = HfApi(library_name="mm_imagenet_r")
    with explained(check_name(repository)):
        address = hub.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=folder,
            commit_message="Export of mm_imagenet_r",
            allow_patterns=["README.md", "croissant.json", "data/**", "captions/*"],
            ignore_patterns=[".*", "*/.*", "*.tmp"],
            delete_patterns=[f"data/{config.name}/*.parquet" for config in card.exported(folder)],
        )
    return str(address)


def _push(arguments: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m mm_imagenet_r.push",
        description="Upload an exported folder to the Hugging Face Hub.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="written by python -m mm_imagenet_r.export")
    parser.add_argument("repository", metavar="OWNER/NAME", help="created if it does not exist")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    given = parser.parse_args(arguments)
    print(push(given.folder, given.repository, private=given.private))


main = functools.partial(run, _push)

if __name__ == "__main__":
    sys.exit(main())
