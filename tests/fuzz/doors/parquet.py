"""A data set as one Parquet file, with the types that `datasets` writes down in it."""

from __future__ import annotations

from pathlib import Path

from ..door import Case, Door
from ..generic import GENERIC
from ..pictures import CLASSES, caption, names, picture
from ..tables import in_parquet
from .common import look, write_method


def _build(folder: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Image, Value

    write_method(folder)
    text, label = Value("string"), ClassLabel(names=list(CLASSES))
    features = {"image": Image(), "label": label, "caption": text, "file_name": text}
    rows = [
        {
            "image": {"bytes": picture(name), "path": None},
            "label": CLASSES.index(name.partition("/")[0]),
            "caption": caption(name),
            "file_name": name,
        }
        for name in names()
    ]
    Dataset.from_list(rows, features=Features(features)).to_parquet(folder / "data.parquet")


def _try(case: Case) -> int:
    return look(case, "--dataset", "data.parquet")


TABLE = Door("parquet", _build, in_parquet(), _try, "data.parquet", GENERIC)
