"""What may happen to any file or folder, whatever it means."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from .door import Case, Damage, UnsuitedError

HUGE = 2**40


def in_bytes(change: Callable[[bytearray, random.Random], object], ending: str = "") -> Damage:
    """Change the content of a file."""

    def damage(case: Case) -> None:
        path = case.some_file(ending)
        data = bytearray(path.read_bytes())
        change(data, case.rng)
        path.write_bytes(data)

    return damage


def _place(data: bytearray, rng: random.Random) -> int:
    """A position; as often near one of the ends, where headers are, as anywhere."""
    if not data:
        raise UnsuitedError
    near = min(len(data), 512)
    return rng.choice(
        (rng.randrange(near), len(data) - 1 - rng.randrange(near), *[rng.randrange(len(data))] * 2)
    )


def _block(data: bytearray, rng: random.Random) -> slice:
    start = _place(data, rng)
    return slice(start, start + rng.choice((1, 4, 16, 512, 4096)))


def flip(data: bytearray, rng: random.Random) -> None:
    data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _flips(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(2, 64)):
        flip(data, rng)


def _zeros(data: bytearray, rng: random.Random) -> None:
    block = _block(data, rng)
    data[block] = bytes(len(data[block]))


def _noise(data: bytearray, rng: random.Random) -> None:
    block = _block(data, rng)
    data[block] = rng.randbytes(len(data[block]))


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_block(data, rng)]


def _repeat(data: bytearray, rng: random.Random) -> None:
    block = _block(data, rng)
    data[block.start : block.start] = data[block] * rng.choice((1, 2, 100))


def _append(data: bytearray, rng: random.Random) -> None:
    data += rng.choice((b"\n", b"\0", b" ", rng.randbytes(9), bytes(10_240), bytes(data)))


def _replaced(make: Callable[[Case, Path], object]) -> Damage:
    """Put something else in the place of a file or, less often, of a whole folder."""

    def damage(case: Case) -> None:
        # A link in the place of what the user names is the user's own.
        below = [path for path in case.folders() if path not in case.roots]
        path = case.rng.choice(below) if below and case.rng.random() < 0.3 else case.some_file()
        _remove(path)
        make(case, path)

    return damage


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _folder(case: Case, path: Path) -> None:
    path.mkdir()
    if case.rng.random() < 0.5:
        (path / "inner").write_text("x")


def _socket(case: Case, path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    except OSError as error:
        raise UnsuitedError from error
    finally:
        os.chdir(before)


def _circle(case: Case, path: Path) -> None:
    other = path.with_name(f"{path.name}.other")
    path.symlink_to(other.name)
    other.symlink_to(path.name)


def _linked_to(where: Callable[[Case], Path | str]) -> Damage:
    return _replaced(lambda case, path: path.symlink_to(where(case)))


def _moved_outside(case: Case) -> None:
    """The same content, but it is somebody else's: by a link, or as a second name of one file."""
    path, number = case.some_file(), len(list(case.outside.iterdir()))
    there = case.outside / f"moved-{number}"
    path.rename(there)
    if case.rng.random() < 0.5:
        path.symlink_to(there)
    else:
        path.hardlink_to(there)


def _folder_outside(case: Case) -> None:
    """A folder that has become a link to where it is now."""
    below = [path for path in case.folders() if path not in case.roots]
    if not below:
        raise UnsuitedError
    path = case.rng.choice(below)
    there = case.outside / f"moved-{len(list(case.outside.iterdir()))}"
    path.rename(there)
    path.symlink_to(there)


def _swap(case: Case) -> None:
    first, second = case.some_file(), case.some_file()
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def _rename(case: Case) -> None:
    path = case.some_file()
    names = (path.name.upper(), f".{path.name}", f"{path.name}.bak", path.stem, " ", "\n", "ä" * 90)
    path.rename(path.with_name(case.rng.choice(names)))


def _plant(case: Case) -> None:
    """What programs leave behind, or nobody would call a file."""
    folder = case.some_folder()
    names = (".DS_Store", ".ipynb_checkpoints/x", "Thumbs.db", "desktop.ini", "__MACOSX/x",
             "x\n.jpg",
             "\x1b[2J.png", "._a.jpg", ".nfs0001", "a/b/c/d/e.json", "'; rm -rf .png", "-rf", "~",
             os.fsdecode(b"\xff\xfe.jpg"), "lost+found/x", "x" * 250, ".x.00.tmp")  # fmt: skip
    path = folder / case.rng.choice(names)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case.rng.choice((b"", b"planted", case.rng.randbytes(99))))


def _plant_link(case: Case) -> None:
    """A link of a new name, beside what is there."""
    folder = case.some_folder()
    name, ending = f"{case.some_file().stem}-{case.rng.randrange(99):02}", case.some_file().suffix
    targets = (
        case.outside / "folder",
        case.outside / "notes.txt",
        "/dev/zero",
        ".",
        "..",
        "absent",
    )
    (folder / f"{name}{case.rng.choice((ending, ''))}").symlink_to(case.rng.choice(targets))


def _copy(case: Case) -> None:
    """A file once more, under a name like its own."""
    path = case.some_file()
    names = (f"{path.stem} (1){path.suffix}", f"copy-{path.name}", f"{path.name}~", f"0{path.name}")
    shutil.copy(path, path.with_name(case.rng.choice(names)))


def _sparse(case: Case) -> None:
    os.truncate(case.some_file(), case.rng.choice((HUGE, 2**33)))


def _odd_time(case: Case) -> None:
    seconds = case.rng.choice((-(2**33), 0, 2**33))
    os.utime(case.some_file(), (seconds, seconds))


def _forbid(case: Case) -> None:
    if os.geteuid() == 0:  # who may read everything
        raise UnsuitedError
    case.rng.choice((case.some_file(), case.some_folder())).chmod(0)


GENERIC: dict[str, Damage] = {
    "flip": in_bytes(flip),
    "flips": in_bytes(_flips),
    "zeros": in_bytes(_zeros),
    "noise": in_bytes(_noise),
    "truncate": in_bytes(_truncate),
    "cut": in_bytes(_cut),
    "repeat": in_bytes(_repeat),
    "append": in_bytes(_append),
    "empty": in_bytes(lambda data, rng: data.clear()),
    "delete": lambda case: case.some_file().unlink(),
    "delete folder": lambda case: shutil.rmtree(case.some_folder()),
    "swap": _swap,
    "rename": _rename,
    "copy": _copy,
    "plant": _plant,
    "plant a link": _plant_link,
    "folder instead": _replaced(_folder),
    "pipe instead": _replaced(lambda case, path: os.mkfifo(path)),
    "socket instead": _replaced(_socket),
    "circle of links": _replaced(_circle),
    "link to a file outside": _linked_to(lambda case: case.outside / "notes.txt"),
    "link to a folder outside": _linked_to(lambda case: case.outside / "folder"),
    "link to nothing": _linked_to(lambda case: case.outside / "absent"),
    "link to a device": _linked_to(lambda case: case.rng.choice(("/dev/zero", "/dev/full"))),
    "link upwards": _linked_to(lambda case: case.rng.choice((".", "..", "../.."))),
    "moved outside": _moved_outside,
    "folder moved outside": _folder_outside,
    "sparse": _sparse,
    "odd time": _odd_time,
    "forbidden": _forbid,
}
