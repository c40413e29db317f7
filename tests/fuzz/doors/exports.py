"""An exported folder: exported to once more, and sent to the Hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..door import Case, Damage, Door
from ..generic import GENERIC
from ..pictures import CLASSES, caption, names, picture
from ..tables import in_parquet
from ..values import in_json
from .outputs import MINE, counted, kept

_PROVENANCE = {"images": "made up", "captions": "made up"}
_SENT = "sent.json"


def _build(folder: Path) -> None:
    del folder  # the working folder
    for name in ("first", "second"):
        _write(name)


def _write(name: str) -> None:
    from mm_imagenet_r.export import export

    export(Path("out"), name, _splits(), _PROVENANCE, report=lambda line: None)


def _splits() -> dict[str, Any]:
    """The pictures with all columns that the data set has."""
    from datasets import ClassLabel, Dataset, Features, Image, Value

    texts = ("caption", "file_name", "wnid", "class_name", "style")
    labels = ClassLabel(names=list(CLASSES))
    columns = {"image": Image(), "label": labels, "imagenet_index": Value("int32")}
    features = Features(columns | {text: Value("string") for text in texts})
    rows = [
        {
            "image": {"bytes": picture(name), "path": Path(name).name}, "caption": caption(name),
            "label": CLASSES.index(kind), "file_name": name, "wnid": kind, "class_name": kind,
            "imagenet_index": None, "style": "noise",
        }
        for name in names(3)
        for kind in [name.partition("/")[0]]
    ]  # fmt: skip
    parts = {"train": rows[::2], "test": rows[1::2]}
    return {part: Dataset.from_list(some, features=features) for part, some in parts.items()}


def _again(case: Case) -> int:
    from mm_imagenet_r.command_line import run

    def command(words: Sequence[str] | None) -> None:
        del words
        _write("first")

    return run(command, [])


def _push(case: Case) -> int:
    from mm_imagenet_r import push

    def send(upload: Any, **options: Any) -> str:
        files = {name: _hash(path) for name, path in upload.files.items()}
        (case.folder / _SENT).write_text(json.dumps(files))
        return "sent"

    push.send = send
    return push.main(["out", "me/data"])


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _exported(folder: Path) -> dict[str, str]:
    """The shards of the configuration that is exported again."""
    paths = folder.glob("out/data/first/*-of-*.parquet")
    return {"mine": kept(folder), **{path.name: _hash(path) for path in paths if path.is_file()}}


def _sent(folder: Path) -> dict[str, str]:
    """The shards that were sent; what people write into a card is theirs."""
    files = json.loads((folder / _SENT).read_text())
    return {name: sha256 for name, sha256 in files.items() if name.startswith("data/")}


_OWN: dict[str, Damage] = in_json() | in_parquet() | MINE
EXPORT = Door("export", _build, _OWN, counted(_again), "out", GENERIC, digits=_exported)
PUSH = Door("push", _build, _OWN, _push, "out", GENERIC, digits=_sent)
