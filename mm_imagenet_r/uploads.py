"""Files to repositories on the Hugging Face Hub: one commit each, and only of what differs."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from mm_imagenet_r.errors import UserError, one_line, pluralize, summarize
from mm_imagenet_r.reading import SETTINGS, read_bytes

Kind = Literal["dataset", "model", "space"]
_NAME: Final = "mm_imagenet_r"
_AGAIN: Final = "what was sent stays there, give the same command again"


@dataclass(frozen=True)
class Upload:
    """What a repository is to hold."""

    kind: Kind  # of the repository; a Space is a static one
    repository: str  # owner/name
    files: Mapping[str, bytes | Path]  # content of each file, or where that is, by its path there
    message: str  # of the commit
    ours: tuple[str, ...] = ()  # patterns: what matches one and is not among `files` is removed
    # Paths, of these files, by which a repository is known to be for them alone: one that holds
    # anything but a card, and not all of these, is refused. () if others may share it.
    marks: tuple[str, ...] = ()
    # A text of its card by which such a repository is known as well, whatever else it holds.
    mark: str = ""
    create: bool = True  # whether the repository is made if it is not there


def send(upload: Upload, hub: Any = None, *, private: bool = False) -> str:
    """Bring a repository to a state, by one commit; none if it is in that state.

    `hub` takes the calls, a `DryRun` for one. A repository that is made is visible to its owner
    alone if `private`. Returns the repository's address and what was done, in words.

    Raises:
        UserError: The Hub refuses or cannot be reached; the repository holds something else, is
            changed by somebody else at the same time, or is public though it should be private.
    """
    name, kind = check_name(upload.repository), upload.kind
    with explained(name):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        hub = hub or HfApi(library_name=_NAME)
        if upload.create:
            more: dict[str, Any] = {"space_sdk": "static"} if kind == "space" else {}
            if private:
                more["private"] = True
            hub.create_repo(name, repo_type=kind, exist_ok=True, **more)
        state = hub.repo_info(name, repo_type=kind)
        if private and upload.create and not state.private:
            raise UserError(
                f"{name} exists and is not private: make it private in its settings on the Hub, "
                "or leave out --private"
            )
        # All that follows is of one state, and the commit is refused if that is no longer the last.
        tree = hub.list_repo_tree(name, repo_type=kind, revision=state.sha, recursive=True)
        there = {entry.path: entry for entry in tree if hasattr(entry, "blob_id")}  # no folders
        gone = [
            path
            for path in there
            if path not in upload.files and any(fnmatch.fnmatchcase(path, p) for p in upload.ours)
        ]
        others = sorted(set(there) - {".gitattributes", "README.md"})  # the Hub makes the first
        is_ours = set(upload.marks) <= set(there) and _has_mark(hub, upload, state.sha, there)
        if others and not is_ours:
            held = summarize([_plain(path) for path in others], 2)
            raise UserError(
                f"{name} holds something else ({held}): name a repository used only for this; "
                "it is created if it does not exist"
            )
        added = [CommitOperationAdd(path, data) for path, data in upload.files.items()]
        changed = [one for one in added if not _same(one, there.get(one.path_in_repo))]
        operations = [*changed, *(CommitOperationDelete(path, is_folder=False) for path in gone)]
        if operations:
            hub.create_commit(
                name,
                operations,
                commit_message=upload.message,
                repo_type=kind,
                parent_commit=state.sha,
            )
        folder = "" if kind == "model" else f"{kind}s/"
        address = f"{hub.endpoint}/{folder}{name}"
    if not operations:
        return f"{address}: nothing to send, all is there"
    removed = f", {len(gone)} removed" if gone else ""
    return f"{address}: {pluralize(len(changed), 'file')} sent{removed}"


class DryRun:
    """Takes the calls of `send` and prints them, as if no file were there yet."""

    def __init__(self) -> None:
        """Read the address of the Hub."""
        from huggingface_hub import constants

        self.endpoint = constants.ENDPOINT

    def __getattr__(self, function: str) -> Callable[..., Any]:
        """Take any call: print it, and every file of a commit with its size."""

        def call(name: str, files: Iterable[Any] = (), **options: Any) -> Any:
            words = [repr(name), *(f"{key}={value!r}" for key, value in options.items())]
            print(f"{function}({', '.join(words)})")
            for one in files:
                print(f"  {one.upload_info.size:>14,}  {_plain(one.path_in_repo)}")
            info = types.SimpleNamespace(sha="its last commit", private=True)
            return info if function == "repo_info" else ()

        return call


def check_name(repository: str) -> str:
    """Return a repository's name; UserError if it is not valid."""
    from huggingface_hub import utils
    from huggingface_hub.errors import HFValidationError

    its_own: Any = utils  # it does not declare what it exports
    try:
        if repository.count("/") != 1:
            raise HFValidationError("an owner, a slash and a name are needed")
        its_own.validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(
            f"{repository!r} is not a repository: give owner/name, as in me/{_NAME} "
            f"({one_line(str(error))})"
        ) from error
    return repository


