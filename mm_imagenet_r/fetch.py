"""Download of a file that may break off at any byte and is taken up again there."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import explained

#: Attempts in a row that bring not one byte.
ATTEMPTS: Final = 5
TIMEOUT: Final = 60.0

_CHUNK: Final = 1 << 20

#: Told the bytes there are and the bytes there will be, None if the server does not say.
Progress = Callable[[int, int | None], None]


def fetch(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    md5: str | None = None,
    pause: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Download a file; a connection that breaks is taken up again at the byte where it broke.

    What has arrived lies in `<path>.part` until it is whole and its hash is right, and is gone on
    from by the next call if this one is stopped.

    Args:
        url: Where from, http or https.
        path: Where to; its folder is made.
        size: Length that the file must have, if known.
        sha256: Hash that it must have, if known.
        md5: The same.
        pause: Seconds before the second attempt; doubled before each further one.
        progress: Called now and then.

    Raises:
        UserError: The server cannot be reached or has no such file, the disk is full, another
            process downloads the same file, or the content is not what it must be.
    """
    part = part_of(path)
    with explained(part):
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            _lock(file, part)
            _fill(url, file, size, pause, progress)
            wrong = _wrong(part, size, {"sha256": sha256, "md5": md5})
            if wrong is None:
                part.replace(path)
            else:
                part.unlink()
    if wrong is not None:
        raise UserError(
            f"{url} is not what it should be: {wrong}. Nothing was kept: try again, or give "
            "another address"
        )


def part_of(path: Path) -> Path:
    """Where what has arrived of a file lies until it is whole."""
    return path.with_name(path.name + ".part")


def _lock(file: IO[bytes], part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"another process is downloading to {part}: wait until it is done"
        ) from error
    except OSError:
        pass  # a file system without locks: the hash shows whether two were at it


def _fill(
    url: str, file: IO[bytes], size: int | None, pause: float, progress: Progress | None
) -> None:
    """Append to `file` what it lacks."""
    failures, trouble = 0, ""
    while failures < ATTEMPTS:
        if failures:
            time.sleep(pause * 2 ** (failures - 1))
        before = file.tell()
        try:
            if _request(url, file, size, progress):
                return
            trouble = "the connection was closed early"
        except urllib.error.HTTPError as error:
            trouble = f"{error.code} {error.reason}"
            error.close()
            if error.code < 500 and error.code not in (408, 429):
                raise UserError(f"{url} cannot be had ({trouble}): check the address") from error
        except TimeoutError:
            trouble = f"no answer for {TIMEOUT:.0f} s"
        except (http.client.HTTPException, OSError) as error:
            trouble = str(getattr(error, "reason", error)) or type(error).__name__
        except ValueError as error:
            raise UserError(f"{url!r} is no address: give http://... or https://...") from error
        failures = 1 if file.tell() > before else failures + 1
    raise UserError(
        f"{url} cannot be downloaded ({trouble}, {ATTEMPTS} attempts in a row). What has arrived "
        f"is kept ({file.tell():,} bytes): give the same command again and it goes on from there, "
        "or download the file in another way and put it into the folder"
    )


def _request(url: str, file: IO[bytes], size: int | None, progress: Progress | None) -> bool:
    """Ask once for what is lacking; return whether all is there now."""
    here = file.tell()
    if size is not None and here >= size:
        return True
    headers = {"User-Agent": "mm-imagenet-r", "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not here:
            raise
        error.close()  # nothing lies beyond what is here: it is whole, or it is another file
        return True
    with answer:
        if here and answer.status != 206:  # the server sends everything again
            # Errors of the disk, told here, from those of the network, worth another attempt.
            with explained(Path(file.name)):
                file.truncate(0)
                file.seek(0)
            here = 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else here + int(length)
        while data := answer.read(_CHUNK):
            with explained(Path(file.name)):
                file.write(data)
            here += len(data)
            if progress is not None:
                progress(here, total)
        with explained(Path(file.name)):
            file.flush()
    return total is None or here >= total


def _wrong(path: Path, size: int | None, hashes: dict[str, str | None]) -> str | None:
    """Say what is wrong with a whole download, None if nothing."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"it has {found:,} bytes, not {size:,}"
    for name, expected in hashes.items():
        if expected is not None:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, name).hexdigest()
            if digest != expected:
                return f"its {name} is {digest}, not {expected}"
    return None
