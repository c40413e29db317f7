"""What a door is, and a case of it."""

from __future__ import annotations

import contextlib
import random
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_MOST: Final = 2**27  # bytes


@dataclass(frozen=True)
class Case:
    """One copy of a door's healthy input, to be damaged and given to a command.

    Everything in it follows from the seed, the name of the door and the number of the case.
    """

    folder: Path  # the copy; the command runs in it
    outside: Path  # what belongs to somebody else, and links point to
    rng: random.Random
    scope: str  # pattern of the folders and files in `folder` that may be damaged

    @property
    def roots(self) -> list[Path]:
        """What may be damaged, with all that is below."""
        return sorted(self.folder.glob(self.scope))

    def files(self, ending: str = "") -> list[Path]:
        """The regular files that may be damaged, of the names that end so; not those made huge."""
        below = {path for root in self.roots for path in (root, *root.rglob("*"))}
        return sorted(p for p in below if p.name.endswith(ending) and _is_file(p))

    def folders(self) -> list[Path]:
        """The folders below those that may be damaged, and these themselves."""
        below = (path for root in self.roots for path in (root, *root.rglob("*")))
        return sorted({p for p in below if p.is_dir() and not p.is_symlink()})

    def some_folder(self) -> Path:
        """One of the folders.

        Raises:
            UnsuitedError: There is none.
        """
        return self.rng.choice(self.folders() or _unsuited())

    def some_file(self, ending: str = "") -> Path:
        """One of the files.

        Raises:
            UnsuitedError: There is none.
        """
        return self.rng.choice(self.files(ending) or _unsuited())


class UnsuitedError(Exception):
    """A change that the input, as others have left it, cannot undergo."""


def _is_file(path: Path) -> bool:
    facts = path.lstat()
    return stat.S_ISREG(facts.st_mode) and facts.st_size < _MOST


def _unsuited() -> list[Path]:
    raise UnsuitedError


Damage = Callable[[Case], None]


@dataclass(frozen=True, eq=False)
class Door:
    """A way into the program."""

    name: str
    #: Writes the healthy input into an empty folder, which is the working folder too.
    build: Callable[[Path], None]
    #: What may happen to it, by name: of its own meaning, and as to any file.
    own: Mapping[str, Damage]
    #: Calls the public command in this process, in the folder of the case; returns its exit code.
    try_it: Callable[[Case], int]
    #: See `Case.scope`.
    scope: str
    common: Mapping[str, Damage] = field(default_factory=dict)
    #: What the command has to give if it works, by part and however the input was damaged; None
    #: where other input means other output.
    digits: Callable[[Path], Mapping[str, str]] | None = None
    #: Exit codes by which the command refuses; 1 where it finds fault with results.
    refuses: frozenset[int] = frozenset({2})
    seconds: float = 12.0  # in which it has to end


def damage(door: Door, case: Case) -> list[str]:
    """Do one to three things to the input of a case, and name them."""
    kinds = [kind for kind in (door.own, door.common) if kind]
    done: list[str] = []
    wanted = case.rng.choice((1, 1, 1, 1, 2, 3))
    for _ in range(20):
        kind = case.rng.choice(kinds)
        name = case.rng.choice(sorted(kind))
        with contextlib.suppress(UnsuitedError, FileNotFoundError, UnicodeDecodeError):
            kind[name](case)
            done.append(name)
        if len(done) == wanted:
            break
    return done
