"""Where captions lie while they are made: killed at any moment, continued by anyone.

    <output>/<fingerprint>/run.json              what decides the captions, and who began them
    <output>/<fingerprint>/manifest-0000.parquet frozen: file_name, sha256, unit
    <output>/<fingerprint>/parts/00000012.parquet captions of unit 12
    <output>/<fingerprint>/captions.parquet      all of them, when none is missing
    <output>/<fingerprint>/served_model.json     what a server calls the model that answers
    <output>/<fingerprint>/claims                empty; its byte n is locked by who makes unit n

A unit is done when its file exists; files appear whole, by a rename. Images of equal bytes are
captioned once. Images that come later go into a further manifest and into units of their own, so
that what is done stays done.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mm_imagenet_r.captions.captioner import Caption, fingerprint
from mm_imagenet_r.captions.files import CAPTIONS, METADATA_KEY
from mm_imagenet_r.captions.flags import flags
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import explain, write_atomic

_MANIFEST: Final = pa.schema(
    [("file_name", pa.string()), ("sha256", pa.string()), ("unit", pa.int32())]
)
SCHEMA: Final = pa.schema(
    [
        ("file_name", pa.string()),
        ("caption", pa.string()),
        ("sha256", pa.string()),
        ("finish", pa.string()),
        ("n_tokens", pa.int32()),
        ("flags", pa.list_(pa.string())),
        ("error", pa.string()),
        ("n_prompt_tokens", pa.int32()),
    ]
)
_DAY: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Item:
    """One image to be captioned: its name, and the hash of its bytes."""

    file_name: str
    sha256: str


class Store:
    """A caption set on disk. Any number of processes, on any machines, may use it at once.

    Attributes:
        folder: `<output>/<fingerprint>`.
        identity: What decides the captions.
        units: Images by unit; a unit's number is its place.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Open a caption set, or begin it.

        Args:
            output: The folder that holds caption sets.
            identity: What decides the captions, as `Captioner.identify` returns it.
            about: What is worth knowing but decides nothing: versions, hardware.

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
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(explain(error, self._parts)) from error
        self.about = self._begin(about)
        self._names: dict[str, tuple[str, int]] = {}
        self._manifests = 0
        self.units: list[list[Item]] = []
        self._sweep()
        self._read_manifests()
        self._claims = os.open(self.folder / "claims", os.O_RDWR | os.O_CREAT, 0o644)

    def close(self) -> None:
        """Give all claims back."""
        os.close(self._claims)

    def add(self, hashes: Mapping[str, str], unit_size: int) -> None:
        """Add images that the manifests do not hold yet.

        If somebody else adds images at the same time, one of the two does it first and the other
        adds what is left.

        Args:
            hashes: SHA-256 in hexadecimal by file name.
            unit_size: Images in a unit.

        Raises:
            UserError: An image has changed since it was added.
        """
        while True:
            for name, sha256 in hashes.items():
                if name in self._names and self._names[name][0] != sha256:
                    raise UserError(
                        f"{name} has changed since its caption set {self.folder} was begun: put "
                        "the old file back, or give another --output"
                    )
            new = sorted(set(hashes) - self._names.keys())
            if not new:
                return
            unit_of = {item.sha256: n for n, unit in enumerate(self.units) for item in unit}
            count = 0
            for name in new:
                if hashes[name] not in unit_of:
                    unit_of[hashes[name]] = len(self.units) + count // unit_size
                    count += 1
            rows = [
                {"file_name": name, "sha256": hashes[name], "unit": unit_of[hashes[name]]}
                for name in new
            ]
            path = self.folder / f"manifest-{self._manifests:04}.parquet"
            _create(path, _parquet(pa.Table.from_pylist(rows, _MANIFEST)))
            self._read_manifests()

    def __len__(self) -> int:
        """How many images the manifests hold, copies of others included."""
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        """Tell whether an image is in the manifests."""
        return name in self._names

    def done(self) -> set[int]:
        """Return the numbers of the finished units."""
        return {
            int(entry.name.partition(".")[0])
            for entry in os.scandir(self._parts)
            if entry.name.endswith(".parquet") and not entry.name.startswith(".")
        }

    def is_done(self, unit: int) -> bool:
        """Tell whether one unit is finished."""
        return self._part(unit).exists()

    @contextlib.contextmanager
    def claim(self, unit: int) -> Iterator[bool]:
        """Keep others from making the same unit: True if nobody else is at it.

        The lock goes when its process does, however it ends. Where a file system has no locks,
        two workers may make the same unit: that costs time, and the result is the same.
        """
        try:
            fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, unit)
        except (BlockingIOError, PermissionError):
            yield False
            return
        except OSError:
            yield True
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, unit)

    def commit(self, unit: int, captions: Sequence[Caption]) -> None:
        """Write the captions of a unit, in the order of its images.

        Raises:
            UserError: Some are of another model than those of the set.
        """
        for name in sorted({made.served_model for made in captions if made.served_model}):
            self._confirm(name)
        prompt = str(self.identity.get("prompt", ""))
        rows = [
            {
                "file_name": item.file_name,
                "sha256": item.sha256,
                "caption": None if made.error else made.text,
                "finish": made.finish,
                "n_tokens": made.n_tokens,
                "flags": [] if made.error else flags(made.text, made.finish, prompt),
                "error": made.error or None,
                "n_prompt_tokens": made.n_prompt_tokens,
            }
            for item, made in zip(self.units[unit], captions, strict=True)
        ]
        write_atomic(self._part(unit), _parquet(pa.Table.from_pylist(rows, SCHEMA)))

    def read(self, unit: int) -> list[Caption]:
        """Read the captions of a finished unit.

        Raises:
            UserError: The file is damaged.
        """
        return [
            Caption(
                row["caption"] or "",
                row["finish"],
                row["n_tokens"],
                row["error"] or "",
                row.get("n_prompt_tokens"),
            )
            for row in self._table(unit).to_pylist()
        ]

    def finish(self) -> Path | None:
        """Put all captions into one file, if none is missing.

        The content depends on the identity and the captions alone: whoever does it last, or
        twice, writes the same bytes.

        Returns:
            The file, or None if units are missing.
        """
        if not self.units or len(self.done()) < len(self.units):
            return None
        by_hash = {
            row["sha256"]: row for n in range(len(self.units)) for row in self._table(n).to_pylist()
        }
        rows = [
            {**by_hash[sha256], "file_name": name}
            for name, (sha256, _) in sorted(self._names.items())
        ]
        info = {"fingerprint": self.folder.name, **self.identity}
        if info["model"] is None:  # a folder: its name decides nothing, but readers want one
            info["model"] = self.about.get("model")
        if (served := self._served_model()) is not None:
            info["served_model"] = served
        schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(info, sort_keys=True).encode()})
        path = self.folder / CAPTIONS
        write_atomic(path, _parquet(pa.Table.from_pylist(rows, schema)))
        return path

    def _served_model(self) -> str | None:
        path = self.folder / "served_model.json"
        return str(json.loads(path.read_text("utf-8"))) if path.exists() else None

    def _confirm(self, served_model: str) -> None:
        """Hold the model that answered against the one that began the set.

        A server may call it what it likes, an alias or a dated name, but it must not change.
        """
        _create(self.folder / "served_model.json", json.dumps(served_model).encode())
        began = self._served_model()
        if served_model != began:
            raise UserError(
                f"the server's answers are now of the model {served_model!r}, those of the caption "
                f"set {self.folder} of {began!r}: go on with the server that has that one, or give "
                "another --output"
            )

    def _part(self, unit: int) -> Path:
        return self._parts / f"{unit:08}.parquet"

    def _table(self, unit: int) -> pa.Table:
        path = self._part(unit)
        try:
            return pq.ParquetFile(path).read()
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} is damaged ({error}): remove it and give the same command again"
            ) from error

    def _begin(self, about: Mapping[str, Any]) -> dict[str, Any]:
        path = self.folder / "run.json"
        text = json.dumps({"identity": self.identity, "about": about}, indent=1)
        _create(path, text.encode())
        try:
            written = json.loads(path.read_text("utf-8"))
            if written["identity"] == self.identity:
                return dict(written["about"])
            problem = "belongs to a caption set of other settings"
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"cannot be read ({error})"
        raise UserError(
            f"{path} {problem}: move the folder {self.folder} away, or give another --output"
        )

    def _read_manifests(self) -> None:
        units: dict[int, dict[str, Item]] = {}
        paths = sorted(self.folder.glob("manifest-*.parquet"))
        self._manifests = len(paths)
        for path in paths:
            try:
                rows = pq.ParquetFile(path).read().to_pylist()
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{path} is damaged ({error}): restore it, or give another --output"
                ) from error
            for row in rows:
                item = Item(row["file_name"], row["sha256"])
                self._names[item.file_name] = (item.sha256, row["unit"])
                units.setdefault(row["unit"], {}).setdefault(item.sha256, item)
        self.units = [list(units[number].values()) for number in range(len(units))]

    def _sweep(self) -> None:
        """Remove what killed writes left; not what others may be writing now."""
        for folder in (self.folder, self._parts):
            for path in folder.glob(".*.tmp"):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > _DAY:
                        path.unlink()


def _create(path: Path, data: bytes) -> None:
    """Write a file whole, unless there is one already: of several writers the first wins."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_atomic(temporary, data)
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # mounted buckets have no links: there the last of the writers wins
        try:
            temporary.replace(path)
        except OSError as error:
            raise UserError(explain(error, path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
