"""The command `python -m mm_imagenet_r.download`: fetch ImageNet-R, and say what is there."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mm_imagenet_r.command_line import Parser, run
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.fetch import fetch, part_of

if TYPE_CHECKING:
    from mm_imagenet_r.archive import Images

URL: Final = "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar"


def describe(images: Images, lists: Path) -> list[str]:
    """Describe images of ImageNet-R and their splits; the list of coda may be in `lists`."""
    from mm_imagenet_r.splits import split

    folders = {name.partition("/")[0] for name in images.names}
    lines = [f"{images.path}: {len(images):,} images of {len(folders)} classes", *images.notes]
    for name in (None, "coda"):
        try:
            cut = split(images, name, lists=[lists], partial=True)
        except UserError as error:
            lines.append(f"split {name or 'of the images'} is not available: {error}")
        else:
            counts = f"{len(cut.train):,} train, {len(cut.test):,} test"
            lines.append(f"split {cut.name}: {counts}, sha256 {cut.sha256}")
    return lines


def _main(arguments: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m mm_imagenet_r.download",
        description="Fetch ImageNet-R (2.2 GB) and check it. Existing files are only "
        "checked; an interrupted download, by this command or another program, is resumed.",
    )
    parser.add_argument("folder", type=Path, help="where imagenet-r.tar belongs")
    parser.add_argument("--url", default=URL, help="a mirror of the archive (the hash is checked)")
    given = parser.parse_args(arguments)
    from mm_imagenet_r.classes import require_imagenet_r
    from mm_imagenet_r.open_images import open_images

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
    if os.path.lexists(path) and not _to_resume(path):
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


def _to_resume(path: Path) -> bool:
    """Whether an archive is truncated; it is then the beginning of the download."""
    from mm_imagenet_r import tar_index

    try:
        tar_index.read(path)
    except tar_index.TruncatedError:
        part = part_of(path)
        if path.is_symlink() or os.path.lexists(part):
            also = f"{part} is there too" if os.path.lexists(part) else "it is a link"
            raise UserError(
                f"{path} is cut off, and {also}: remove one of them, or choose another folder"
            ) from None
        print(f"{path} is cut off at byte {path.stat().st_size:,}: resuming it as {part.name}")
        path.rename(part)
        return True
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): remove it, or choose another "
            "folder"
        ) from error
    return False


main = functools.partial(run, _main)

if __name__ == "__main__":
    sys.exit(main())
