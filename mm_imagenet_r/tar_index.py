"""Where the files in a tar are, found in one streaming pass that also hashes the archive.

A tar from the network is not trusted: one with links, devices, or names that lead out of the
archive is refused, and nothing is ever unpacked. The index is cached under the identity of the
file, as the pass takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, Self, cast

from mm_imagenet_r import caches
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.reading import open_regular

#: Of the archive its authors publish (github.com/hendrycks/imagenet-r); the hash is from the
#: checksums in tensorflow/datasets.
PUBLISHED_SIZE: Final = 2_191_079_936
PUBLISHED_SHA256: Final = "18c6bf493b39a0d975d48e587437f562caab9c52ae6327dcfa9dd8eb54aa1b52"

#: What the archive is called, here and where it is fetched.
ARCHIVE: Final = "imagenet-r.tar"

_BLOCK: Final = 512
#: Bytes of what may come before a member to say more of it, which tarfile holds in memory.
_LONGEST: Final = 2**20
#: Bytes that may follow the last member: programs fill up their last block, of a MiB at most.
_BEHIND: Final = 2**24
_PLAIN: Final = (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE)


class TruncatedError(UserError):
    """An archive that may be the beginning of the published one."""


@dataclass(frozen=True)
class TarIndex:
    """What a tar holds."""

    size: int  # its length in bytes
    sha256: str  # of all its bytes
    members: list[tuple[str, int, int]]  # name, offset and length of each regular file, in order


def read(path: Path) -> TarIndex:
    """Return the index of a tar, from the cache if the file has not changed.

    Raises:
        UserError: The archive is truncated, damaged, compressed, or holds what it must not.
        OSError: It cannot be read.
    """
    memory = caches.memory_of(path, "tar")
    if (known := caches.recall(memory)) is not None:
        return TarIndex(**known)
    index = scan(path)
    caches.remember(memory, asdict(index))
    return index


def scan(path: Path) -> TarIndex:
    """Read a tar once from beginning to end; raises as `read` does."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size and not _is_header(file.read(_BLOCK)):
            raise UserError(
                f"{path} is neither a tar nor Parquet: give one of these (a compressed tar must be "
                "decompressed first), or a folder of images. If it was downloaded, the server sent "
                "something else: delete it and try again"
            )
        file.seek(0)
        hashing = _Hashing(file)
        members: list[tuple[str, int, int]] = []
        try:
            stream = cast(IO[bytes], hashing)
            with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 16, tarinfo=_Member) as tar:
                for member in tar:
                    if not _is_safe(member):
                        raise UserError(
                            f"{path} is refused: its member {member.name!r} is a link or a device, "
                            "or points outside the archive. The published archive has no such "
                            "member: download it again"
                        )
                    if member.offset_data + member.size > size:  # a number of 95 bits may be there
                        raise EOFError(f"{member.name!r} ends behind it")
                    if member.isreg():
                        members.append((member.name, member.offset_data, member.size))
                end = tar.offset
        except (tarfile.TarError, EOFError) as error:
            raise _damaged(path, size, str(error)) from error
        if size - end > _BEHIND:
            raise _damaged(path, size, f"{size - end:,} bytes follow its end")
        while hashing.read(1 << 20):
            pass
        # To tarfile an end inside a header, or at a damaged one, is not an error.
        file.seek(end)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise _damaged(path, size, f"no valid header and no end mark at byte {end}")
    sha256 = hashing.digest.hexdigest()
    if size == PUBLISHED_SIZE and sha256 != PUBLISHED_SHA256:
        raise UserError(
            f"{path} has the size of the published archive but other content (sha256 {sha256}, "
            f"published {PUBLISHED_SHA256}): the download is damaged. Delete it and download it "
            "again, python -m mm_imagenet_r.download FOLDER"
        )
    return TarIndex(size, sha256, members)


class _Hashing:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


class _Member(tarfile.TarInfo):
    """A member whose own header, such as a long name, is no longer than a name can be."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.type not in _PLAIN and found.size > _LONGEST):
            raise tarfile.ReadError(f"a header of {found.size:,} bytes")
        return found


def _is_header(block: bytes) -> bool:
    """Whether a tar may start like this; an empty one starts with its end."""
    try:
        tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return block == bytes(_BLOCK)
    return True


def _is_safe(member: tarfile.TarInfo) -> bool:
    """Whether a member is a plain file or a folder, in the archive."""
    inside = not member.name.startswith("/") and ".." not in PurePosixPath(member.name).parts
    return inside and (member.isreg() or member.isdir()) and not member.issparse()


def _damaged(path: Path, size: int, why: str) -> UserError:
    if size >= PUBLISHED_SIZE:
        return UserError(
            f"{path} is damaged ({why}): delete it and download it again, python -m "
            f"mm_imagenet_r.download {path.parent}"
        )
    named = "" if path.name == ARCHIVE else f"name it {ARCHIVE}, then "
    return TruncatedError(
        f"{path} is truncated or damaged ({why}, and it has {size:,} bytes where the published "
        f"archive has {PUBLISHED_SIZE:,}). If its download was interrupted, {named}python -m "
        f"mm_imagenet_r.download {path.parent} resumes it"
    )
