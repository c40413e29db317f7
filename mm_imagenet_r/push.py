"""An exported folder to the Hub: checked first, resumed by repeating.

python -m mm_imagenet_r.push exported my-name/mm_imagenet_r
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mm_imagenet_r.command_line import Parser, run
from mm_imagenet_r.errors import UserError


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload an exported folder as a data set repository, which is made if it is not there.

    Files that are on the Hub already are not sent again. Shards of an older export are removed
    from the configurations that the folder holds; everything else there stays.

    Args:
        folder: Written by `mm_imagenet_r.export`.
        repository: As in `name/data_set`.
        private: Whether a new repository is to be seen by its owner alone.

    Returns:
        The address of the data set.

    Raises:
        UserError: The folder is incomplete, the name is none, or the Hub refuses or is away.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    from mm_imagenet_r.export import card

    if found := card.faults(folder):
        raise UserError(
            f"{folder} cannot be published: {'; '.join(found)}. Give the export's command again"
        )
    if repository.count("/") != 1:
        raise UserError(f"{repository!r} is no repository: give owner/name, as in me/mm_imagenet_r")
    # The error of the HTTP library under huggingface_hub, which has had several.
    transport_error: Any = HfHubHTTPError.__bases__[0]
    hub = HfApi(library_name="mm_imagenet_r")
    try:
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
    except ValueError as error:
        raise UserError(f"the Hub cannot have {repository!r}: {error}") from error
    except OfflineModeIsEnabled as error:
        raise UserError("HF_HUB_OFFLINE is set: unset it to reach the Hub") from error
    except LocalTokenNotFoundError as error:
        raise UserError(_refusal(repository, 401, "")) from error
    except HfHubHTTPError as error:
        raise UserError(_refusal(repository, error.response.status_code, str(error))) from error
    except (transport_error, OSError) as error:
        raise UserError(
            f"the Hub cannot be reached ({error}): what has been sent stays there, give the same "
            "command again when the network is back"
        ) from error
    return str(address)


def _refusal(repository: str, status: int, text: str) -> str:
    if status in (401, 403):
        return (
            f"the Hub does not let you write to {repository}: log in with a token that may "
            "(hf auth login, or HF_TOKEN), and check the owner's name"
        )
    lines = text.strip().splitlines()
    return (
        f"the Hub answered {status} to {repository} ({lines[-1] if lines else 'no reason'}): what "
        "has been sent stays there, give the same command again"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run(_push, arguments)


def _push(arguments: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m mm_imagenet_r.push",
        description="Upload an exported folder to the Hugging Face Hub.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="written by python -m mm_imagenet_r.export")
    parser.add_argument("repository", metavar="OWNER/NAME", help="made if it is not there")
    parser.add_argument("--private", action="store_true", help="if it is made: not for everyone")
    given = parser.parse_args(arguments)
    print(push(given.folder, given.repository, private=given.private))


if __name__ == "__main__":
    sys.exit(main())