@contextlib.contextmanager
def explained(repository: str) -> Iterator[None]:
    """Turn errors of the Hub or the network into UserErrors, without any token in their words."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    # The error of the HTTP library under huggingface_hub, which has had several.
    transport_error: Any = HfHubHTTPError.__bases__[0]
    try:
        yield
    except (UserError, BrokenPipeError):  # the latter: nobody reads what is printed
        raise
    except Exception as error:
        # Uploads of large files wrap what happened.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        text = without_token(str(cause))
        if isinstance(cause, OfflineModeIsEnabled):
            words = "HF_HUB_OFFLINE is set: unset it to reach the Hub"
        elif isinstance(cause, LocalTokenNotFoundError):
            words = _refusal(repository, 401, "")
        elif isinstance(cause, HfHubHTTPError):
            words = _refusal(repository, cause.response.status_code, text)
        elif isinstance(cause, ValueError):
            words = f"the Hub cannot have {repository!r}: {text}"
        elif isinstance(cause, (transport_error, OSError, RuntimeError)):
            words = f"the Hub cannot be reached ({text}): {_AGAIN} when the network is back"
        else:
            raise
        raise UserError(words) from error


def without_token(text: str) -> str:
    """Return a text without any token.

    >>> without_token("Illegal header value b'Bearer hf_abcDEF0123456789'")
    "Illegal header value b'Bearer <token>'"
    """
    from huggingface_hub import get_token

    token = None
    with contextlib.suppress(Exception):  # it may be fetched from elsewhere, and be the trouble
        token = get_token()
    if token:
        text = text.replace(token, "<token>")
    return re.sub(r"(?<=[Bb]earer )[^\s'\"]+|\bhf_\w{8,}", "<token>", text)


def _has_mark(hub: Any, upload: Upload, revision: str, there: Mapping[str, Any]) -> bool:
    """Whether the card of a repository has the mark of an upload, if that names one."""
    if not upload.mark:
        return True
    if "README.md" not in there or there["README.md"].size > SETTINGS:
        return False
    name, kind = upload.repository, upload.kind
    path = hub.hf_hub_download(name, "README.md", repo_type=kind, revision=revision)
    return upload.mark in read_bytes(Path(path), SETTINGS).decode("utf-8", "replace")


def _refusal(repository: str, status: int, text: str) -> str:
    if status in (401, 403):
        return (
            f"the Hub does not let you write to {repository}: log in with a token that may write "
            "(hf auth login, or HF_TOKEN), and check the owner's name"
        )
    if status == 404:
        return (
            f"the Hub has no {repository}, or your token does not give access to it: check the name"
        )
    if status == 412:
        return f"{repository} was changed by somebody else at the same time: {_AGAIN}"
    lines = text.strip().splitlines()
    return (
        f"the Hub answered {status} to {repository} ({lines[-1] if lines else 'no reason'}): "
        f"{_AGAIN}"
    )


def _plain(path: str) -> str:
    r"""A path that a terminal only shows, whoever chose it.

    >>> _plain("source/\x1b[31m\n.py")
    'source/\\x1b[31m\\n.py'
    """
    return repr(path)[1:-1]


def _same(added: Any, entry: Any) -> bool:
    """Whether the file of a `CommitOperationAdd` is there with this content."""
    if entry is None or entry.size != added.upload_info.size:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == added.upload_info.sha256.hex())
    with added.as_file() as file:
        content = b"blob %d\0" % entry.size + file.read()
    return bool(entry.blob_id == hashlib.sha1(content, usedforsecurity=False).hexdigest())
