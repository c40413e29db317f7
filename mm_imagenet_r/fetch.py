"""Download of a file that may break off at any byte and resumes there."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import explained

#: Bytes of a file whose size is not known.
MOST: Final = 2**26
#: Attempts in a row that bring not a single byte.
ATTEMPTS: Final = 5
TIMEOUT: Final = 60.0

_CHUNK: Final = 1 << 20

#: Called with the bytes there are and those there will be, None if the server does not say.
Progress = Callable[[int, int | None], None]


def fetch(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    most: int = MOST,
    sha256: str | None = None,
    md5: str | None = None,
    pause: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Download a file; where a connection breaks, the next one resumes.

    What has arrived is in `<path>.part` until it is complete and has the given size (in bytes) and
    hashes; if this call is stopped, the next one resumes from there. More bytes than `size`, or
    than `most` where the size is not known, are not received. `pause` is the seconds before the
    second attempt, doubled before each further one. What was in `<path>.part` before is not lost,
    whatever the server sends: it may be another program's, or gigabytes.

    Raises:
        UserError: The server cannot be reached or has no such file, the disk is full, another
            process downloads the same file, or the content is not what it must be.
    """
    part = part_of(path)
    with explained(part):
        path.parent.mkdir(parents=True, exist_ok=True)
        if part.is_symlink() or (part.exists() and not part.is_file()):
            raise UserError(f"{part} is not a download but a link or no file: remove it")
        with part.open("a+b") as file:
            _lock(file, part)
            found = file.tell()
            most = most if size is None else size
            _fill(url, file, size, most, pause, progress)
            wrong = _wrong(part, size, most, {"sha256": sha256, "md5": md5})
            if wrong is None:
                part.replace(path)
            elif found:
                file.truncate(found)
            else:
                part.unlink()
    if wrong is not None:
        remedy = "Nothing was kept: try again, or give another address"
        if found:
            remedy = f"Give another address, or remove {part} ({found:,} bytes, kept) to start anew"
        raise UserError(f"{url} has unexpected content: {wrong}. {remedy}")


def part_of(path: Path) -> Path:
    """Return where a download is until it is complete."""
    return path.with_name(path.name + ".part")


def _lock(file: IO[bytes], part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"another process is downloading to {part}: wait until it is done"
        ) from error
    except OSError:
        pass  # a file system without locks: the hash shows whether two processes wrote


def _fill(
    url: str, file: IO[bytes], size: int | None, most: int, pause: float, progress: Progress | None
) -> None:
    failures, trouble = 0, ""
    while failures < ATTEMPTS:
        if failures:
            time.sleep(pause * 2 ** (failures - 1))
        before = file.seek(0, os.SEEK_END)
        try:
            if _request(url, file, before, size, most, progress):
                return
            trouble = "the connection was closed early"
        except urllib.error.HTTPError as error:
            trouble = f"{error.code} {error.reason}"
            error.close()
            if error.code < 500 and error.code not in (408, 429):
                raise UserError(f"{url} is not available ({trouble}): check the address") from error
        except TimeoutError:
            trouble = f"no answer for {TIMEOUT:.0f} s"
        except (http.client.HTTPException, OSError) as error:
            trouble = str(getattr(error, "reason", error)) or type(error).__name__
        except ValueError as error:
            raise UserError(f"{url!r} is not an address: give http://... or https://...") from error
        failures = 1 if file.seek(0, os.SEEK_END) > before else failures + 1
    raise UserError(
        f"{url} cannot be downloaded ({trouble}, {ATTEMPTS} attempts in a row). What has arrived "
        f"is kept ({file.tell():,} bytes): give the same command again to resume, or download the "
        "file in another way and put it into the folder"
    )


def _request(
    url: str, file: IO[bytes], here: int, size: int | None, most: int, progress: Progress | None
) -> bool:
    """Ask once for what follows the bytes that are here.

    Returns whether all is there now, or one byte too many. UserError if the server sends another
    file, or more than there can be.
    """
    if here > most or here == size:
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
        error.close()  # nothing follows what is here: it is complete, or another file
        return True
    part = Path(file.name)
    with answer:
        at = _start(answer)  # 0 where the server sends everything again
        length = _number(answer.headers.get("Content-Length"))
        total = at + length if at is not None and length is not None else None
        if total is not None and total > most:
            raise UserError(
                f"{url} offers {total:,} bytes, but the file has {'' if size else 'at most '}"
                f"{most:,}: give another address"
            )
        other = UserError(
            f"{url} does not send what follows the {here:,} bytes in {part}: give another address, "
            "or remove that file to start anew"
        )
        if at is None or at > here:
            raise other
        file.seek(at)
        while data := answer.read(min(_CHUNK, most + 1 - at)):  # a server may never end
            # Errors of the disk are not those of the network, which are worth another attempt.
            with explained(part):
                known = file.read(len(data)) if at < here else b""
                if not data.startswith(known):
                    raise other
                file.write(data[len(known) :])
            at += len(data)
            if progress is not None:
                progress(max(at, here), total)
        with explained(part):
            file.flush()
    return total is None or at >= total or at > most


def _start(answer: http.client.HTTPResponse) -> int | None:
    """Where in the file an answer begins; None if it is a part and does not say of what."""
    if answer.status != 206:
        return 0
    return _number(answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0])


def _number(text: str | None) -> int | None:
    """A number as servers write it; None if it is none, or longer than the size of any file."""
    return int(text) if text and re.fullmatch("[0-9]{1,18}", text) else None


def _wrong(path: Path, size: int | None, most: int, hashes: dict[str, str | None]) -> str | None:
    if (found := path.stat().st_size) > most:
        return f"it has more than {most:,} bytes"
    if size is not None and found != size:
        return f"it has {found:,} bytes, not {size:,}"
    for name, expected in hashes.items():
        if expected is not None:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, name).hexdigest()
            if digest != expected:
                return f"its {name} is {digest}, not {expected}"
    return None
