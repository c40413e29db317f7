"""Fetch ImageNet-R, going on where an earlier attempt broke off, and say what is there.

    python -m mm_imagenet_r.download FOLDER

What is there already is not fetched again, only checked; an archive that is cut off, by whatever
program, is completed.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from mm_imagenet_r.command_line import Parser, run
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import explained

if TYPE_CHECKING:
    from mm_imagenet_r.archive import Images

URL: Final = "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar"
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
    part = _part(path)
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


def _part(path: Path) -> Path:
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


def describe(images: Images, lists: Path) -> list[str]:
    """Say in lines what images there are, and how they are split.

    Args:
        images: Of ImageNet-R, all or some of them.
        lists: Folder in which the list of the split `coda` may lie.
    """
    from mm_imagenet_r.splits import split

    folders = {name.partition("/")[0] for name in images.names}
    lines = [f"{images.path}: {len(images):,} images of {len(folders)} classes", *images.notes]
    for name in (None, "coda"):
        try:
            cut = split(images, name, lists=[lists], partial=True)
        except UserError as error:
            lines.append(f"split {name or 'of the images'} cannot be had: {error}")
        else:
            counts = f"{len(cut.train):,} train, {len(cut.test):,} test"
            lines.append(f"split {cut.name}: {counts}, sha256 {cut.sha256}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run(_main, arguments)


def _main(arguments: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m mm_imagenet_r.download",
        description="Fetch ImageNet-R (2.2 GB) and check it. What is there already is checked "
        "only; a download that broke off, of this command or of another program, is gone on with.",
    )
    parser.add_argument("folder", type=Path, help="where imagenet-r.tar belongs")
    parser.add_argument("--url", default=URL, help="a mirror of the archive (the hash is checked)")
    given = parser.parse_args(arguments)
    from mm_imagenet_r.archive import open_images
    from mm_imagenet_r.imagenet_r import require_imagenet_r

    _download(given.folder, given.url)
    images = open_images(given.folder)
    require_imagenet_r(images, partial=True)
    print("\n".join(describe(images, given.folder)))
    require_imagenet_r(images)
    print("complete: every class has all of its images")


def _download(folder: Path, url: str) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from mm_imagenet_r.tar_index import ARCHIVE, PUBLISHED_SHA256, PUBLISHED_SIZE

    path = folder / ARCHIVE
    if path.exists() and not _taken_up(path):
        return
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(path.name, total=PUBLISHED_SIZE)
        fetch(
            url,
            path,
            size=PUBLISHED_SIZE,
            sha256=PUBLISHED_SHA256,
            progress=lambda done, _: bar.update(task, completed=done),
        )


def _taken_up(path: Path) -> bool:
    """Whether an archive is cut off; what there is of it is then gone on from."""
    from mm_imagenet_r import tar_index

    try:
        tar_index.read(path)
    except tar_index.TruncatedError:
        part = _part(path)
        print(f"{path} is cut off at byte {path.stat().st_size:,}: it is gone on with")
        if not part.exists():  # else what this command has fetched itself is the better beginning
            path.rename(part)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
