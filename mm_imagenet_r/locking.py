"""Locks between processes: a file that one of them holds, and that goes when it ends."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import BinaryIO

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import explained

#: Forked processes close them: one that is left over would hold the lock too.
_locks: set[BinaryIO] = set()


def open_lock(path: Path, *, make: bool = True) -> BinaryIO:
    """Open the file that processes lock; what is in it stays.

    Raises:
        UserError: It is a link or not a regular file, or cannot be made.
        FileNotFoundError: It is not there, and not to be made.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if make:
        flags |= os.O_CREAT
    elif not path.exists():
        raise FileNotFoundError(path)
    refused = f"{path} is not a regular file: remove it, or choose another folder"
    if path.is_symlink():
        raise UserError(refused)
    with explained(path):
        file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UserError(refused)
    return file


def take(lock: BinaryIO) -> bool:
    """Lock a file for this process and not for those it forks; False if another one has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    _locks.add(lock)
    return True


def release(lock: BinaryIO) -> None:
    """Let others have it."""
    _locks.discard(lock)
    lock.close()


def _close_locks() -> None:
    for lock in _locks:
        lock.close()
    _locks.clear()


os.register_at_fork(after_in_child=_close_locks)
