"""ImageNet-R's archive, or what is given for it."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

from ..door import Case, Damage, Door, UnsuitedError
from ..generic import GENERIC, in_bytes
from ..pictures import names, picture
from .common import caption

_TAR = "imagenet-r.tar"
_BLOCK = 512
_KINDS = (
    tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
    tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z",
)  # fmt: skip
_NAMES = (
    "../../outside/notes.txt", "/etc/passwd", "imagenet-r/ant/\x1b[2J.jpg", "a" * 5_000 + ".jpg",
    "imagenet-r/ant/a\nb.jpg", "imagenet-r/ant/\udcff.jpg", "", ".", "imagenet-r/ant/0.jpg",
    "imagenet-r//ant/0.jpg", "imagenet-r/ant/../bee/0.jpg", "ant.jpg", "x/y/z/a.jpg",
)  # fmt: skip
_PAX = (("size", "-1"), ("size", "9" * 30), ("path", "../x.jpg"), ("mtime", "nan"), ("a", "b"))
#: Where a header has what, and how long it is.
_FIELDS = {
    "name": (0, 100), "mode": (100, 8), "size": (124, 12), "mtime": (136, 12), "type": (156, 1),
    "link": (157, 100), "magic": (257, 8), "prefix": (345, 155),
}  # fmt: skip
_VALUES = (
    b"\x80" + b"\xff" * 11, b"\x80\0\0\0" + b"\x7f" * 8, b"\xff" * 12, b"\xff" * 11 + b"\1",
    b"77777777777\0", b"-0000000001\0", b"zzzzzzzzzzz\0", b" " * 12, bytes(12), b"../../x\0",
    b"L", b"K", b"x", b"g", b"S", b"V", b"M", b"2", b"5", b"\xe9" * 100,
)  # fmt: skip


def _build(folder: Path) -> None:
    with tarfile.open(folder / _TAR, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in names(3, "jpg"):
            _add(tar, f"imagenet-r/{name}", picture(name, "JPEG"))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    try:
        with tarfile.open(path) as tar:
            files = [(member, tar.extractfile(member)) for member in tar if member.isreg()]
            return [(member, file.read()) for member, file in files if file is not None]
    except (tarfile.TarError, EOFError, OSError, MemoryError, ValueError, OverflowError) as error:
        raise UnsuitedError from error


def _member(case: Case) -> None:
    """A member of another kind, or of a name that leads elsewhere."""
    path, rng = case.some_file(".tar"), case.rng
    members = _members(path)
    if not members:
        raise UnsuitedError
    at = rng.randrange(len(members))
    member = members[at][0]
    if rng.random() < 0.5:
        member.type = rng.choice(_KINDS)
        member.linkname = rng.choice((f"{case.outside}/notes.txt", "../../outside", "/dev/zero"))
        members[at] = (member, b"")
        member.size = 0
    else:
        member.name = rng.choice(_NAMES)
    form = rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    if form == tarfile.PAX_FORMAT:
        member.pax_headers = dict([rng.choice(_PAX)])
    try:
        with tarfile.open(path, "w", format=form) as tar:
            for one, content in members:
                tar.addfile(one, io.BytesIO(content))
    except (ValueError, OSError) as error:
        raise UnsuitedError from error


def _field(data: bytearray, rng: random.Random) -> None:
    """A field of a header that says something else, with a checksum that fits."""
    starts = [at for at in range(0, len(data), _BLOCK) if data[at + 257 : at + 262] == b"ustar"]
    if not starts:
        raise UnsuitedError
    at = rng.choice(starts)
    start, length = _FIELDS[rng.choice(sorted(_FIELDS))]
    value = rng.choice(_VALUES)[:length].ljust(length, b"\0")
    data[at + start : at + start + length] = value
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + _BLOCK])


_OWN: dict[str, Damage] = {"member": _member, "field": in_bytes(_field, ".tar")}


def _try(case: Case) -> int:
    return caption(_TAR)


TAR = Door("tar", _build, _OWN, _try, _TAR, GENERIC)
