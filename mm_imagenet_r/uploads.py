"""Files to repositories on the Hugging Face Hub: one commit each, and only of what differs."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from mm_imagenet_r.errors import UserError, one_line, pluralize, summarize

Kind = Literal["dataset", "model", "space"]
_NAME: Final = "mm_imagenet_r"
_AGAIN: Final = "what has been sent stays there, give the same command again"


@dataclass(frozen=True)
class Upload:
    """What is to stand in a repository.

    Attributes:
        kind: Of the repository; a Space is a static one.
        repository: As in `owner/name`.
        files: Content of each file, or where that lies, by its path there.
        message: Of the commit.
        ours: Patterns of paths; what matches one and is not among `files` is removed.
        marks: Paths, of these files, by which a repository is known to be for them alone: one that
            holds anything but a card, and not all of these, is refused. None if others may share.
        create: Whether the repository is made if it is not there.
    """

    kind: Kind
    repository: str
    files: Mapping[str, bytes | Path]
    message: str
    ours: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    create: bool = True


def send(upload: Upload, hub: Any = None, *, private: bool = False) -> str:
    """Bring a repository to a state, by one commit; none if it is in that state.

    Args:
        upload: The state.
        hub: What takes the calls; the Hub if None, else `DryRun`.
        private: Whether a repository that may be made is to be seen by its owner alone.

    Returns:
        The repository's address and what was done, in words.

    Raises:
        UserError: The Hub refuses or is away; the repository holds something else, is changed by
            somebody else at the same time, or is not private though it is to be.
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
                f"{name} is there and not private: make it so in its settings on the Hub, or leave "
                "out --private"
            )
        # All that follows is of one state, and the commit is refused if that is no longer the last.
        tree = hub.list_repo_tree(name, repo_type=kind, revision=state.sha, recursive=True)
        there = dict(_listed(tree))
        gone = [path for path in there if path not in upload.files and _matches(path, upload.ours)]
        others = sorted(set(there) - _EVERYBODY)
        if others and not set(upload.marks) <= set(there):
            held = summarize([_plain(path) for path in others], 2)
            raise UserError(
                f"{name} holds something else ({held}): name a repository that is for this alone; "
                "it is made if it is not there"
            )
        changed = [path for path, data in upload.files.items() if not _same(data, there.get(path))]
        operations = [
            *(CommitOperationAdd(path, upload.files[path]) for path in changed),
            *(CommitOperationDelete(path, is_folder=False) for path in gone),
        ]
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
    """Takes the calls of `send` and prints them, with every file and its size.

    Nobody is asked, so it is as if nothing were there yet.
    """

    def __init__(self) -> None:
        """Read the address of the Hub."""
        from huggingface_hub import constants

        self.endpoint = constants.ENDPOINT

    def create_repo(self, name: str, **options: Any) -> None:
        """Print the call."""
        print(_call("create_repo", name, options))

    def repo_info(self, name: str, **options: Any) -> Any:
        """Print the call; its answer is not known."""
        print(_call("repo_info", name, options))
        return types.SimpleNamespace(sha="its last commit", private=True)

    def list_repo_tree(self, name: str, **options: Any) -> Iterable[Any]:
        """Print the call; nothing is there."""
        print(_call("list_repo_tree", name, options))
        return ()

    def create_commit(self, name: str, operations: Iterable[Any], **options: Any) -> None:
        """Print the call and its files."""
        print(_call("create_commit", name, options))
        for operation in operations:
            print(f"  {operation.upload_info.size:>14,}  {_plain(operation.path_in_repo)}")


def check_name(repository: str) -> str:
    """A repository's name, if it can be one.

    Raises:
        UserError: It cannot.
    """
    from huggingface_hub import utils
    from huggingface_hub.errors import HFValidationError

    its_own: Any = utils  # which does not say what it exports
    try:
        if repository.count("/") != 1:
            raise HFValidationError("an owner, a slash and a name are needed")
        its_own.validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(
            f"{repository!r} is no repository: give owner/name, as in me/{_NAME} "
            f"({one_line(str(error))})"
        ) from error
    return repository


@contextlib.contextmanager
def explained(repository: str) -> Iterator[None]:
    """Tell what the Hub or the network refuses as a user's mistake; no token is in the words.

    Raises:
        UserError: In place of the errors of `huggingface_hub`.
    """
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    # The error of the HTTP library under huggingface_hub, which has had several.
    transport_error: Any = HfHubHTTPError.__bases__[0]
    try:
        yield
    except UserError:
        raise
    except BrokenPipeError:  # nobody reads what is printed; connections end otherwise
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
    """A text in which no token stands.

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


def _refusal(repository: str, status: int, text: str) -> str:
    if status in (401, 403):
        return (
            f"the Hub does not let you write to {repository}: log in with a token that may "
            "(hf auth login, or HF_TOKEN), and check the owner's name"
        )
    if status == 404:
        return (
            f"the Hub has no {repository}, or your token may not see it: check the name, and that "
            "it is there"
        )
    if status == 412:
        return f"{repository} was changed by somebody else meanwhile: {_AGAIN}"
    lines = text.strip().splitlines()
    return (
        f"the Hub answered {status} to {repository} ({lines[-1] if lines else 'no reason'}): "
        f"{_AGAIN}"
    )


_EVERYBODY: Final = {".gitattributes", "README.md"}  # the Hub makes the first


def _listed(entries: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """The files, not the folders, of a repository."""
    return ((entry.path, entry) for entry in entries if hasattr(entry, "blob_id"))


def _plain(path: str) -> str:
    r"""A path that a terminal only shows, whoever chose it.

    >>> _plain("source/\x1b[31m\n.py")
    'source/\\x1b[31m\\n.py'
    """
    return repr(path)[1:-1]


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _same(data: bytes | Path, entry: Any) -> bool:
    """Whether a file is there with this content."""
    if entry is None or entry.size != (len(data) if isinstance(data, bytes) else _size(data)):
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == _digest(data, hashlib.sha256()))
    return bool(entry.blob_id == _digest(data, hashlib.sha1(b"blob %d\0" % entry.size)))


def _size(path: Path) -> int:
    return path.stat().st_size


def _digest(data: bytes | Path, digest: Any) -> str:
    if isinstance(data, bytes):
        digest.update(data)
    else:
        with data.open("rb") as file:
            while part := file.read(2**20):
                digest.update(part)
    return str(digest.hexdigest())


def _call(function: str, name: str, options: Mapping[str, Any]) -> str:
    """A call as it would be written.

    >>> _call("create_repo", "me/it", {"exist_ok": True})
    "create_repo('me/it', exist_ok=True)"
    """
    words = [repr(name), *(f"{key}={value!r}" for key, value in options.items())]
    return f"{function}({', '.join(words)})"
