"""Images, wherever they are: the kind of source is found by looking."""

from __future__ import annotations

from pathlib import Path

from mm_imagenet_r import tar_index
from mm_imagenet_r.archive import LAYOUTS, NO_CLASSES, FolderImages, Images, TarImages
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.folders import expanded, files_below
from mm_imagenet_r.parquet_images import ParquetImages, of_one_configuration
from mm_imagenet_r.reading import open_regular


def open_images(path: Path) -> Images:
    """Find the images at a path.

    It may be ImageNet-R's tar or a folder that holds it; a folder `[imagenet-r/]<class>/<file>` or
    `[imagenet-r/]{train,test}/<class>/<file>` (as PILOT distributes it); a Parquet file or a folder
    of these with the columns `image` and `file_name`. UserError if there is nothing like it, or it
    is damaged.
    """
    path = expanded(path).absolute()
    try:
        if path.is_file():
            with open_regular(path) as file:
                is_parquet = file.read(4) == b"PAR1"
            return ParquetImages(path, [path]) if is_parquet else TarImages(path)
        if not path.is_dir():
            raise UserError(f"{path} does not exist: check the path. {LAYOUTS}")
        if (path / tar_index.ARCHIVE).is_file():
            return TarImages(path / tar_index.ARCHIVE)
        tables = [
            table
            for table in files_below(path, ".parquet")
            if not (top := table.relative_to(path).parts[0]).startswith(".")
            and top not in NO_CLASSES
        ]
        if not tables:
            return FolderImages(path)
        return ParquetImages(path, of_one_configuration(path, tables))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): check the permissions of the "
            "folder and its files"
        ) from error
