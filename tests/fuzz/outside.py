"""What belongs to somebody else: nothing that a case does may change it."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

#: What is long past: a write shows in the time of what was written.
EPOCH = 1_500_000_000


def build(folder: Path) -> None:
    """Files and folders, some of names that a command may want to write or remove."""
    for name in ("notes.txt", "folder/class-0000.bin", "folder/phase-00.json", "folder/a/b.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} of somebody else\n")
    (folder / "link").symlink_to("notes.txt")
    age(folder)


def age(folder: Path) -> None:
    """Give everything in a folder, and the folder, one time."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def snapshot(folder: Path) -> dict[str, list[object]]:
    """Kind, time and content of everything in a folder, by its path there."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        facts = path.lstat()
        content = ""
        if stat.S_ISLNK(facts.st_mode):
            content = os.readlink(path)  # noqa: PTH115 (it need not be a valid path)
        elif stat.S_ISREG(facts.st_mode) and facts.st_size < 2**24:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        size = 0 if path.is_dir() else facts.st_size
        name = os.fsencode(path.relative_to(folder)).hex()
        found[name] = [facts.st_mode, size, facts.st_mtime_ns, content]
    return found


def changes(before: dict[str, list[object]], after: dict[str, list[object]]) -> list[str]:
    """What differs, in words."""
    names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    kinds = {(True, False): "removed", (False, True): "made", (True, True): "changed"}
    return [
        f"{bytes.fromhex(name).decode(errors='replace')} was {kinds[name in before, name in after]}"
        for name in names
    ]
