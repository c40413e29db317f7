"""The files of an exported folder: which of them an export wrote.

Only those are replaced, removed or published, and none of them through a link.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from mm_imagenet_r.errors import UserError, few
from mm_imagenet_r.export import captions_file, croissant, shards
from mm_imagenet_r.files import explained, is_temporary
from mm_imagenet_r.reading import SETTINGS, parse_json, read_bytes

#: Between these marks of a card is what is computed; our cards are recognized by them.
MARKS: Final = ("<!-- configurations -->\n", "<!-- end -->")

_SHARD: Final = re.compile(r"\w[\w.]*-\d{5,}-of-\d{5,}\.parquet")
#: What `datasets` does not have in a name, and what means something else in patterns and pages.
_NOT_IN_NAMES: Final = set(r"<>:/\|?*[]{}`")


def is_card(text: str) -> bool:
    """Whether a README.md is a card of an export."""
    return MARKS[0].strip() in text


def check_name(name: str) -> None:
    """Raise UserError if a configuration cannot be called so: its files would not be found."""
    if not name.isprintable() or name != name.strip(" .") or not name or _NOT_IN_NAMES & set(name):
        raise UserError(
            f"{few(repr(name))} cannot be the name of a configuration: give the caption file a "
            "name of letters, digits, '_' and '-'"
        )


def refuse_foreign(folder: Path, name: str) -> None:
    """Raise UserError if writing a configuration would replace what the export did not write."""
    check_name(name)
    with explained(folder / "README.md"):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file: choose a folder to write to")
        _require(folder / "README.md", _is_card)
        _require(folder / "croissant.json", lambda path: bool(croissant.hashes(path)))
        _captions_of(folder, name)
        shards_of(folder)
        for path in listed(folder / "data" / name):
            _require(path, _is_shard)
        listed(folder / shards.STAGING)
        work = folder / shards.STAGING / name
        for path in listed(work):
            if path.name in ("new", "old"):
                for staged in listed(path):
                    _require(staged, _is_staged)
            else:
                _require(path, lambda path: path.name == shards.HASHES or _is_staged(path))


def known_hashes(folder: Path) -> set[str]:
    """Return the SHA-256 of the shards in a folder as they were when exports wrote them.

    Those of a finished export are in croissant.json, those of a stopped one in a hidden folder.
    """
    found: set[str] = set()
    with contextlib.suppress(OSError, ValueError):
        found |= set(croissant.hashes(folder / "croissant.json").values())
    for path in (folder / shards.STAGING).glob(f"*/{shards.HASHES}"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found |= set(parse_json(read_bytes(path, SETTINGS, follow=False)))
    return found


def shards_of(folder: Path) -> dict[str, list[Path]]:
    """Return the Parquet files of each configuration in a folder, all sorted.

    Raises:
        UserError: One of them is a link, or was not written by an export.
    """
    found = {}
    for place in listed(folder / "data"):
        if place.is_dir():
            paths = [path for path in listed(place) if path.suffix == ".parquet"]
            for path in paths:
                _require(path, _is_shard)
            if paths:
                found[place.name] = paths
    return found


def published(folder: Path, names: Collection[str]) -> dict[str, Path]:
    """Return the files of some configurations that go to the Hub, by their paths there.

    Raises:
        UserError: One is a link, or there is more than hidden files beside them.
    """
    shards_by_name = shards_of(folder)
    paths = [folder / "README.md", folder / "croissant.json"]
    for name in names:
        paths += [*shards_by_name[name], *_captions_of(folder, name)]
    files = {path.relative_to(folder).as_posix(): path for path in paths if os.path.lexists(path)}
    places = [place for place in listed(folder / "data") if place.name not in names]
    inside = [path for name in names for path in listed(folder / "data" / name)]
    for path in [*places, *inside, *listed(folder / "captions"), *files.values()]:
        if path.relative_to(folder).as_posix() in files:
            _require(path, lambda _: True)
        elif not path.name.startswith("."):
            raise UserError(f"{path} is not part of the export: move it away")
    return files


def listed(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; nothing if there is none.

    Raises:
        UserError: It is a link or a file, or not permitted.
    """
    try:
        mode = folder.lstat().st_mode
        if stat.S_ISDIR(mode):
            return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(
            f"{folder} cannot be read ({error.strerror}): check its permissions"
        ) from error
    what = "a link" if stat.S_ISLNK(mode) else "a file"
    raise UserError(f"{folder} is {what}, where an export has a folder: move it away")


def _captions_of(folder: Path, name: str) -> tuple[Path, Path]:
    """The files of a configuration in `captions`; UserError if one is there but is not ours."""
    listed(folder / "captions")  # or it is no folder
    table, audit = captions_file.paths(folder / "captions", name)
    _require(table, captions_file.is_table)
    _require(audit, lambda path: bool(captions_file.read_figures(path)))
    return table, audit


def _require(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raise UserError unless a path is free, or a regular file that the export wrote."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise UserError(f"{path} is a link, which no export makes: move it away")
    try:
        ours = stat.S_ISREG(mode) and is_ours(path)
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise UserError(
            f"{path} was not written by mm_imagenet_r.export, or is damaged: move it away or "
            "choose another folder"
        )


def _is_card(path: Path) -> bool:
    return is_card(read_bytes(path, SETTINGS, follow=False).decode("utf-8", "replace"))


def _is_shard(path: Path) -> bool:
    return _SHARD.fullmatch(path.name) is not None and "sha256" in shards.record_of(path)


def _is_staged(path: Path) -> bool:
    """Of what is in the hidden folder the names say enough: a copy there may have been cut off."""
    return _SHARD.fullmatch(path.name) is not None or is_temporary(path.name)
