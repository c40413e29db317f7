"""JSON as result files may hold it: each key once, finite numbers, no tricks."""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from pathlib import Path
from typing import Any

from benchmark.errors import Damaged
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.reading import each_once, not_deep, read_bytes

#: No count, length or loss comes near; larger ones would overflow in computations.
_LARGEST = 2**53
#: Bytes of a file, unpacked, and values in it: a run of 1,000 phases and classes has half of these.
_LONGEST = 2**26
_MOST = 2**22


def parse(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: It is not JSON, a key is repeated, or a number is not finite or is too large.

    >>> parse('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> parse('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' occurs twice in one object
    >>> parse("1e400")
    Traceback (most recent call last):
    ValueError: 1e400 is not a finite number
    >>> parse("-1e300")
    Traceback (most recent call last):
    ValueError: the number -1e300 is too large
    """
    if text.count(",") + text.count("[") + text.count("{") > _MOST:
        raise ValueError("it holds too many values")
    try:
        hooks: Any = dict.fromkeys(("parse_constant", "parse_float", "parse_int"), _number)
        value = not_deep(json.loads(text, object_pairs_hook=each_once, **hooks))
        if "\\ud" in text.lower():  # half of a pair of surrogates could not be written anywhere
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read(path: Path, remedy: str = "copy it again, or repeat the run") -> Any:
    """Parse a file, compressed if its name ends in .gz; `remedy` is for one that is damaged.

    Raises:
        UserError: It cannot be read, or is not such JSON.
    """
    try:
        data = read_bytes(path, _LONGEST)
        if path.suffix == ".gz":
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(_LONGEST + 1)
        if len(data) > _LONGEST:
            raise ValueError("it is too long")
        if not data:
            raise Damaged(f"{path} is empty: {remedy}")
        return parse(data.decode())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Damaged(f"{path} is not a valid gzip file ({error}): {remedy}") from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name the folder of a finished run "
            "or its result.json"
        ) from error
    except ValueError as error:
        raise Damaged(f"{path} is not valid JSON ({error}): {remedy}") from error


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:60]} is not a finite number")
    if abs(value) >= _LARGEST:
        raise ValueError(f"the number {text[:20]} is too large")
    return int(text) if text.removeprefix("-").isdigit() else value
