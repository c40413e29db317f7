"""Where captions are kept while they are made; anyone can resume after a kill at any moment.

A unit is done when its file `parts/<unit>.parquet` exists; files appear whole, by a rename.
docs/captions.md lists the files.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from mm_imagenet_r.captions import sealed
from mm_imagenet_r.captions.captioner import Caption, fingerprint
from mm_imagenet_r.captions.claims import Claims
from mm_imagenet_r.captions.files import CAPTIONS, METADATA_KEY
from mm_imagenet_r.captions.flags import flags
from mm_imagenet_r.captions.manifest import Item, Manifest
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import create_atomic, explained, write_atomic

SCHEMA: Final = pa.schema(
    {
        **dict.fromkeys(("file_name", "caption", "sha256", "finish"), pa.string()),
        "n_tokens": pa.int32(),
        "flags": pa.list_(pa.string()),
        "error": pa.string(),
        "n_prompt_tokens": pa.int32(),
    }
)
#: The column that older files lack.
_ADDED: Final = "n_prompt_tokens"
_DAY: Final = 86400.0
_PART: Final = re.compile(r"[0-9]{8,}\.parquet")


@dataclass(frozen=True, slots=True)
class Failed:
    """Failed images of a finished unit: how many, and `Store.written` when they were counted."""

    written: int
    count: int


class Store:
    """A caption set on disk. Any number of processes, on any machines, may use it at once."""

    def __init__(self, output: Path, identity: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Open the caption set of an `identity` in the folder `output`, or start it.

        `about` is recorded but determines nothing: versions, hardware.

        Raises:
            UserError: The folder cannot be written, or holds something else.
        """
        self.identity = dict(identity)
        self.folder = output / fingerprint(identity)
        self._parts = self.folder / "parts"
        if (output / "run.json").exists():
            raise UserError(
                f"{output} is itself a caption set: give the folder that holds it, "
                f"--output {output.parent}"
            )
        with explained(self._parts):
            self._parts.mkdir(parents=True, exist_ok=True)
        if link := next((path for path in (self.folder, self._parts) if path.is_symlink()), None):
            raise UserError(
                f"{link} is a link, and a caption set may not lie elsewhere than in --output: move "
                "the folder there, or give --output the place where it is"
            )
        self.about = self._start(about)  # what was recorded when it was started
        self._remove_leftovers()
        self.manifest = Manifest(self.folder)  # as last read: others may add to it at any time
        self.claims = Claims(self.folder / "claims")  # therefore a process opens a set once

    def close(self) -> None:
        """Give all claims back."""
        self.claims.close()

    @property
    def units(self) -> Sequence[Sequence[Item]]:
        """Images by unit; a unit's number is its index."""
        return self.manifest.units

    def done(self) -> set[int]:
        """Return the numbers of the finished units that the manifest knows."""
        try:
            names = [path.name for path in self._parts.iterdir()]
        except OSError as error:
            raise UserError(
                f"{self._parts} can no longer be read ({error.strerror}): restore the folder, and "
                "give the same command again"
            ) from error
        found = {int(name[:-8]) for name in names if _PART.fullmatch(name)}
        return found.intersection(range(len(self.units)))

    def first(self, limit: int | None) -> range:
        """Return the numbers of the first units that hold `limit` images, all if it is None."""
        if limit is None:
            return range(len(self.units))
        before = itertools.accumulate(map(len, self.units), initial=0)
        return range(sum(count < limit for count, _ in zip(before, self.units, strict=False)))

    def missing(self, limit: int | None = None) -> set[int]:
        """Return the numbers of the units of `first(limit)` that are not finished."""
        return set(self.first(limit)) - self.done()

    def is_done(self, unit: int) -> bool:
        """Tell whether one unit is finished."""
        return self._part(unit).exists()

    def failed(self, limit: int | None = None) -> dict[int, Failed]:
        """Return the failed images of finished units of `first(limit)`."""
        found = {}
        for unit in sorted(self.done().intersection(self.first(limit))):
            written = self.written(unit)
            if count := sum(bool(row["error"]) for row in self.rows(unit)):
                found[unit] = Failed(written, count)
        return found

    def written(self, unit: int) -> int:
        """Return a number that changes when a finished unit is written again."""
        return self._part(unit).stat().st_mtime_ns

    def commit(self, unit: int, captions: Sequence[Caption]) -> None:
        """Write a unit's captions, in order; UserError if they are of another model than others."""
        for name in sorted({made.served_model for made in captions if made.served_model}):
            self._require_same_model(name)
        prompt = str(self.identity.get("prompt", ""))
        rows = [
            {
                **asdict(item),
                **asdict(made),  # of which the schema takes its columns
                "caption": None if made.error else made.text,
                "flags": [] if made.error else flags(made.text, made.finish, prompt),
                "error": made.error or None,
            }
            for item, made in zip(self.units[unit], captions, strict=True)
        ]
        table = pa.Table.from_pylist(rows, SCHEMA)
        write_atomic(self._part(unit), sealed.write(table, self.folder.name))

    def read(self, unit: int) -> list[Caption]:
        """Read the captions of a finished unit, see `rows`."""
        return [
            Caption(
                row["caption"] or "",
                row["finish"],
                row["n_tokens"],
                row["error"] or "",
                row.get(_ADDED),
            )
            for row in self.rows(unit)
        ]

    def rows(self, unit: int) -> list[dict[str, Any]]:
        """Read the rows of a finished unit, as in `SCHEMA`, or raise UserError if damaged."""
        path = self._part(unit)
        try:
            table = sealed.read(path, self.folder.name)
            rows: list[dict[str, Any]] = table.to_pylist()
            if [row["sha256"] for row in rows] != [item.sha256 for item in self.units[unit]]:
                raise ValueError("its images are not those of its manifest")
            if any(row["finish"] is None or row["flags"] is None for row in rows):
                raise ValueError("a row says nothing of how its caption ended")
            if absent := set(SCHEMA.names) - {*table.column_names, _ADDED}:
                raise ValueError(f"it lacks {', '.join(sorted(absent))}")
            pa.Table.from_pylist(rows, SCHEMA)  # or its types are others
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(
                f"{path} is damaged ({why}): remove it and give the same command again"
            ) from error
        return rows

    def finish(self) -> Path | None:
        """Write all captions to one file; None if some of the images there are by now lack theirs.

        The content depends on the identity and the captions alone: whoever writes it last, or
        again, writes the same bytes.
        """
        path = self.folder / CAPTIONS
        grown = True
        while grown:  # others may add images meanwhile: few captions must not replace many
            self.manifest.refresh()
            if not self.units or self.missing():
                return None
            write_atomic(path, self._whole())
            grown = self.manifest.refresh()
        return path

    def _whole(self) -> bytes:
        by_hash = {row["sha256"]: row for unit in range(len(self.units)) for row in self.rows(unit)}
        rows = [
            {**by_hash[sha256], "file_name": name}
            for name, sha256 in sorted(self.manifest.hashes.items())
        ]
        info = {"fingerprint": self.folder.name, **self.identity}
        if info["model"] is None:  # a folder: its name determines nothing, but readers want one
            info["model"] = self.about.get("model")
        if (served := self._served_model()) is not None:
            info["served_model"] = served
        schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(info, sort_keys=True).encode()})
        return sealed.write(pa.Table.from_pylist(rows, schema), "")  # whose metadata name the set

    def _served_model(self) -> str | None:
        path = self.folder / "served_model.json"
        if not path.exists():
            return None
        try:
            record = sealed.read_record(path)
            # Once it was the name alone.
            return str(record if isinstance(record, str) else record["served_model"])
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({error}): restore it, or remove it and give the same "
                "command again"
            ) from error

    def _require_same_model(self, served_model: str) -> None:
        """A server may call its model anything, an alias or a dated name, but not change it."""
        create_atomic(
            self.folder / "served_model.json", sealed.write_record({"served_model": served_model})
        )
        first = self._served_model()
        if served_model != first:
            raise UserError(
                f"the server now answers with the model {served_model!r}, but the caption set "
                f"{self.folder} was started with {first!r}: use the server that has that model, "
                "or give another --output"
            )

    def _part(self, unit: int) -> Path:
        return self._parts / f"{unit:08}.parquet"

    def _start(self, about: Mapping[str, Any]) -> dict[str, Any]:
        path = self.folder / "run.json"
        create_atomic(path, sealed.write_record({"identity": self.identity, "about": dict(about)}))
        try:
            record = sealed.read_record(path)
            identity, written = record["identity"], record["about"]
            if not isinstance(written.get("versions", {}), dict):
                raise ValueError("its versions are not an object")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} cannot be read ({error}): restore it, or remove it and give the same "
                "command again"
            ) from error
        if identity != self.identity:
            raise UserError(
                f"{path} belongs to a caption set with other settings: move the folder "
                f"{self.folder} away, or give another --output"
            )
        return dict(written)

    def _remove_leftovers(self) -> None:
        """Remove temporary files of killed writers, but not those that others may be writing."""
        for folder in (self.folder, self._parts):
            for path in folder.glob(".*.tmp"):
                with contextlib.suppress(OSError):
                    if time.time() - path.lstat().st_mtime > _DAY:
                        path.unlink()
