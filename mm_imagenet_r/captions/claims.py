"""Which units of a caption set are being made, so that no two processes make the same one."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path

from mm_imagenet_r import locking


class Claims:
    """Units in progress: byte n of an empty file is locked by whoever makes unit n.

    A process opens the file once: its locks are those of the process, and go with the first handle
    that is closed.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it; UserError if it cannot be written, or is no regular file."""
        self._file = locking.open_lock(path)

    def take(self, unit: int) -> bool:
        """Keep other processes from making the same unit: True if none is working on it.

        The lock goes when its process does, however it ends. Where a file system has no locks,
        two workers may make the same unit, which costs time and gives the same result.
        """
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, unit)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            pass
        return True

    def release(self, unit: int) -> None:
        """Give a claim back."""
        with contextlib.suppress(OSError):  # there may be no locks
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, unit)

    def close(self) -> None:
        """Give all claims back."""
        self._file.close()
