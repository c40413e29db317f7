"""Which column of a table holds the image, the class, the caption, the file name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from datasets import ClassLabel, Image, Value

from benchmark.data.dataset import ColumnNames
from mm_imagenet_r.errors import UserError, did_you_mean

#: By role: what else a column may be called, and what to do where none is found.
_ROLES = {
    "image": ({"img", "picture", "photo"}, "Name one with --image-column"),
    "label": (
        {"labels", "class", "class_name", "wnid", "category", "target"},
        "Name one with --label-column",
    ),
    "caption": (
        {"captions", "text", "description", "title", "sentence"},
        "Name one with --caption-column, or give --captions FILE",
    ),
    "file_name": ({"filename"}, "Rename one to file_name"),
}


def resolve(
    name: str, features: Mapping[str, Any], wanted: ColumnNames, *, captions_given: bool
) -> ColumnNames:
    """Find the columns: as the user named them, by name, or the only one of its type.

    Image and label are always found; caption is None where there is no text at all or
    `captions_given` (from elsewhere), file_name is None where there is none. UserError if a column
    is missing, ambiguous or of a wrong type; it lists all columns.
    """
    image = _column(name, features, "image", wanted.image, _is_image)
    label = _column(name, features, "label", wanted.label, _is_label)
    key = _column(name, features, "file_name", wanted.file_name, _is_text, needed=False)
    caption = None
    if not captions_given:
        others = {c: f for c, f in features.items() if c not in (label, key) and _is_text(f)}
        caption = _column(
            name, features, "caption", wanted.caption, _is_text, needed=bool(others), among=others
        )
    return ColumnNames(image, label, caption, key)


def _column(
    name: str,
    features: Mapping[str, Any],
    role: str,
    wanted: str | None,
    fits: Callable[[Any], bool],
    *,
    needed: bool = True,
    among: Mapping[str, Any] | None = None,
) -> str | None:
    if wanted is not None:
        if wanted not in features:
            raise UserError(f"{name} has no column {wanted!r}: {did_you_mean(wanted, features)}")
        if not fits(features[wanted]):
            raise UserError(_message(f"{wanted!r} cannot be the {role} of {name}", role, features))
        return wanted
    candidates = features if among is None else among
    fitting = [column for column, feature in candidates.items() if fits(feature)]
    if role in fitting:
        return role
    found = [column for column in fitting if column.lower() in _ROLES[role][0]]
    if role == "label" and len(found) != 1:
        found = [c for c in fitting if isinstance(features[c], ClassLabel)] or found
    if role == "image" and len(found) != 1:
        found = fitting
    if len(found) == 1:
        return found[0]
    if not found and not needed:
        return None
    several = f"several columns that may be the {role} ({', '.join(found)})"
    what = several if found else f"no column that is clearly the {role}"
    raise UserError(_message(f"{name} has {what}", role, features))


def _message(what: str, role: str, features: Mapping[str, Any]) -> str:
    columns = ", ".join(f"{column} ({_kind(feature)})" for column, feature in features.items())
    return f"{what}; its columns are {columns}. {_ROLES[role][1]}"


def _kind(feature: Any) -> str:
    return str(feature.dtype) if isinstance(feature, Value) else type(feature).__name__


def _is_image(feature: Any) -> bool:
    if isinstance(feature, Mapping):
        return set(feature) == {"bytes", "path"}
    return isinstance(feature, Image) or (
        isinstance(feature, Value) and feature.dtype in ("binary", "large_binary")
    )


def _is_label(feature: Any) -> bool:
    return isinstance(feature, ClassLabel) or (
        isinstance(feature, Value)
        and re.fullmatch(r"u?int\d+|(large_)?string", feature.dtype) is not None
    )


def _is_text(feature: Any) -> bool:
    return isinstance(feature, Value) and feature.dtype in ("string", "large_string")
