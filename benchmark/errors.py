"""What a method may do wrong, as opposed to a user or the program; and what became of a file."""

from __future__ import annotations

from pathlib import Path

from mm_imagenet_r.errors import UserError


class ContractError(ValueError):
    """A method did what its contract does not allow; the harness names method and phase."""


class Damaged(UserError):  # noqa: N818 (what became of a file, for a user to decide about)
    """A file of a run is not as it was written."""


def damaged(path: Path, what: str = "was changed after it was written", remedy: str = "") -> str:
    """What to say of a file of a run that is not as it was."""
    follows = path.parent.name not in ("state", "memory") and path.name not in ("state", "run.json")
    again = "give the command of its run again, which restores it where it can"
    if not follows:
        again = "give --overwrite to run it again"
    return f"{path} {what}: {remedy or f'put it back as it was, or {again}'}"
